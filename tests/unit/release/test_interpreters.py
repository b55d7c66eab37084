"""Which interpreter a commit gets."""

from __future__ import annotations

import stat
import sys
from pathlib import Path

import pytest

from slipway.errors import BuildFailed
from slipway.release.interpreters import Interpreter, Interpreters, choose, satisfies

OWN = (sys.version_info[0], sys.version_info[1])


def interpreter(path: str, *version: int, shared: bool = True) -> Interpreter:
    major, minor, patch = version
    return Interpreter(path=path, version=(major, minor, patch), build="b", platform="p", shared=shared)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("", True),
        ("3", True),
        ("3.11", True),
        ("3.11.7", True),
        ("3.11.8", False),
        ("3.1", False),
        ("==3.11.*", True),
        (">=3.10", True),
        (">=3.10,<3.11", False),
        (">= 3.10, <3.13", True),
        ("~=3.10", True),
        ("~=3.11.2", True),
        ("~=3.12", False),
        ("!=3.11", False),
        (">3.11", False),
        ("<=3.11", True),
    ],
)
def test_a_wish_is_read_as_usual(wanted: str, expected: bool) -> None:
    assert satisfies((3, 11, 7), wanted) is expected


@pytest.mark.parametrize("wanted", ["three", "3.11.x", ">=", "3.11,", "python3.11"])
def test_what_is_no_wish_is_refused(wanted: str) -> None:
    with pytest.raises(BuildFailed, match="is no version"):
        satisfies((3, 11, 7), wanted)


def test_without_a_wish_it_is_the_platforms_own_version() -> None:
    found = [interpreter("new", 3, 99, 0), interpreter("own", *OWN, 1), interpreter("old", 3, 9, 0)]
    assert choose(found, "").path == "own"
    assert choose(found, ">=3.9").path == "own"


def test_one_that_every_user_can_run_comes_first() -> None:
    found = [interpreter("home", *OWN, 9, shared=False), interpreter("system", *OWN, 2)]
    assert choose(found, "").path == "system"


def test_otherwise_it_is_the_newest() -> None:
    found = [interpreter("a", 3, 97, 1), interpreter("b", 3, 98, 0), interpreter("c", 3, 98, 5)]
    assert choose(found, ">=3.97").path == "c"


def test_a_missing_one_is_told_with_those_that_were_found() -> None:
    found = [interpreter("a", 3, 9, 18), interpreter("b", 3, 10, 2)]
    with pytest.raises(BuildFailed, match=r"no Python 3\.13 on this machine: found 3\.9\.18, 3\.10\.2"):
        choose(found, "3.13")


async def test_this_machines_own_is_found_with_its_build() -> None:
    found = await Interpreters().find()
    versions = {each.version for each in found}
    assert sys.version_info[:3] in versions
    assert all(each.build.startswith("cpython|") for each in found)
    assert len({each.path for each in found}) == len(found)


async def test_one_that_is_set_is_found_and_broken_ones_are_passed_over(tmp_path: Path) -> None:
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\necho nonsense\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    found = await Interpreters([str(broken), str(tmp_path / "nothing"), sys.executable]).find()
    paths = [each.path for each in found]
    assert str(broken) not in paths
    assert str(Path(sys.executable).resolve()) in paths
