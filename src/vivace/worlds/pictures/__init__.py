"""Photographs of `scene:gallery`; CREDITS.md names their authors."""
