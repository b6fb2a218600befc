"""Benchmark of key frames: how well an edit of one picture is followed through exact scenes."""
