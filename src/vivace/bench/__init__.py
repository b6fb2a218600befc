"""Benchmarks: speed, latency and quality of a system, beside baselines."""
