"""The server: sessions of live video over WebRTC, WHIP and WHEP, their control, and the studio page."""
