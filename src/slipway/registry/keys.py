"""API keys: 28 characters that start with `sim`. Only their SHA-256 is kept."""

from __future__ import annotations

import hashlib
import re
import secrets
import string
import time

import msgspec
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.errors import AlreadyExists, InputError, NotFound
from slipway.ids import new_id
from slipway.registry import changes, schema
from slipway.registry.rows import fetch_all, fetch_one, insert_new
from slipway.types import Key, Permissions

_table = schema.keys
_ALPHABET = string.ascii_letters + string.digits
_KEY = re.compile(r"sim[A-Za-z0-9]{25}")
_PREFIX_LENGTH = 7


def generate_key() -> str:
    """A random key: `sim` and 25 characters of 62, which are 148 bits."""
    return "sim" + "".join(secrets.choice(_ALPHABET) for _ in range(25))


def hash_key(text: str) -> bytes:
    """SHA-256 of a key's text. The keys are random, so nothing slower is needed against guessing."""
    return hashlib.sha256(text.encode()).digest()


async def create(
    connection: AsyncConnection,
    account_id: str,
    label: str = "",
    text: str | None = None,
    permissions: Permissions | None = None,
) -> tuple[Key, str]:
    """A new key and its text, which is known only now. A given `text` must be well-formed, else InputError."""
    text = generate_key() if text is None else _check(text)
    key = Key(
        id=new_id(),
        account_id=account_id,
        sha256=hash_key(text),
        label=label,
        prefix=text[:_PREFIX_LENGTH],
        permissions=permissions,
        created_at=time.time(),
    )
    if not await insert_new(connection, _table, msgspec.structs.asdict(key)):
        raise AlreadyExists("that key exists already")
    changes.record(connection, "key", key.id)
    return key, text


async def by_hash(connection: AsyncConnection, sha256: bytes) -> Key | None:
    """The key with that hash, unless it was revoked."""
    good = select(_table).where(_table.c.sha256 == sha256, _table.c.revoked_at.is_(None))
    return await fetch_one(connection, good, Key)


async def list_for(connection: AsyncConnection, account_id: str) -> list[Key]:
    """An account's keys, revoked ones too, oldest first."""
    mine = select(_table).where(_table.c.account_id == account_id)
    return await fetch_all(connection, mine.order_by(_table.c.created_at, _table.c.id), Key)


async def get(connection: AsyncConnection, key_id: str) -> Key:
    """The key with that id; raises NotFound."""
    key = await fetch_one(connection, select(_table).where(_table.c.id == key_id), Key)
    if key is None:
        raise NotFound("No such key")
    return key


async def revoke(connection: AsyncConnection, key_id: str) -> Key:
    """Make a key useless from this commit on; a second time changes nothing. Raises NotFound."""
    good = update(_table).where(_table.c.id == key_id, _table.c.revoked_at.is_(None))
    if (await connection.execute(good.values(revoked_at=time.time()))).rowcount:
        changes.record(connection, "key", key_id)
    return await get(connection, key_id)


def _check(text: str) -> str:
    if not _KEY.fullmatch(text):
        raise InputError("a key is 'sim' followed by 25 letters and digits")
    return text
