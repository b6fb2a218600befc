"""Timeout of tests that wait for actions which an idle machine performs at once."""

PATIENCE_S = 120.0
"""Timeout, s. The machine may be busy; a passing test does not take longer for it."""
