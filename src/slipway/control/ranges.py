"""The part of a file that a request asks for (RFC 9110, section 14)."""

from __future__ import annotations

import re

from slipway.errors import RangeNotSatisfiable

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def wanted(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and length of a single range; None for the whole, also where the header asks for several.

    Raises RangeNotSatisfiable where nothing of the file lies in it.
    """
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None
    if start >= size:
        raise RangeNotSatisfiable(f"the file has {size} bytes")
    return start, stop - start
