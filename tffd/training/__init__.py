"""Optimisation: schedules, the loop, checkpoints, progress."""
