"""What algorithms ask of the platform, on its way to control: who asks, on whose behalf, and what comes back."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

PREFIX = "/acting"  # on control's internal socket, in front of the public API's path
CALLS = "/v1/algo/"
_FORWARDED = ("/v1/data/", "/v1/connector/", "/v1/insights", "/v1/secrets/values")
_ASKED = ("content-type", "accept", "range", "if-none-match")
_TOLD = (
    "content-length",
    "content-range",
    "content-type",
    "etag",
    "last-modified",
    "x-data-type",
    "x-error-message",
)


class Acting(msgspec.Struct, frozen=True, kw_only=True):
    """An algorithm, and the call in which it asks."""

    caller: str  # the account on whose behalf
    key_id: str = ""  # with which that called; empty: it is the algorithm's owner, while it loads
    algorithm: str  # owner/name
    call_id: str = ""  # empty while it loads

    def headers(self) -> dict[str, str]:
        """As control's internal socket expects them."""
        return {
            "x-slipway-caller": self.caller,
            "x-slipway-key": self.key_id,
            "x-slipway-algorithm": self.algorithm,
            "x-slipway-call": self.call_id,
        }


class Answer(msgspec.Struct, frozen=True):
    """What an algorithm is told. Names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes = b""


def acting_from(headers: Mapping[str, str]) -> Acting:
    """The reverse of `Acting.headers`; raises KeyError."""
    return Acting(
        caller=headers["x-slipway-caller"],
        key_id=headers["x-slipway-key"],
        algorithm=headers["x-slipway-algorithm"],
        call_id=headers["x-slipway-call"],
    )


def is_forwarded(target: str) -> bool:
    """Whether a target is control's to answer, and an algorithm may ask for it."""
    return target.startswith(_FORWARDED) and target.isascii() and target.isprintable() and " " not in target


def asked(fields: Mapping[str, str]) -> dict[str, str]:
    """The headers that go on to control."""
    return {name: fields[name] for name in _ASKED if name in fields}


def told(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that come back."""
    return {name: headers[name] for name in _TOLD if name in headers}
