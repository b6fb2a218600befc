"""What can be measured: our models, baselines, planted faults, and systems made elsewhere."""
