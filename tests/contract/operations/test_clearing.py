"""Clearing removes what the policy says and nothing that anybody needs."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import msgspec
import pytest

from slipway.ids import new_id
from slipway.journal.checkpoints import CHECKPOINTS, Checkpointer
from slipway.journal.format import segments
from slipway.journal.records import new_event
from slipway.journal.verify import verify
from slipway.journal.writer import JournalWriter
from slipway.observe.observer import step, usage_path
from slipway.observe.usage import UsageStore
from slipway.operations.clearing import Cleared, clear
from slipway.registry import algorithms, builds, environments, jobs, routes, versions
from slipway.registry.store import Store
from slipway.settings import Settings
from slipway.types import Arm, Route
from tests.conditions import eventually
from tests.contract.operations import data_directories
from tests.contract.registry.factories import a_version, an_environment

_DAY = 86400.0


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    made = await data_directories.make(tmp_path / "data")
    return msgspec.structs.replace(made, keep_versions=2, keep_days=30.0)


def kinds(cleared: Cleared) -> dict[str, list[str]]:
    """Names by kind."""
    found: dict[str, list[str]] = {}
    for item in cleared.items:
        found.setdefault(item.kind, []).append(item.name)
    return found


def age(path: Path, days: float) -> None:
    """Let a file or directory be that old."""
    os.utime(path, (time.time() - days * _DAY,) * 2)


async def add_versions(settings: Settings, ages: list[float]) -> list[str]:
    """Unpublished versions made that many days ago, with directories."""
    store, made = await Store.open(settings.store), []
    async with store.begin() as connection:
        algorithm = await algorithms.get(connection, "ann", "echo")
        for number, days in enumerate(ages):
            version_id = new_id()
            directory = settings.versions_directory / version_id
            directory.mkdir(parents=True)
            (directory / "model.bin").write_bytes(b"m" * 10_000)
            values = {"commit": f"{number:040d}", "created_at": time.time() - days * _DAY}
            await versions.add(connection, a_version(algorithm, id=version_id, directory=str(directory), **values))
            made.append(version_id)
    await store.close()
    return made


async def left(settings: Settings) -> set[str]:
    """Ids of the versions that the store has."""
    store = await Store.open(settings.store)
    async with store.read() as connection:
        algorithm = await algorithms.get(connection, "ann", "echo")
        found, _ = await versions.page(connection, algorithm.id)
    await store.close()
    return {one.id for one in found}


async def test_old_unpublished_versions_go_but_for_the_newest(settings: Settings) -> None:
    (first,) = await left(settings)
    made = await add_versions(settings, [90, 80, 70, 1])
    planned = await clear(settings, dry_run=True)
    assert await left(settings) == {first, *made}

    cleared = await clear(settings, dry_run=False)
    assert kinds(cleared) == kinds(planned) == {"version": [f"ann/echo {n:040d}" for n in (2, 1, 0)]}
    assert cleared.size == planned.size >= 30_000
    assert await left(settings) == {first, made[3]}
    assert {path.name for path in settings.versions_directory.iterdir()} == {first, made[3]}
    assert (await clear(settings, dry_run=False)).items == []


@pytest.mark.parametrize("pause", [0.0, 0.02, 0.05, 0.1])
async def test_a_clearing_that_is_killed_removes_nothing_that_is_named(settings: Settings, pause: float) -> None:
    kept = {*await left(settings), *(await add_versions(settings, [90 - n for n in range(40)]))[-1:]}
    command = [sys.executable, "-m", "slipway.cli.main", "gc", "--data", str(settings.root)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, "SLIPWAY_KEEP_VERSIONS": "2"})
    lock = settings.run_directory / "operations.lock"
    eventually(lambda: lock.exists() or process.poll() is not None, 30.0)
    threading.Event().wait(pause)
    process.kill()
    process.wait()

    there = {path.name for path in settings.versions_directory.iterdir()}
    assert await left(settings) <= there
    for name in there:
        age(settings.versions_directory / name, 1)  # what was cut off goes as a leftover
    await clear(settings, dry_run=False)
    assert await left(settings) == kept
    assert {path.name for path in settings.versions_directory.iterdir()} == kept
    assert problems(settings) == []


async def test_what_is_published_or_live_stays_however_old(settings: Settings) -> None:
    made = await add_versions(settings, [90, 80, 70, 60, 50])
    store = await Store.open(settings.store)
    async with store.begin() as connection:
        algorithm = await algorithms.get(connection, "ann", "echo")
        await versions.publish(connection, made[0], "0.1.0", "private")
        await routes.set(connection, Route(algorithm_id=algorithm.id, arms=(Arm(version_id=made[1]),)))
    await store.close()
    await clear(settings, dry_run=False)
    assert {made[0], made[1]} <= await left(settings)
    assert made[2] not in await left(settings)


async def test_environments_that_no_version_needs_go(settings: Settings) -> None:
    unneeded, fresh = settings.environments_directory / ("a" * 64), settings.environments_directory / ("b" * 64)
    for directory in (unneeded, fresh):
        (directory / "bin").mkdir(parents=True)
    age(unneeded, 1)
    store = await Store.open(settings.store)
    async with store.begin() as connection:
        await environments.add(connection, an_environment("a" * 64))
    cleared = await clear(settings, dry_run=False)
    assert kinds(cleared) == {"environment": ["a" * 64]}
    assert not unneeded.exists()
    assert fresh.exists()
    async with store.read() as connection:
        assert [one.digest for one in await environments.list_all(connection)] == ["e" * 64]
    await store.close()


async def test_a_build_under_way_keeps_its_directory_and_all_environments(settings: Settings) -> None:
    store = await Store.open(settings.store)
    async with store.begin() as connection:
        algorithm = await algorithms.get(connection, "ann", "echo")
        build = await builds.start(connection, algorithm.id, "c" * 40)
    await store.close()
    unneeded, directory = settings.environments_directory / ("a" * 64), settings.versions_directory / build.id
    for one in (unneeded, directory):
        one.mkdir(parents=True)
        age(one, 1)
    assert (await clear(settings, dry_run=False)).items == []
    assert unneeded.exists()
    assert directory.exists()


async def test_what_ended_long_ago_is_forgotten(settings: Settings) -> None:
    store = await Store.open(settings.store)
    async with store.begin() as connection:
        for number in range(3):
            await jobs.enqueue(connection, kind="build", idempotency_key=str(number), payload={})
    for _ in range(2):
        async with store.begin() as connection:
            job = await jobs.claim(connection, ["build"], 10.0)
            assert job is not None
            await jobs.finish(connection, job)
    kept = msgspec.structs.replace(settings, keep_days=0.0, keep_versions=100)
    settings.builds_directory.mkdir()
    log, upload = settings.builds_directory / f"{new_id()}.log", settings.files_directory / ".uploads" / "1"
    upload.parent.mkdir()
    for path in (log, upload):
        path.write_text("x")
        age(path, 2)
    assert kinds(await clear(kept, dry_run=False)) == {
        "jobs": ["2"],
        "build log": [f"builds/{log.name}"],
        "leftover": ["files/.uploads/1"],
    }
    async with store.begin() as connection:
        assert await jobs.claim(connection, ["build"], 10.0) is not None
    await store.close()
    assert not log.exists()
    assert not upload.exists()


async def write_journal(settings: Settings, name: str, frames: int) -> None:
    """Frames of half a segment each."""
    journal = JournalWriter(settings.journal_directory / name, name, segment_bytes=4096)
    journal.start(asyncio.get_running_loop())
    for number in range(frames):
        await journal.write(new_event("ann", "test", f"ann/{number}", "done", {"padding": "x" * 1500}))
    await asyncio.to_thread(journal.close)


async def sign(settings: Settings) -> None:
    """One checkpoint of all heads."""
    journal = JournalWriter(settings.journal_directory / CHECKPOINTS, CHECKPOINTS, segment_bytes=2**20)
    journal.start(asyncio.get_running_loop())
    event = Checkpointer(settings.journal_directory, settings.root / "ledger.key").step()
    assert event is not None
    await journal.write(event)
    await asyncio.to_thread(journal.close)


def problems(settings: Settings) -> list[str]:
    """What is wrong with the ledger."""
    reports = verify(settings.journal_directory, settings.root / "ledger.pub")
    return [f"{report.writer}: {problem}" for report in reports for problem in report.problems]


async def aged_journal(settings: Settings, frames: int = 12) -> list[Path]:
    """A writer's segments, a year old, signed and counted."""
    for _ in range(2):
        await write_journal(settings, "gateway-0", frames // 2)
        await sign(settings)
    usage = UsageStore(usage_path(settings))
    while step(settings.journal_directory, usage):
        pass
    usage.close()
    found = segments(settings.journal_directory / "gateway-0")
    for path in found:
        age(path, 365)
    return found


async def test_old_journals_go_in_whole_segments_and_the_rest_verifies(settings: Settings) -> None:
    before = await aged_journal(settings)
    assert len(before) > 4
    assert (await clear(settings, dry_run=False)).items == []  # by default they are kept for ever

    settings = msgspec.structs.replace(settings, journal_keep_days=30.0)
    assert "journal" in kinds(await clear(settings, dry_run=True))
    assert segments(settings.journal_directory / "gateway-0") == before
    await clear(settings, dry_run=False)
    assert segments(settings.journal_directory / "gateway-0") == before[-2:]
    assert problems(settings) == []

    await write_journal(settings, "gateway-0", 8)
    await sign(settings)
    for path in segments(settings.journal_directory / "gateway-0"):
        age(path, 365)
    usage = UsageStore(usage_path(settings))
    while step(settings.journal_directory, usage):
        pass
    usage.close()
    await clear(settings, dry_run=False)
    assert len(segments(settings.journal_directory / "gateway-0")) == 2
    assert problems(settings) == []


async def test_a_clearing_that_was_cut_off_leaves_a_ledger_that_verifies(settings: Settings, tmp_path: Path) -> None:
    before = await aged_journal(settings)
    shutil.copytree(settings.journal_directory / "gateway-0", tmp_path / "copy")
    settings = msgspec.structs.replace(settings, journal_keep_days=30.0)
    await clear(settings, dry_run=False)
    for path in before[2:-2]:  # as if only two segments had gone
        shutil.copy2(tmp_path / "copy" / path.name, path)
    assert problems(settings) == []
    await clear(settings, dry_run=False)
    assert segments(settings.journal_directory / "gateway-0") == before[-2:]


async def test_segments_that_go_without_leave_are_missed(settings: Settings) -> None:
    before = await aged_journal(settings)
    await clear(msgspec.structs.replace(settings, journal_keep_days=30.0), dry_run=False)
    assert problems(settings) == []
    before[-2].unlink()
    assert any("a segment is missing" in problem for problem in problems(settings))


async def test_what_the_observer_has_not_counted_stays(settings: Settings) -> None:
    before = await aged_journal(settings)
    usage_path(settings).unlink()
    await clear(msgspec.structs.replace(settings, journal_keep_days=30.0), dry_run=False)
    assert segments(settings.journal_directory / "gateway-0") == before


async def test_payloads_can_go_before_their_records(settings: Settings) -> None:
    before = await aged_journal(settings)
    for path in before:
        age(path.with_suffix(".payloads"), 365)
    settings = msgspec.structs.replace(settings, payload_keep_days=30.0)
    assert len(kinds(await clear(settings, dry_run=False))["payloads"]) == len(before) - 2
    assert problems(settings) == []
