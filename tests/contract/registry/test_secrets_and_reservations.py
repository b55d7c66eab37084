"""Sealed secrets and reservations."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from slipway.errors import AlreadyExists, InputError, NotFound
from slipway.ids import new_id
from slipway.registry import accounts, algorithms, reservations, secrets, snapshot
from slipway.registry.store import Store
from slipway.types import Algorithm, Reservation, Secret
from tests.contract.registry.factories import make_algorithm


def a_secret(algorithm: Algorithm, key: str) -> Secret:
    """A secret's record."""
    texts: dict[str, Any] = dict.fromkeys(("short_name", "description"), "")
    return Secret(
        id=new_id(),
        algorithm_id=algorithm.id,
        secret_key=key,
        sealed=b"\x00\xff",
        created_at=time.time(),
        updated_at=0.0,
        **texts,
    )


async def test_a_secret_is_kept_changed_and_forgotten_with_its_algorithm(store: Store) -> None:
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        one = await secrets.add(connection, a_secret(algorithm, "ONE"))
        two = await secrets.add(connection, a_secret(algorithm, "TWO"))
        with pytest.raises(AlreadyExists, match="ONE"):
            await secrets.add(connection, a_secret(algorithm, "ONE"))
        with pytest.raises(AlreadyExists, match="ONE"):
            await secrets.change(connection, msgspec.structs.replace(two, secret_key="ONE"))
        changed = await secrets.change(connection, msgspec.structs.replace(two, sealed=b"other"))
        assert await secrets.by_key(connection, algorithm.id, "TWO") == changed
        assert await secrets.list_for(connection, algorithm.id) == [one, changed]
        with pytest.raises(NotFound):
            await secrets.get(connection, "another", one.id)
        await secrets.remove(connection, one)
    async with store.begin() as connection:
        await algorithms.delete(connection, algorithm.id)
    async with store.read() as connection:
        assert await secrets.list_for(connection, algorithm.id) == []


async def test_a_reservation_names_its_algorithm(store: Store) -> None:
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        made = a_reservation(algorithm)
        await reservations.add(connection, made)
    async with store.begin() as connection:
        assert await reservations.list_all(connection) == [made]
        assert await reservations.get(connection, made.id) == made
        await reservations.remove(connection, made.id)
        with pytest.raises(NotFound):
            await reservations.get(connection, made.id)


async def test_gateways_are_told_of_reservations_that_are_made_and_given_up(store: Store) -> None:
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        kept, given_up = a_reservation(algorithm), a_reservation(algorithm)
        for made in (kept, given_up):
            await reservations.add(connection, made)
    before = await store.revision()
    async with store.read() as connection:
        assert set((await snapshot.full(connection)).reservations) == {kept, given_up}
        assert set((await snapshot.increment(connection, 0)).reservations) == {kept, given_up}
    async with store.begin() as connection:
        await reservations.remove(connection, given_up.id)
    async with store.read() as connection:
        found = await snapshot.increment(connection, before)
        assert found.removed == (("reservation", given_up.id),)
        assert (await snapshot.full(connection)).reservations == (kept,)
    async with store.begin() as connection:
        await algorithms.delete(connection, algorithm.id)
    async with store.read() as connection:
        assert ("reservation", kept.id) in (await snapshot.increment(connection, before)).removed


def a_reservation(algorithm: Algorithm) -> Reservation:
    return Reservation(
        id=new_id(),
        algorithm_id=algorithm.id,
        owner=algorithm.owner,
        algorithm=algorithm.name,
        calling_user="",
        version_type="latest",
        version_identifier="",
        num_slots=3,
        created_at=time.time(),
    )


async def test_text_that_a_database_cannot_hold_is_the_callers_error(store: Store, store_url: str) -> None:
    if not store_url.startswith("postgres"):
        pytest.skip("SQLite holds any text")
    with pytest.raises(InputError, match="NUL"):
        async with store.begin() as connection:
            await accounts.create(connection, name="ann", email="a\0b")
    with pytest.raises(InputError, match="NUL"):
        async with store.begin() as connection:
            await accounts.create(connection, name="ann", profile={"org_label": "a\0b"})
    with pytest.raises(InputError, match="NUL"):
        async with store.read() as connection:
            await accounts.get(connection, "a\0b")
