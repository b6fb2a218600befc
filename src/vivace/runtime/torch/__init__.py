"""Networks as torch modules, run as they are written, compiled, or recorded as CUDA graphs."""
