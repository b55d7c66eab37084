"""Accounts and keys."""

from __future__ import annotations

import pytest

from slipway.errors import AlreadyExists, InputError, NoSuchAccount, NotFound
from slipway.registry import accounts, algorithms, keys
from slipway.registry.store import Store


async def test_an_account_is_found_by_name_and_by_id(store: Store) -> None:
    async with store.begin() as connection:
        made = await accounts.create(connection, name="jpublic", email="j@example.org", admin=True)
    async with store.read() as connection:
        assert await accounts.get(connection, "jpublic") == made
        assert await accounts.by_id(connection, made.id) == made


async def test_a_second_account_of_the_same_name_is_refused_and_the_transaction_goes_on(store: Store) -> None:
    async with store.begin() as connection:
        await accounts.create(connection, name="jpublic")
        with pytest.raises(AlreadyExists, match="jpublic"):
            await accounts.create(connection, name="jpublic")
        await accounts.create(connection, name="another")
    async with store.read() as connection:
        assert [account.name for account in await accounts.list_all(connection)] == ["another", "jpublic"]


async def test_an_unknown_account_is_named_in_the_error(store: Store) -> None:
    async with store.read() as connection:
        with pytest.raises(NoSuchAccount, match="nobody"):
            await accounts.get(connection, "nobody")


async def test_an_account_goes_with_all_that_it_owns(store: Store) -> None:
    async with store.begin() as connection:
        account = await accounts.create(connection, name="jpublic")
        key, _ = await keys.create(connection, account.id)
        algorithm = await algorithms.create(connection, account=account, name="echo")
    async with store.begin() as connection:
        await accounts.delete(connection, account.id)
    async with store.read() as connection:
        assert await keys.by_hash(connection, key.sha256) is None
        assert await algorithms.list_for(connection) == []
        assert await accounts.list_all(connection) == []
    assert algorithm.owner == "jpublic"


async def test_a_key_is_found_by_its_hash_until_it_is_revoked(store: Store) -> None:
    async with store.begin() as connection:
        account = await accounts.create(connection, name="jpublic")
        key, text = await keys.create(connection, account.id, "laptop")
        assert await keys.by_hash(connection, keys.hash_key(text)) == key
        revoked = await keys.revoke(connection, key.id)
        assert revoked.revoked_at is not None
        assert await keys.by_hash(connection, keys.hash_key(text)) is None
        assert await keys.list_for(connection, account.id) == [revoked]


async def test_revoking_a_key_twice_keeps_the_first_time(store: Store) -> None:
    async with store.begin() as connection:
        account = await accounts.create(connection, name="jpublic")
        key, _ = await keys.create(connection, account.id)
        first = await keys.revoke(connection, key.id)
        assert await keys.revoke(connection, key.id) == first
        with pytest.raises(NotFound):
            await keys.revoke(connection, "unknown")


async def test_a_given_key_is_taken_as_it_is_if_it_is_well_formed(store: Store) -> None:
    async with store.begin() as connection:
        account = await accounts.create(connection, name="admin", admin=True)
        _, text = await keys.create(connection, account.id, text="sim" + "A" * 25)
        assert text == "sim" + "A" * 25
        with pytest.raises(AlreadyExists):
            await keys.create(connection, account.id, text=text)
        with pytest.raises(InputError):
            await keys.create(connection, account.id, text="too short")
