"""Revisions, snapshots and followers."""

from __future__ import annotations

import asyncio
import time

import msgspec
import pytest

from slipway.registry import accounts, algorithms, changes, environments, keys, routes, snapshot, versions
from slipway.registry.store import Store
from slipway.types import Arm, Route, Snapshot
from tests.contract.registry.factories import a_version, make_algorithm, make_version


async def _full(store: Store) -> Snapshot:
    async with store.read() as connection:
        return await snapshot.full(connection)


async def _increment(store: Store, after: int) -> Snapshot:
    async with store.read() as connection:
        return await snapshot.increment(connection, after)


async def test_a_new_store_is_empty_at_revision_zero(store: Store) -> None:
    assert await _full(store) == Snapshot(revision=0, full=True)


async def test_a_full_snapshot_holds_everything_but_revoked_keys(store: Store) -> None:
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        version = await make_version(connection, algorithm)
        good, _ = await keys.create(connection, algorithm.account_id)
        revoked, _ = await keys.create(connection, algorithm.account_id)
        await keys.revoke(connection, revoked.id)
        route = await routes.set(connection, Route(algorithm_id=algorithm.id, arms=(Arm(version_id=version.id),)))
        account = await accounts.get(connection, "jpublic")
    assert await _full(store) == Snapshot(
        revision=1,
        full=True,
        accounts=(account,),
        keys=(good,),
        algorithms=(algorithm,),
        versions=(version,),
        routes=(route,),
    )


async def test_an_increment_holds_only_what_changed_since(store: Store) -> None:
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        version = await make_version(connection, algorithm)
        await make_version(connection, algorithm)
    before = await store.revision()
    async with store.begin() as connection:
        published = await versions.publish(connection, version.id, "0.1.0", "public")
    assert await _increment(store, before) == Snapshot(revision=before + 1, versions=(published,))
    assert await _increment(store, before + 1) == Snapshot(revision=before + 1)


async def test_what_is_gone_is_named_as_removed(store: Store) -> None:
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        version = await make_version(connection, algorithm)
        key, _ = await keys.create(connection, algorithm.account_id)
        await routes.set(connection, Route(algorithm_id=algorithm.id, arms=(Arm(version_id=version.id),)))
    before = await store.revision()
    async with store.begin() as connection:
        await algorithms.delete(connection, algorithm.id)
        await keys.revoke(connection, key.id)
    found = await _increment(store, before)
    assert set(found.removed) == {
        ("algorithm", algorithm.id),
        ("version", version.id),
        ("route", algorithm.id),
        ("key", key.id),
    }
    assert msgspec.structs.replace(found, removed=()) == Snapshot(revision=before + 1)


async def test_trust_in_an_environment_reaches_followers_of_its_versions(store: Store) -> None:
    async with store.begin() as connection:
        version = await make_version(connection, await make_algorithm(connection))
    before = await store.revision()
    async with store.begin() as connection:
        await environments.set_trusted(connection, version.environment, True)
    assert [found.trusted for found in (await _increment(store, before)).versions] == [True]


async def test_a_transaction_that_is_rolled_back_leaves_no_change(store: Store) -> None:
    async def fail() -> None:
        async with store.begin() as connection:
            await accounts.create(connection, name="jpublic")
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        await fail()
    async with store.begin() as connection:
        other = await accounts.create(connection, name="other")
    assert await _increment(store, 0) == Snapshot(revision=1, accounts=(other,))


async def test_a_transaction_inside_another_is_an_error_in_place_of_a_deadlock(store: Store) -> None:
    async def nest() -> None:
        async with store.begin(), store.begin():
            pass

    with pytest.raises(RuntimeError, match="already"):
        await nest()
    async with store.begin() as connection:
        await accounts.create(connection, name="jpublic")


async def test_a_cancelled_transaction_leaves_the_store_usable(store: Store) -> None:
    async def stuck() -> None:
        async with store.begin() as connection:
            await accounts.create(connection, name="jpublic")
            started.set()
            await asyncio.Event().wait()

    started = asyncio.Event()
    task = asyncio.create_task(stuck())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with store.begin() as connection:
        await accounts.create(connection, name="jpublic")
    assert await store.revision() == 1


async def test_a_follower_of_many_writers_misses_nothing(store: Store, store_url: str) -> None:
    second = await Store.open(store_url)

    async def write(writer: Store, name: str) -> None:
        for number in range(10):
            async with writer.begin() as connection:
                await accounts.create(connection, name=f"{name}{number}")

    async def follow() -> list[str]:
        seen: list[str] = []
        revision = 0
        while len(seen) < 60:
            await store.wait_for_change(revision, 10)
            found = await _increment(store, revision)
            seen += [account.name for account in found.accounts]
            revision = found.revision
        return seen

    try:
        following = asyncio.create_task(follow())
        await asyncio.gather(*(write(writer, f"w{n}-") for n, writer in enumerate([store, second] * 3)))
        seen = await following
    finally:
        await second.close()
    assert sorted(seen) == sorted(f"w{writer}-{number}" for writer in range(6) for number in range(10))
    assert await store.revision() == 60


async def test_a_commit_wakes_those_who_wait_at_once(store: Store) -> None:
    waiting = asyncio.create_task(store.wait_for_change(0, 10))
    async with store.begin() as connection:
        await accounts.create(connection, name="jpublic")
    committed = time.perf_counter()
    assert await waiting == 1
    assert time.perf_counter() - committed < 1


async def test_a_commit_of_another_process_is_seen_too(store: Store, store_url: str) -> None:
    other = await Store.open(store_url)
    waiting = asyncio.create_task(store.wait_for_change(0, 10))
    async with other.begin() as connection:
        await accounts.create(connection, name="jpublic")
    assert await waiting == 1
    await other.close()


async def test_waiting_ends_without_a_change_when_the_time_is_over(store: Store) -> None:
    assert await store.wait_for_change(0, 0.01) == 0


async def test_who_is_behind_the_list_of_changes_gets_everything(store: Store) -> None:
    for name in ("a", "b", "c"):
        async with store.begin() as connection:
            await accounts.create(connection, name=name)
    async with store.begin() as connection:
        await changes.forget(connection, 2)
    assert (await _increment(store, 1)).full
    assert not (await _increment(store, 2)).full


async def test_who_is_ahead_of_the_store_gets_everything(store: Store) -> None:
    # As after a restore from a backup.
    assert (await _increment(store, 7)).full


async def test_a_reader_sees_one_state_while_others_write(store: Store) -> None:
    async with store.read() as reading:
        assert await changes.current(reading) == 0
        async with store.begin() as connection:
            await accounts.create(connection, name="jpublic")
        assert (await snapshot.full(reading)).accounts == ()
    assert len((await _full(store)).accounts) == 1


async def test_a_snapshot_of_thousands_of_versions_takes_little_time(store: Store) -> None:
    count = 5_000
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        await versions.add_all(connection, [a_version(algorithm) for _ in range(count)])
    started = time.perf_counter()
    found = await _full(store)
    assert len(found.versions) == count
    # 50,000 must leave room in the 10 s that a start may take; this is far above what a quiet machine needs.
    assert time.perf_counter() - started < 3
    assert len((await _increment(store, 0)).versions) == count
