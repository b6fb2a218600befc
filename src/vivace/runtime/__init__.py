"""Where a network runs: the device and its turn, and two ways to run there, exported graphs and programs of torch."""
