"""What the watermark survives, whether it is seen, what it costs, and how often it is found where it is not."""
