"""Slot rules of stream memories: which frame is in which slot, and which is overwritten next.

Buffers belong to the model families, since their layouts follow from the way attention reads them: `mini` a NumPy array
that is an input of its graph, `live2diff` a pixel's sixteen keys side by side, `wan` all tokens of a frame in one slot.
"""
