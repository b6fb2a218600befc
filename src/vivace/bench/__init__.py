"""Measurements: what a frame costs, and what this machine is."""
