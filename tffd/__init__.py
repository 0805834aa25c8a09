"""Sweeps and ablations of Teacher-free Feature Distillation."""

__version__ = "0.1.0"
