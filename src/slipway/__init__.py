"""Slipway takes a model from the notebook to a governed production endpoint, and keeps it honest there."""

__version__ = "0.1.0"
