"""Who is asking."""

from __future__ import annotations

import msgspec

from slipway.types import Account


class Principal(msgspec.Struct, frozen=True, gc=False):
    """An account, and the key with which it showed itself."""

    account: Account
    key_id: str
