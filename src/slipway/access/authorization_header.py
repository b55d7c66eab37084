"""The credentials that clients of the common API send."""

from __future__ import annotations

import base64
import binascii

from slipway.errors import AuthenticationError


def key_from_header(value: str) -> str:
    """The key in a bare `simXXXX`, `Simple KEY`, `Bearer KEY` or `Basic base64(user:KEY)`.

    Raises AuthenticationError where there is none.
    """
    scheme, _, rest = value.strip().partition(" ")
    if not rest:
        key = scheme
    elif scheme.lower() in ("simple", "bearer"):
        key = rest.strip()
    elif scheme.lower() == "basic":
        key = _basic(rest)
    else:
        key = ""
    if not key:
        raise AuthenticationError("send `Authorization: Simple KEY` with an API key of this platform")
    return key


def _basic(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return ""
