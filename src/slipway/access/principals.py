"""Who asks."""

from __future__ import annotations

import msgspec

from slipway.types import Account


class Principal(msgspec.Struct, frozen=True):
    """An account, by the key with which it came."""

    account: Account
    key_id: str
