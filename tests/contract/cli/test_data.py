"""`slipway data`: copies both ways, whole directories, patterns, and what fails."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from slipway.testing import Platform
from tests.conditions import eventually
from tests.contract.cli.conftest import Commands


@pytest.fixture(scope="module")
def dan(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    commands = Commands(platform, "dan", tmp_path_factory.mktemp("dan s home"))
    commands.run("data", "mkdir", "data://.my/files", "data://.my/other")
    for name in ("a b.csv", "c.csv", "d.txt"):
        (commands.home / name).write_text(f"in {name}\n")
    commands.run("data", "cp", "a b.csv", "c.csv", "d.txt", "data://.my/files")
    return commands


def names(dan: Commands, address: str) -> list[str]:
    """The addresses that a listing has."""
    return sorted(one["address"] for one in json.loads(dan.run("data", "ls", address, "--json").stdout))


def test_what_was_copied_is_listed_for_people_and_for_programs(dan: Commands) -> None:
    assert "files/" in dan.run("data", "ls").stdout
    lines = dan.run("data", "ls", "data://dan/files").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["SIZE", "11", "9", "9"]
    assert lines[1].endswith("a b.csv")
    assert names(dan, "data://dan/files/*.csv") == ["data://dan/files/a b.csv", "data://dan/files/c.csv"]
    assert names(dan, "data://dan/files/d.txt") == ["data://dan/files/d.txt"]
    assert "data://dan" in "".join(names(dan, "data://"))


def test_files_are_written_to_standard_output_and_read_from_standard_input(dan: Commands) -> None:
    assert dan.run("data", "cat", "data://.my/files/*.csv").stdout == "in a b.csv\nin c.csv\n"
    dan.run("data", "cp", "-", "data://.my/other/piped", given=b"\x00\xff" * 300_000)
    dan.run("data", "cp", "data://.my/other/piped", "back")
    assert (dan.home / "back").read_bytes() == b"\x00\xff" * 300_000
    assert dan.run("data", "cp", "data://.my/files/d.txt", "-").stdout == "in d.txt\n"
    dan.run("data", "rm", "data://.my/other/piped")


def test_directories_are_copied_with_all_that_is_in_them_both_ways(dan: Commands) -> None:
    (dan.home / "tree" / "deep er").mkdir(parents=True)
    (dan.home / "tree" / "one").write_text("1")
    (dan.home / "tree" / "deep er" / "two").write_text("2")
    dan.run("data", "mkdir", "-p", "data://.my/up/there")
    assert "-r" in dan.run("data", "cp", "tree", "data://.my/up/there", status=1).stderr
    for _ in range(2):
        dan.run("data", "cp", "-r", "tree", "data://.my/up/there")
    dan.run("data", "cp", "-r", "data://.my/up/there/tree", "data://.my/again")
    dan.run("data", "cp", "-r", "data://.my/again", "down")
    copies = {path.relative_to(dan.home / "down").as_posix() for path in (dan.home / "down").rglob("*")}
    assert copies == {"one", "deep er", "deep er/two"}
    assert (dan.home / "down" / "deep er" / "two").read_text() == "2"
    assert dan.run("data", "rm", "data://.my/up", status=1).stderr
    dan.run("data", "rm", "-r", "data://.my/up", "data://.my/again")
    assert "no" in dan.run("data", "ls", "data://.my/up", status=1).stderr


def test_what_cannot_be_copied_is_named_and_the_rest_is_there(dan: Commands) -> None:
    (dan.home / "target").mkdir()
    words = ["data://.my/files/c.csv", "data://.my/files/nothing", "data://.my/files/d.txt"]
    errors = dan.run("data", "cp", *words, "target", status=1).stderr
    assert "data://.my/files/nothing: " in errors
    assert "1 not copied, 2 copied" in errors
    assert sorted(path.name for path in (dan.home / "target").iterdir()) == ["c.csv", "d.txt"]
    assert "missing: No such file" in dan.run("data", "cp", "missing", "data://.my/files", status=1).stderr


def test_wrong_command_lines_are_told_what_to_write(dan: Commands) -> None:
    assert "write data://" in dan.run("data", "ls", "dan/files", status=2).stderr
    assert "TO" in dan.run("data", "cp", "data://.my/files/c.csv", status=2).stderr
    assert "one side" in dan.run("data", "cp", "c.csv", "e.csv", status=2).stderr
    assert "is no directory" in dan.run("data", "cp", "c.csv", "d.txt", "data://.my/nowhere", status=2).stderr
    assert "nothing fits" in dan.run("data", "cat", "data://.my/files/*.json", status=1).stderr
    assert "is a directory" in dan.run("data", "cat", "data://.my/files", status=1).stderr
    assert "may not" in dan.run("data", "ls", "data://admin", status=1).stderr


def test_an_interrupted_download_leaves_no_file_and_no_traceback(dan: Commands, tmp_path: Path) -> None:
    with (dan.home / "large").open("wb") as file:
        file.truncate(400 * 2**20)
    dan.run("data", "cp", "large", "data://.my/other/large")
    command = [
        sys.executable,
        "-m",
        "slipway.cli.main",
        "data",
        "cp",
        "data://.my/other/large",
        str(tmp_path / "large"),
    ]
    with subprocess.Popen(command, env=dan.environment(), stderr=subprocess.PIPE) as process:
        eventually(lambda: list(tmp_path.glob(".large.*.part")))
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"Traceback" not in errors
    assert list(tmp_path.iterdir()) == []
    dan.run("data", "rm", "data://.my/other/large")
    (dan.home / "large").unlink()
