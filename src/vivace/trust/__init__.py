"""Marks of repainted pictures and videos: credentials, watermark and label, and their verification."""
