"""The speed benchmark: time, memory, energy and work of a frame."""
