"""A document as it is read: tables in a terminal, a comparison, and one HTML file that needs nothing else."""
