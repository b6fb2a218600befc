"""Training of the embedded model: data, teachers, losses, loop and export. Needs the `train` extra."""
