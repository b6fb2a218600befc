"""Edits at places: what a request does where, around a model that paints whole pictures."""
