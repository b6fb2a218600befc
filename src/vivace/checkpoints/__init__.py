"""Checkpoints, shared by all model families: profiles, files here and on the hub, tensors, LoRAs."""
