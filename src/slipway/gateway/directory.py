"""What the gateway knows: keys, accounts and routes, in memory, as of one revision of the store."""

from __future__ import annotations

import hashlib

from slipway.access.principals import Principal
from slipway.errors import AuthenticationError, CapacityError
from slipway.routing.table import RouteTable
from slipway.types import Account, Key, Snapshot, Version


class Directory:
    """Follows the store by snapshots; asked on the call path, changed between calls."""

    def __init__(self) -> None:
        self.revision = -1  # below zero: nothing known yet
        self.routes = RouteTable()
        self._accounts: dict[str, Account] = {}
        self._keys: dict[bytes, Key] = {}  # by SHA-256
        self._key_hashes: dict[str, bytes] = {}  # by id

    def apply(self, snapshot: Snapshot) -> bool:
        """Take over a snapshot; False where it is only a heartbeat."""
        changed = snapshot.full or snapshot.revision != self.revision
        self.revision = snapshot.revision
        if not changed:
            return False
        if snapshot.full:
            self._accounts.clear()
            self._keys.clear()
            self._key_hashes.clear()
        self._accounts.update((account.id, account) for account in snapshot.accounts)
        for key in snapshot.keys:
            self._forget_key(key.id)
            if key.revoked_at is None:
                self._keys[key.sha256] = key
                self._key_hashes[key.id] = key.sha256
        for kind, identity in snapshot.removed:
            if kind == "key":
                self._forget_key(identity)
            elif kind == "account":
                self._accounts.pop(identity, None)
        self.routes.apply(snapshot)
        return True

    def principal(self, key_text: str | None) -> Principal:
        """Who holds this key; raises AuthenticationError when nobody does, or there is none.

        Raises CapacityError while it is not known yet who holds which.
        """
        key = self._keys.get(hashlib.sha256(key_text.encode()).digest()) if key_text else None
        account = self._accounts.get(key.account_id) if key else None
        if key is None or account is None:
            if self.revision < 0:
                raise CapacityError("the gateway has just started and does not know the keys yet")
            raise AuthenticationError("the API key is missing, unknown or revoked")
        return Principal(account=account, key_id=key.id, permissions=key.permissions)

    def holder(self, key_id: str) -> Principal:
        """Who holds the key with that id; raises AuthenticationError where it was revoked since."""
        sha256 = self._key_hashes.get(key_id)
        key = self._keys.get(sha256) if sha256 else None
        account = self._accounts.get(key.account_id) if key else None
        if key is None or account is None:
            raise AuthenticationError("the key with which the algorithm was called is not valid any more")
        return Principal(account=account, key_id=key.id, permissions=key.permissions)

    def version(self, version_id: str) -> Version | None:
        """A version by its id."""
        return self.routes.versions.get(version_id)

    def always_warm(self) -> list[Version]:
        """Versions that are live and must have replicas without any call."""
        return [version for version in self.routes.live() if version.scaling.min_replicas > 0]

    def _forget_key(self, identity: str) -> None:
        sha256 = self._key_hashes.pop(identity, None)
        if sha256 is not None:
            self._keys.pop(sha256, None)
