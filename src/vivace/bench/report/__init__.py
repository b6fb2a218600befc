"""Reports of a document: tables in a terminal, a comparison, and a self-contained HTML file."""
