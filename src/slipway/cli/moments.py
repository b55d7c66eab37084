"""Times as people write them."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

import typer

_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def parse_since(text: str) -> float:
    """Unix seconds of `10m`, `2h`, `2026-01-31`, `2026-01-31T14:00Z`, `14:00` (today, UTC); 0 for an empty text.

    Raises typer.BadParameter.
    """
    text = text.strip()
    if not text:
        return 0.0
    if span := _SPAN.fullmatch(text):
        return time.time() - float(span[1]) * _SECONDS[span[2]]
    if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", text):
        text = f"{datetime.now(UTC):%Y-%m-%d}T{text.zfill(5)}"
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time: write 10m, 2h, 3d, 14:30 or 2026-01-31T14:30Z") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
