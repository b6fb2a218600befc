"""Reads what people ask for in words: chains of edits, and the looks to paint with."""
