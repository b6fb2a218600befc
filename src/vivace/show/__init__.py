"""Shows: scripts, sound and OSC that steer a stream, and logs of what was steered, which can be played again."""
