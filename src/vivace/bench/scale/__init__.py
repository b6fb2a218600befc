"""Simulation of a cluster of any size: the real directory, placement and admission, with a clock of events."""
