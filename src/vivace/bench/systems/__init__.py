"""Systems that can be measured: Vivace's models, baselines, planted faults, and external systems."""
