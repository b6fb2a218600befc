"""Live video over WebRTC, the half that server and client share: codecs, packets, and never a frame that waits.

`seams` is the only module that knows aiortc from the inside.
"""
