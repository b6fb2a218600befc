"""Live video over WebRTC, shared by server and client: codecs, packets, rate control; frames are dropped, never queued.

`seams` is the only module that uses private parts of aiortc.
"""
