"""Sizes as people write them: `512 MiB`, `2GiB`, `1.5 GB`, or a number of bytes."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")
_UNITS = {"": 1, "b": 1}
_UNITS |= {f"{letter}b": 1000**power for power, letter in enumerate("kmgt", start=1)}
_UNITS |= {f"{letter}ib": 1024**power for power, letter in enumerate("kmgt", start=1)}
_UNITS |= {letter: 1024**power for power, letter in enumerate("kmgt", start=1)}


def parse_size(value: int | str) -> int:
    """Bytes; raises ValueError.

    >>> parse_size("512 MiB"), parse_size("1.5GB"), parse_size("2G")
    (536870912, 1500000000, 2147483648)
    """
    found = _SIZE.fullmatch(str(value).strip())
    factor = _UNITS.get(found[2].lower()) if found else None
    if found is None or factor is None:
        raise ValueError(f"{value!r} is no size: write it like 512 MiB or 2 GiB")
    return int(float(found[1]) * factor)
