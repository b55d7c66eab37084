"""For annotations such as `from adk.classes import FileData`."""

from __future__ import annotations

from slipway.sdk.model_data import FileData

__all__ = ["FileData"]
