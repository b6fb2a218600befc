"""Speed benchmark: time, memory, energy and work per frame."""
