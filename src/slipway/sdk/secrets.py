"""An algorithm's secrets: values that the platform keeps for it, and tells nobody else.

They are environment variables of its workers when these load, and `secret(NAME)` gives what they are now.
"""

from __future__ import annotations

import json
import os
import time
from typing import Dict, List

from slipway.sdk import platform

FRESH_SECONDS = 30.0
_MASK = "[secret]"
_SHORTEST = 6  # characters of a value that is masked: shorter ones are found in anything

_known: Dict[str, str] = {}
_asked_at = float("-inf")


def secret(name: str) -> str:
    """The value of the algorithm's secret of that name, at most half a minute old. Raises KeyError if it has none.

    Outside of the platform, the environment variable of that name.
    """
    if not inside():
        return os.environ[name]
    if time.monotonic() - _asked_at > FRESH_SECONDS:
        fetch()
    return _known[name]


def inside() -> bool:
    """Whether this is a worker of a platform."""
    return platform.is_connected()


def fetch() -> Dict[str, str]:
    """Ask for all of them. Raises RuntimeError where the platform does not tell, and as `platform.request` does."""
    global _known, _asked_at
    answer = platform.request("GET", "/v1/secrets/values")
    if answer.status != 200:
        raise RuntimeError(f"the platform does not tell the algorithm's secrets: {answer.status} {answer.body[:500]!r}")
    _known, _asked_at = json.loads(answer.body), time.monotonic()
    return _known


def mask(text: str) -> str:
    """The text without the values of secrets."""
    for value in _values():
        if value in text:
            text = text.replace(value, _MASK)
    return text


def _values() -> List[str]:
    return sorted((value for value in _known.values() if len(value) >= _SHORTEST), key=len, reverse=True)
