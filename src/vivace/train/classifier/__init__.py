"""Training of the style classifier that the benchmark judges pictures with."""
