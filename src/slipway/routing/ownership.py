"""Which gateway a version belongs to: one version, one queue."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b


def owner_of(version_id: str, gateways: Iterable[str]) -> str | None:
    """Rendezvous hashing (Thaler and Ravishankar, 1998): the gateway with the highest hash of gateway and version.

    Every process that knows the same gateways gives the same answer; when one leaves, only its versions move.
    None where there is no gateway.
    """
    return max(gateways, key=lambda gateway: _weight(gateway, version_id), default=None)


def _weight(gateway: str, version_id: str) -> tuple[bytes, str]:
    return blake2b(f"{gateway}\0{version_id}".encode(), digest_size=8).digest(), gateway
