"""Quality benchmark: its cases, run with every system and metric."""
