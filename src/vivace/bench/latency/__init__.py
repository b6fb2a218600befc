"""Latency benchmark: live sessions as seen by a viewer, in one process or over WebRTC."""
