"""Execution of networks: devices and their turns, and two backends, exported graphs and torch programs."""
