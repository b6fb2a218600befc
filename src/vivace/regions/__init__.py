"""Masks of regions of a live picture: the person, the background, a face, hair, clothes, the sky, a colour.

`names` is the vocabulary, `finder` finds in the pictures of one stream; where the networks beside it are
from is in NOTICE.
"""
