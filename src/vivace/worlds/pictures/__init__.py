"""The photographs of `scene:gallery`; CREDITS.md says whose they are."""
