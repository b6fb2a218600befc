"""The HTTP side of the server: sessions, WHIP and WHEP, models, presets, recordings, health and metrics under `/v1`."""
