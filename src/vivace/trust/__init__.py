"""Whether a picture or video has been repainted: credentials, watermark, label, and how to check them."""
