"""For annotations such as `from adk.modeldata import ModelData`."""

from __future__ import annotations

from slipway.sdk.model_data import ModelData

__all__ = ["ModelData"]
