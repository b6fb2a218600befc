"""Training of the style classifier that the benchmark uses."""
