"""What is run on: rendered scenes with their truth, videos of a folder, and sources that cost nothing to read."""
