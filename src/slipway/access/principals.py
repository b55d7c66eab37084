"""Who is asking."""

from __future__ import annotations

import msgspec

from slipway.types import Account, Permissions


class Principal(msgspec.Struct, frozen=True, gc=False):
    """An account, and the key with which it showed itself."""

    account: Account
    key_id: str
    permissions: Permissions | None = None  # of the key; None: all that the account may do

    @property
    def organizations(self) -> frozenset[str]:
        """The names of the organizations whose member the account is."""
        return self.account.organizations

    def owns(self, owner: str) -> bool:
        """Whether what that account owns is the caller's own, by name or by membership."""
        return owner == self.account.name or owner in self.account.organizations
