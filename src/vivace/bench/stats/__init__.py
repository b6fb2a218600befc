"""Figures from single values, and their intervals."""
