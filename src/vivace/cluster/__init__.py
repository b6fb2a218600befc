"""Many machines, one server: sessions are placed on workers that Ray runs, and their media goes straight there.

`directory` and `placement` are plain code with a clock for a parameter; `actors` puts them, and workers, into Ray.
"""
