"""What model families share of a checkpoint: its profile, where its files are and come from, how tensors are read."""
