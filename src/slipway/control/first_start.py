"""What a new store needs: the account `admin` and its key."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.errors import AlreadyExists, InputError, NoSuchAccount, SettingsError
from slipway.registry import accounts, keys
from slipway.registry.store import Store
from slipway.settings import Settings
from slipway.types import Account

ADMIN = "admin"

logger = logging.getLogger(__name__)


async def ensure_admin(store: Store, settings: Settings) -> None:
    """Make the admin account where it is missing, its key beside the store with mode 0600.

    A key that `SLIPWAY_ADMIN_KEY` sets is good from now on, also where the account is there already; one that was
    revoked stays so. Raises SettingsError where it is no key.
    """
    async with store.begin() as connection:
        account, fresh = await _admin(connection)
        text = settings.admin_key or (keys.generate_key() if fresh else "")
        if text and await keys.by_hash(connection, keys.hash_key(text)) is None:
            if await _add(connection, account, text):
                # Within the transaction: a key that nobody could read afterwards must not be kept.
                _write_private(settings.admin_key_file, text + "\n")


async def _admin(connection: AsyncConnection) -> tuple[Account, bool]:
    try:
        return await accounts.get(connection, ADMIN), False
    except NoSuchAccount:
        return await accounts.create(connection, name=ADMIN, admin=True), True


async def _add(connection: AsyncConnection, account: Account, text: str) -> bool:
    try:
        await keys.create(connection, account.id, "first key", text)
    except InputError as error:
        raise SettingsError(f"SLIPWAY_ADMIN_KEY is no key: {error}") from error
    except AlreadyExists:
        logger.warning("the key that SLIPWAY_ADMIN_KEY sets was revoked, and stays so")
        return False
    return True


def _write_private(file: Path, text: str) -> None:
    temporary = file.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    temporary.rename(file)
