"""Hosted data of calls, `data://.session`, outlives them for a while, and then goes."""

from __future__ import annotations

import asyncio
import logging

from slipway.registry.files import Files

_KEPT_SECONDS = 24 * 3600.0
_PAUSE_SECONDS = 3600.0

logger = logging.getLogger(__name__)


async def forget_sessions(files: Files) -> None:
    """Remove what is old, every hour, for ever."""
    while True:
        try:
            await files.forget_sessions(_KEPT_SECONDS)
        except OSError as error:
            logger.warning("old data of calls cannot be removed: %s", error)
        await asyncio.sleep(_PAUSE_SECONDS)
