"""Torch modules run eagerly, compiled, or as CUDA graphs."""
