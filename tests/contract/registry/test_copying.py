"""A store moves between databases with every row; what is not empty is not written over."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from slipway.errors import DataDirectoryUnusable, InputError, SlipwayError
from slipway.operations.backup import back_up
from slipway.operations.moving import move_store
from slipway.operations.restore import restore
from slipway.registry import accounts, copying, jobs, keys, routes, snapshot
from slipway.registry.online import holds_the_same, is_empty
from slipway.registry.store import Store
from slipway.settings import Settings
from slipway.types import Arm, Route, Snapshot
from tests.conditions import eventually
from tests.contract.registry.conftest import _execute
from tests.contract.registry.factories import make_algorithm, make_version

_numbers = itertools.count()


@pytest.fixture
def new_postgres(postgres_server: str) -> Callable[[], str]:
    """Makes empty databases."""

    def make() -> str:
        name = f"copied_{next(_numbers)}"
        asyncio.run(_execute(postgres_server, f"CREATE DATABASE {name}"))
        return postgres_server.replace("/postgres?", f"/{name}?")

    return make


@pytest.fixture
def postgres(new_postgres: Callable[[], str]) -> str:
    return new_postgres()


@pytest.fixture
def another_postgres(new_postgres: Callable[[], str]) -> str:
    return new_postgres()


async def fill(url: str) -> Snapshot:
    """Rows of most tables, with JSON, bytes, flags and times in them."""
    store = await Store.open(url)
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection, "ann")
        version = await make_version(connection, algorithm)
        await routes.set(connection, Route(algorithm_id=algorithm.id, arms=(Arm(version_id=version.id, weight=30),)))
        await keys.create(connection, algorithm.account_id)
        for number in range(1200):
            await accounts.create(connection, name=f"user{number}", email="ünal@example.com")
        await jobs.enqueue(connection, kind="build", idempotency_key="1", payload={"a": "b"})
    found = await read(url)
    await store.close()
    return found


async def read(url: str) -> Snapshot:
    """What gateways hold."""
    store = await Store.open(url)
    async with store.read() as connection:
        found = await snapshot.full(connection)
    await store.close()
    return found


def by_id(found: Snapshot) -> list[object]:
    """A snapshot whatever the order of its rows."""
    return [
        found.revision,
        *(sorted(map(repr, getattr(found, part))) for part in ("accounts", "keys", "versions", "routes")),
    ]


async def test_a_store_moves_to_postgresql_and_back(tmp_path: Path, postgres: str) -> None:
    settings = Settings(data=str(tmp_path / "data"))
    settings.root.mkdir()
    before = await fill(settings.store)
    moved = await move_store(settings, postgres)
    assert moved["accounts"].rows == 1201
    assert by_id(await read(postgres)) == by_id(before)

    back = f"sqlite:///{tmp_path / 'back.db'}"
    await move_store(Settings(data=str(tmp_path / "data"), store_url=postgres), back)
    assert by_id(await read(back)) == by_id(before)
    assert await holds_the_same(settings.store, back)


async def test_a_target_that_holds_something_is_refused_unchanged(tmp_path: Path, postgres: str) -> None:
    settings = Settings(data=str(tmp_path / "data"))
    settings.root.mkdir()
    await fill(settings.store)
    store = await Store.open(postgres)
    async with store.begin() as connection:
        await accounts.create(connection, name="owner")
    await store.close()
    before = await read(postgres)
    with pytest.raises(InputError, match="not empty"):
        await move_store(settings, postgres)
    assert by_id(await read(postgres)) == by_id(before)


async def test_a_move_that_fails_leaves_the_target_empty(
    tmp_path: Path, postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(data=str(tmp_path / "data"))
    settings.root.mkdir()
    await fill(settings.store)

    async def something_else(_connection: object) -> copying.Contents:
        return {"accounts": copying.Content(0, "")}

    monkeypatch.setattr(copying, "contents", something_else)
    with pytest.raises(SlipwayError, match="accounts"):
        await move_store(settings, postgres)
    monkeypatch.undo()
    assert await is_empty(postgres, tmp_path)
    await move_store(settings, postgres)
    assert await holds_the_same(settings.store, postgres)


@pytest.mark.parametrize("pause", [0.0, 0.1, 0.25, 0.5])
async def test_a_move_that_is_killed_leaves_all_or_nothing(tmp_path: Path, postgres: str, pause: float) -> None:
    settings = Settings(data=str(tmp_path / "data"))
    settings.root.mkdir()
    await fill(settings.store)
    command = [sys.executable, "-m", "slipway.cli.main", "migrate-store", postgres, "--data", str(settings.root)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    lock = settings.run_directory / "operations.lock"
    eventually(lambda: lock.exists() or process.poll() is not None, 30.0)
    threading.Event().wait(pause)
    process.kill()
    process.wait()

    if await is_empty(postgres, tmp_path):
        await move_store(settings, postgres)
    assert await holds_the_same(settings.store, postgres)


async def test_a_store_in_postgresql_is_backed_up_and_restored(
    tmp_path: Path, postgres: str, another_postgres: str
) -> None:
    store = await Store.open(postgres)
    async with store.begin() as connection:
        await accounts.create(connection, name="ann")
    await store.close()
    (tmp_path / "data").mkdir()
    settings = Settings(data=str(tmp_path / "data"), store_url=postgres)
    await back_up(settings, tmp_path / "backup.tar")

    fuller = await Store.open(postgres)
    async with fuller.begin() as connection:
        await accounts.create(connection, name="bob")
    await fuller.close()
    with pytest.raises(DataDirectoryUnusable, match="not empty"):
        await restore(tmp_path / "backup.tar", Settings(data=str(tmp_path / "new"), store_url=postgres))
    assert not (tmp_path / "new").exists()

    for place in ("new", "second"):  # the second finds the same rows there, as after a restore that was cut off
        found = await restore(tmp_path / "backup.tar", Settings(data=str(tmp_path / place), store_url=another_postgres))
        assert "store_url" in found.warnings[0]
        assert [one.name for one in (await read(another_postgres)).accounts] == ["ann"]
        assert not (tmp_path / place / "store.db").exists()


async def test_paths_below_a_directory_are_moved_and_no_others(store: Store) -> None:
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        await make_version(connection, algorithm, directory="/data/versions/1")
        other = await make_version(connection, algorithm, directory="/data2/versions/1")
        await copying.relocate(connection, "/data", "/new/place")
    async with store.read() as connection:
        found = {one.directory for one in (await snapshot.full(connection)).versions}
    assert found == {"/new/place/versions/1", other.directory}
