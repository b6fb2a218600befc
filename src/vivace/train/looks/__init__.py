"""Training of the next body, mini2: material, teachers, targets, losses and the loop."""
