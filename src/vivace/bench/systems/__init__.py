"""Systems that can be measured: our models, baselines, planted faults, and external systems."""
