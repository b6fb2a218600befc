"""Training of the network that follows key frames."""
