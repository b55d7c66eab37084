"""A backup is whole or not there; a restored platform is the one that was backed up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import threading
from pathlib import Path

import msgspec
import pytest

from slipway.errors import BackupDamaged, DataDirectoryInUse, DataDirectoryUnusable, InputError, NewerFormat
from slipway.journal.verify import verify
from slipway.operations import archive
from slipway.operations.backup import back_up
from slipway.operations.exclusive import alone
from slipway.operations.restore import restore
from slipway.registry import snapshot
from slipway.registry.store import Store
from slipway.settings import Settings
from slipway.types import Snapshot
from tests.conditions import eventually
from tests.contract.operations import data_directories


@pytest.fixture
async def settings(tmp_path: Path) -> Settings:
    return await data_directories.make(tmp_path / "data")


async def rows(settings: Settings) -> Snapshot:
    """What the store tells gateways."""
    store = await Store.open(settings.store)
    async with store.read() as connection:
        found = await snapshot.full(connection)
    await store.close()
    return found


def problems(settings: Settings) -> list[str]:
    """What is wrong with the ledger."""
    reports = verify(settings.journal_directory, settings.root / "ledger.pub")
    assert reports
    return [problem for report in reports for problem in report.problems]


def at(data: Path) -> Settings:
    """The settings of another data directory."""
    return Settings(data=str(data))


async def test_a_restored_directory_is_the_one_that_was_backed_up(settings: Settings, tmp_path: Path) -> None:
    made = await back_up(settings, tmp_path / "backup.tar")
    restored = at(tmp_path / "elsewhere" / "data")
    result = await restore(tmp_path / "backup.tar", restored)

    assert (tmp_path / "backup.tar").stat().st_mode & 0o777 == 0o600
    assert (result.files, result.warnings) == (made.files, [])
    assert (restored.files_directory / "ann" / "models" / "weights.lock").read_bytes() == b"w" * 1000
    assert (restored.root / "secrets.key").stat().st_mode & 0o777 == 0o600
    assert (restored.root / "ledger.key").read_bytes() == (settings.root / "ledger.key").read_bytes()
    assert (restored.git_directory / "ann" / "echo.git" / "HEAD").is_file()
    assert problems(restored) == []
    assert {path.name for path in tmp_path.glob(".*")} == set()


async def test_paths_in_the_store_lead_to_the_new_place(settings: Settings, tmp_path: Path) -> None:
    await back_up(settings, tmp_path / "backup.tar")
    restored = at(tmp_path / "new")
    await restore(tmp_path / "backup.tar", restored)

    before, after = await rows(settings), await rows(restored)
    (version,) = after.versions
    assert (Path(version.directory) / "src" / "echo.py").is_file()
    assert Path(version.directory).parent == restored.versions_directory
    assert Path(version.directory).stat().st_mode & 0o777 == 0o555
    assert version.interpreter.startswith("/environments/")  # it lay elsewhere before, too
    assert after.keys == before.keys
    assert after.algorithms == before.algorithms


async def test_the_ledger_tells_of_backup_and_restore(settings: Settings, tmp_path: Path) -> None:
    await back_up(settings, tmp_path / "backup.tar")
    await restore(tmp_path / "backup.tar", at(tmp_path / "new"))
    assert (settings.journal_directory / "operations").is_dir()
    assert problems(settings) == []
    assert "operations" in [one.writer for one in verify(tmp_path / "new" / "journal", tmp_path / "new" / "ledger.pub")]


async def test_a_version_whose_files_are_missing_makes_no_backup(settings: Settings, tmp_path: Path) -> None:
    (version,) = (await rows(settings)).versions
    Path(version.directory).rename(tmp_path / "gone")
    with pytest.raises(Exception, match=version.id):
        await back_up(settings, tmp_path / "backup.tar")
    assert not (tmp_path / "backup.tar").exists()


@pytest.mark.parametrize("where", ["there already", "data/backup.tar", "no/such/folder/backup.tar"])
async def test_a_backup_is_written_to_a_new_file_outside_only(settings: Settings, tmp_path: Path, where: str) -> None:
    (tmp_path / "there already").write_text("mine")
    with pytest.raises(InputError):
        await back_up(settings, tmp_path / where)
    assert (tmp_path / "there already").read_text() == "mine"


async def test_a_backup_waits_for_no_other(settings: Settings, tmp_path: Path) -> None:
    with alone(settings), pytest.raises(DataDirectoryInUse):
        await back_up(settings, tmp_path / "backup.tar")


async def test_a_directory_that_holds_something_is_not_restored_over(settings: Settings, tmp_path: Path) -> None:
    await back_up(settings, tmp_path / "backup.tar")
    with pytest.raises(DataDirectoryUnusable, match="not empty"):
        await restore(tmp_path / "backup.tar", settings)


@pytest.mark.parametrize("damage", ["a byte", "the end", "the middle", "everything"])
async def test_a_damaged_archive_is_refused_whole(settings: Settings, tmp_path: Path, damage: str) -> None:
    await back_up(settings, tmp_path / "backup.tar")
    data = bytearray((tmp_path / "backup.tar").read_bytes())
    if damage == "a byte":
        data[data.index(b"wwww")] ^= 1
    elif damage == "the end":
        del data[data.rindex(b"manifest.json") :]
    elif damage == "the middle":
        del data[4096:6000]
    else:
        data = bytearray(os.urandom(5000))
    (tmp_path / "backup.tar").write_bytes(data)
    with pytest.raises(BackupDamaged):
        await restore(tmp_path / "backup.tar", at(tmp_path / "new"))
    assert not (tmp_path / "new").exists()
    assert {path.name for path in tmp_path.glob(".*")} == set()


@pytest.mark.parametrize("field", ["format", "journal_format"])
async def test_a_backup_of_a_newer_format_is_refused(tmp_path: Path, field: str) -> None:
    header = archive.Header(format=1, slipway="9", created_at=0.0, root="/data", schema="0001", journal_format=1)
    with (tmp_path / "backup.tar").open("wb") as out:
        archive.ArchiveWriter(out, msgspec.structs.replace(header, **{field: 7})).close()
    with pytest.raises(NewerFormat, match=r"format 7, .* knows 1"):
        await restore(tmp_path / "backup.tar", at(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


async def test_an_archive_cannot_write_beside_its_directory(tmp_path: Path) -> None:
    header = archive.Header(format=1, slipway="9", created_at=0.0, root="/data", schema="0001", journal_format=1)
    with (tmp_path / "good.tar").open("wb") as out:
        archive.ArchiveWriter(out, header).close()
    with tarfile.open(tmp_path / "good.tar") as good, tarfile.open(tmp_path / "backup.tar", "w") as bad:
        first = good.getmembers()[0]
        bad.addfile(first, good.extractfile(first))
        bad.addfile(tarfile.TarInfo("data/../../outside"))
    with pytest.raises(BackupDamaged, match="outside"):
        await restore(tmp_path / "backup.tar", at(tmp_path / "new"))
    assert not (tmp_path / "outside").exists()


def command(*words: str) -> subprocess.Popen[bytes]:
    """A `slipway` of its own, to be killed."""
    return subprocess.Popen([sys.executable, "-m", "slipway.cli.main", *words], stdout=subprocess.DEVNULL)


def killed_once(process: subprocess.Popen[bytes], folder: Path, pattern: str, pause: float) -> None:
    """kill -9 a while after its unfinished work shows."""
    eventually(lambda: list(folder.glob(pattern)) or process.poll() is not None, 30.0)
    threading.Event().wait(pause)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.parametrize("pause", [0.0, 0.03, 0.1, 0.2])
async def test_killed_tools_leave_nothing_visible_and_work_again(tmp_path: Path, pause: float) -> None:
    settings = await data_directories.make(tmp_path / "data", hosted_bytes=100 * 2**20)
    target, new = tmp_path / "backup.tar", tmp_path / "new"

    killed_once(command("backup", str(target), "--data", str(settings.root)), tmp_path, ".backup.tar.part-*/*", pause)
    if not target.exists():
        await back_up(settings, target)
    killed_once(command("restore", str(target), "--data", str(new)), tmp_path, ".new.restoring-*/*", pause)
    if not new.exists():
        await restore(target, at(new))

    assert {path.name for path in tmp_path.glob(".*")} == set()
    assert (new / "files" / "ann" / "models" / "weights.lock").stat().st_size == 100 * 2**20
    assert len((await rows(at(new))).versions) == 1
    assert problems(at(new)) == []
