"""Follows control's feed of what gateways must know; survives control's restarts with what it knew."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import msgspec

from slipway.types import Snapshot

_RETRY_SECONDS = 0.05
_SILENCE_SECONDS = 5.0  # control sends a heartbeat every second

logger = logging.getLogger(__name__)


async def follow_feed(socket: Path, apply: Callable[[Snapshot], None]) -> None:
    """Apply every snapshot that control sends, for ever."""
    decoder = msgspec.json.Decoder(Snapshot)
    timeout = httpx.Timeout(_SILENCE_SECONDS)
    while True:
        transport = httpx.AsyncHTTPTransport(uds=str(socket))
        try:
            async with (
                httpx.AsyncClient(transport=transport, base_url="http://control", timeout=timeout) as client,
                client.stream("GET", "/feed") as response,
            ):
                response.raise_for_status()
                async for line in _lines(response):
                    apply(decoder.decode(line))
        except (httpx.HTTPError, msgspec.MsgspecError) as error:
            logger.info("control's feed is away: %r", error)
        await asyncio.sleep(_RETRY_SECONDS)


async def _lines(response: httpx.Response) -> AsyncIterator[bytes]:
    """The response's lines as they come; the first may have tens of megabytes, which are put together once."""
    pieces: list[bytes] = []
    async for piece in response.aiter_raw():
        *ended, rest = piece.split(b"\n")
        for line in ended:
            yield b"".join((*pieces, line))
            pieces.clear()
        pieces.append(rest)
