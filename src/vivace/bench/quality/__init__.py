"""The quality benchmark: its cases, and every system and metric over them."""
