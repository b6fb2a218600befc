"""Measures of quality, each on its own: pure functions of footage."""
