"""How long tests wait for what an idle machine does at once."""

PATIENCE_S = 120.0
"""The machine may have a lot else to do; a test that succeeds does not take longer for it."""
