"""Reading of requests in words: chains of edits, and the looks to paint with."""
