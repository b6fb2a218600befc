"""One world a module; each has a `WORLD`."""
