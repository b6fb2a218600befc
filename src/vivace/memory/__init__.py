"""Slot rules of stream memories: which frame is in which slot. The buffers themselves belong to the model families."""
