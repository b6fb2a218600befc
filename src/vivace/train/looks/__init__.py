"""Training of `mini2`: material, teachers, targets, losses and the loop."""
