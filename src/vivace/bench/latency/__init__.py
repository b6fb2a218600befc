"""The latency benchmark: live sessions as a viewer has them, in a process or over WebRTC."""
