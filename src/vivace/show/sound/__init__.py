"""What is heard, as numbers that may drive controls: how loud it is, where something begins, where the beat is."""
