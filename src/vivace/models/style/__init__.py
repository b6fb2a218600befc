"""The style classifier: what the benchmark knows a style by."""
