"""An invisible watermark of 64 bits in the luma of what was repainted: embedded live, found without the original."""
