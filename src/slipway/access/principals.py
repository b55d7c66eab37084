"""Who is asking."""

from __future__ import annotations

import msgspec

from slipway.types import Account, Permissions


class Principal(msgspec.Struct, frozen=True, gc=False):
    """An account and the key with which it showed itself, or an algorithm that it calls."""

    account: Account
    key_id: str
    permissions: Permissions | None = None  # of the key; None: all that the account may do
    algorithm: str = ""  # `owner/name` of the algorithm that asks on the account's behalf, in a call of it
    call_id: str = ""  # of that call; empty while the algorithm loads

    @property
    def organizations(self) -> frozenset[str]:
        """The names of the organizations whose member the account is."""
        return self.account.organizations

    def owns(self, owner: str) -> bool:
        """Whether what that account owns is the caller's own, by name or by membership."""
        return owner == self.account.name or owner in self.account.organizations

    def belongs_to(self, owner: str) -> bool:
        """Whether it is that account or a member of it, in whatever role."""
        return self.owns(owner) or any(role.partition("/")[0] == owner for role in self.account.roles)
