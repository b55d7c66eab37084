"""What the gateway knows: keys, accounts and routes, in memory, as of one revision of the store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from slipway.access.decisions import Authorizer
from slipway.access.principals import Principal
from slipway.errors import AuthenticationError, CapacityError
from slipway.routing.reservations import Reserved, resolved
from slipway.routing.table import RouteTable
from slipway.types import Account, Key, Reservation, Snapshot, Version


class Directory:
    """Follows the store by snapshots; asked on the call path, changed between calls."""

    def __init__(self) -> None:
        self.revision = -1  # below zero: nothing known yet
        self.routes = RouteTable()
        self._accounts: dict[str, Account] = {}
        self._keys: dict[bytes, Key] = {}  # by SHA-256
        self._key_hashes: dict[str, bytes] = {}  # by id
        self._reservations: dict[str, Reservation] = {}  # by id
        self._policies: dict[str, str] = {}  # whose account ids have some, and their names
        self.authorizer = Authorizer()

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
            self._reservations.clear()
            self._policies = {one.account_id: one.owner for one in snapshot.policies}
            self.authorizer.book.keep(self._policies.values())
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
            elif kind == "policy" and (owner := self._policies.pop(identity, None)) is not None:
                self.authorizer.book.drop(owner)
            elif kind == "reservation":
                self._reservations.pop(identity, None)
        self._reservations.update((reservation.id, reservation) for reservation in snapshot.reservations)
        for policies in snapshot.policies:
            self._policies[policies.account_id] = policies.owner
            self.authorizer.book.put(policies.owner, policies.text)
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

    def reserved(self) -> dict[str, Reserved]:
        """What is reserved, by the id of the version that each reservation means now."""
        return resolved(self._reservations.values(), self.routes)

    def always_warm(self, reserved: Iterable[str]) -> list[Version]:
        """Versions that must have replicas without any call: they are live and say so, or are `reserved`."""
        live = {version.id: version for version in self.routes.live() if version.scaling.min_replicas > 0}
        return list({**live, **{version_id: self.routes.versions[version_id] for version_id in reserved}}.values())

    def _forget_key(self, identity: str) -> None:
        sha256 = self._key_hashes.pop(identity, None)
        if sha256 is not None:
            self._keys.pop(sha256, None)
