"""How many calls of a key and of its account this gateway has in flight, and how many it may have."""

from __future__ import annotations

import sys

from slipway.errors import LimitExceeded


class Usage:
    """Of one key, and of all keys of its account together.

    A root holds a place from its admission to its outcome. What algorithms call on its behalf holds none and is never
    refused by it: a call that waits for its own children must not wait for their places too.
    """

    __slots__ = ("account", "calls")

    def __init__(self, account: Usage | None = None) -> None:
        self.calls = 0
        self.account = account or self


def most(setting: int) -> int:
    """The limit that a setting means, of which 0 is none."""
    return setting or sys.maxsize


def over_limit(usage: Usage, key_limit: int) -> LimitExceeded:
    """The refusal of a call for which there is no place."""
    whose, calls = ("account", usage.account.calls) if usage.calls < key_limit else ("key", usage.calls)
    return LimitExceeded(f"{calls} calls of this {whose} are in flight already: wait until one of them has its reply")


class Usages:
    """The counts of all keys and accounts, by their ids; they outlive what is remembered of requests."""

    def __init__(self) -> None:
        self._keys: dict[str, Usage] = {}
        self._accounts: dict[str, Usage] = {}

    def of(self, key_id: str, account_id: str) -> Usage:
        """The key's own."""
        usage = self._keys.get(key_id)
        if usage is None:
            account = self._accounts.setdefault(account_id, Usage())
            usage = self._keys[key_id] = Usage(account)
        return usage

    def drop_unused(self) -> None:
        """Forget those that have no call: nobody may hold one of them beyond this."""
        self._keys = {key_id: usage for key_id, usage in self._keys.items() if usage.calls}
        self._accounts = {account_id: usage for account_id, usage in self._accounts.items() if usage.calls}
