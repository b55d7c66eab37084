"""Stands where the published `algorithmia` package imports its ADK from."""

from __future__ import annotations

from slipway.sdk.adk import ADK

__all__ = ["ADK"]
