"""A store that cannot be opened says so in one line, before anything is changed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from slipway.errors import (
    CapacityError,
    DataDirectoryInUse,
    DataDirectoryUnusable,
    DiskFull,
    SettingsError,
    StartupError,
)
from slipway.registry import accounts, engine
from slipway.registry.store import Store


async def _refusal(url: str) -> StartupError:
    with pytest.raises(StartupError) as caught:
        await Store.open(url)
    assert "\n" not in str(caught.value)
    return caught.value


async def test_a_file_that_is_no_database_is_refused_unchanged(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    file.write_bytes(b"something else entirely" * 100)
    error = await _refusal(f"sqlite:///{file}")
    assert isinstance(error, DataDirectoryUnusable)
    assert str(file) in str(error)
    assert file.read_bytes() == b"something else entirely" * 100


async def test_a_damaged_database_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    await (await Store.open(f"sqlite:///{file}")).close()
    content = bytearray(file.read_bytes())
    content[4096 * 3 :] = b"\xff" * (len(content) - 4096 * 3)
    file.write_bytes(content)
    assert isinstance(await _refusal(f"sqlite:///{file}"), DataDirectoryUnusable)


async def test_a_directory_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "store.db").mkdir()
    assert isinstance(await _refusal(f"sqlite:///{tmp_path / 'store.db'}"), DataDirectoryUnusable)


async def test_a_store_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    await (await Store.open(f"sqlite:///{file}")).close()
    assert isinstance(await _refusal(f"sqlite:///file:{file}?mode=ro&uri=true"), DataDirectoryUnusable)


async def test_a_store_that_another_program_has_locked_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "store.db"
    await (await Store.open(f"sqlite:///{file}")).close()
    monkeypatch.setattr(engine, "_BUSY_MILLISECONDS", 10)
    other = sqlite3.connect(file)
    other.execute("BEGIN IMMEDIATE")
    error = await _refusal(f"sqlite:///{file}")
    other.close()
    assert isinstance(error, DataDirectoryInUse)


async def test_a_lock_that_comes_later_is_a_lack_of_capacity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "_BUSY_MILLISECONDS", 10)
    file = tmp_path / "store.db"
    store = await Store.open(f"sqlite:///{file}")
    other = sqlite3.connect(file)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CapacityError, match="busy"):
        async with store.begin() as connection:
            await accounts.create(connection, name="jpublic")
    other.close()
    async with store.begin() as connection:
        await accounts.create(connection, name="jpublic")
    await store.close()


async def test_a_full_disk_is_told_as_such_and_recovered_from(tmp_path: Path) -> None:
    store = await Store.open(f"sqlite:///{tmp_path / 'store.db'}")

    async def write(pages: int) -> None:
        async with store.begin() as connection:
            # The database's own limit: SQLite answers as it does on a disk without space.
            await connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
            await accounts.create(connection, name="jpublic", email="x" * 100_000)

    with pytest.raises(DiskFull):
        await write(1)
    await write(1_000_000)
    await store.close()


async def test_the_file_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    store = await Store.open(f"sqlite:///{tmp_path / 'new directory' / 'store.db'}")
    async with store.begin() as connection:
        await accounts.create(connection, name="jpublic")
    modes = {file.name: file.stat().st_mode & 0o777 for file in (tmp_path / "new directory").iterdir()}
    await store.close()
    assert set(modes) == {"store.db", "store.db-wal", "store.db-shm"}
    assert set(modes.values()) == {0o600}


async def test_sqlite_is_durable_checks_references_and_types(tmp_path: Path) -> None:
    store = await Store.open(f"sqlite:///{tmp_path / 'store.db'}")
    async with store.read() as connection:
        values = {
            name: (await connection.exec_driver_sql(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
        tables = await connection.exec_driver_sql("SELECT name FROM pragma_table_list WHERE strict = 1")
        strict = {row.name for row in tables}
    await store.close()
    assert values == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}
    assert {"accounts", "keys", "versions", "jobs", "changes", "revision"} <= strict


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://host/name", "sqlite+pysqlite:///x.db"])
async def test_an_address_that_is_not_supported_is_a_wrong_setting(url: str) -> None:
    assert isinstance(await _refusal(url), SettingsError)


async def test_a_server_that_does_not_answer_is_named_without_the_password() -> None:
    error = await _refusal("postgresql://user:secret@127.0.0.1:1/slipway")
    assert "127.0.0.1:1" in str(error)
    assert "secret" not in str(error)


async def test_a_database_that_does_not_exist_is_named(postgres_server: str) -> None:
    url = postgres_server.replace("/postgres?", "/absent?")
    assert "absent" in str(await _refusal(url))
