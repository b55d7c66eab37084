"""What a new store needs: the account `admin` and its key."""

from __future__ import annotations

import os
from pathlib import Path

from slipway.errors import NoSuchAccount
from slipway.registry import accounts, keys
from slipway.registry.store import Store
from slipway.settings import Settings

ADMIN = "admin"


async def ensure_admin(store: Store, settings: Settings) -> None:
    """Make the admin account where it is missing, its key beside the store with mode 0600.

    A key that `SLIPWAY_ADMIN_KEY` sets is good from now on, also where the account is there already.
    """
    async with store.begin() as connection:
        try:
            account = await accounts.get(connection, ADMIN)
            fresh = False
        except NoSuchAccount:
            account = await accounts.create(connection, name=ADMIN, admin=True)
            fresh = True
        text = settings.admin_key or (keys.generate_key() if fresh else "")
        if text and await keys.by_hash(connection, keys.hash_key(text)) is None:
            await keys.create(connection, account.id, "first key", text)
            # Within the transaction: a key that nobody could read afterwards must not be kept.
            _write_private(settings.admin_key_file, text + "\n")


def _write_private(file: Path, text: str) -> None:
    temporary = file.with_suffix(".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    temporary.rename(file)
