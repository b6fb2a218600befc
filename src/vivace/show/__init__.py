"""Shows: what steers a stream besides a person at the keys, and what was steered, kept and played again."""
