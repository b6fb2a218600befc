"""Clay-like scenes with exact ground truth: ray-cast solids with textures, lighting and shadows."""
