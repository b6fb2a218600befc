"""What a stream remembers between frames: the rules. The numbers lie in the buffers of the family whose they are."""
