"""Inputs of benchmarks: rendered scenes with ground truth, videos of a folder, and sources free to read."""
