"""Key frames: an edited picture of the stream whose edit is carried to every later frame, over any model's output."""
