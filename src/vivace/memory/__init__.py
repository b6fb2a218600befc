"""What a stream remembers between frames."""
