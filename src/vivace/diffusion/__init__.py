"""Schedules and samplers: pure functions of tensors."""
