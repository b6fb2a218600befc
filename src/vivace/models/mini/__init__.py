"""`mini`, the embedded model: trained from scratch, runs on a laptop CPU, ships inside the package."""
