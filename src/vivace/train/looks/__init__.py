"""Training of the next body: material, teachers, targets, losses and the loop."""
