"""Watermark benchmark: robustness, visibility, cost, and false alarms."""
