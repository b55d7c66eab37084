"""Slipway takes a model from the notebook to a governed production endpoint, and keeps it honest there."""

from __future__ import annotations

from slipway.sdk import AlgorithmError, InputError, UnsupportedError, model

__all__ = ["AlgorithmError", "InputError", "UnsupportedError", "__version__", "model"]

__version__ = "0.1.0"
