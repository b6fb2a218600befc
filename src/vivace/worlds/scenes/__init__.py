"""One world per module, defined as `WORLD`."""
