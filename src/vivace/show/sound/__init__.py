"""Sound as numbers that may drive controls: loudness, onsets, beats."""
