"""The `Authorization` header: every form in which clients of the common API send a key."""

from __future__ import annotations

import base64

_PLAIN_SCHEMES = frozenset(("simple", "bearer"))


def key_from_header(header: str | None) -> str | None:
    """The key in `KEY`, `Simple KEY`, `Bearer KEY` or `Basic base64(USER:KEY)`; None where there is none."""
    if not header:
        return None
    scheme, _, rest = header.strip().partition(" ")
    value = rest.strip()
    if not value:
        return scheme or None
    if scheme.lower() in _PLAIN_SCHEMES:
        return value
    login = basic_login(header)
    return login[1] if login else None


def basic_login(header: str | None) -> tuple[str, str] | None:
    """User name and key of basic authentication, as git sends them; None for any other header."""
    scheme, _, rest = (header or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, key = base64.b64decode(rest.strip(), validate=True).decode().partition(":")
    except ValueError:
        return None
    return (user, key) if colon and key else None
