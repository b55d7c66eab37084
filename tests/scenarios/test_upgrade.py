"""A data directory of an earlier Slipway starts and answers; one of a later Slipway is refused.

`fixtures/data-schema-0001.tar.xz` is what the first release's code left after one deployment, a hosted file and five
calls; its store names the directory `/before`, and its one environment, which has no packages, is made by the test.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from slipway.testing import Platform

FIXTURE = Path(__file__).parent / "fixtures" / "data-schema-0001.tar.xz"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """The earlier directory, at its new place on this machine."""
    data = tmp_path / "data"
    with tarfile.open(FIXTURE) as archive:
        # Without a filter later Pythons warn, and the first of 3.11 know none.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(data)
    store = sqlite3.connect(data / "store.db")
    for table, column in (("versions", "directory"), ("environments", "interpreter")):
        store.execute(f"UPDATE {table} SET {column} = replace({column}, '/before', ?)", (str(data),))
    store.commit()
    assert store.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
    ((interpreter,),) = store.execute("SELECT interpreter FROM environments")
    store.close()
    environment = Path(interpreter).parent.parent
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(environment)], check=True, timeout=60)
    return data


def slipway(*words: str) -> subprocess.CompletedProcess[str]:
    """A command's end."""
    return subprocess.run(
        [sys.executable, "-m", "slipway.cli.main", *words], capture_output=True, text=True, timeout=120, check=False
    )


def answers(data: Path) -> None:
    """What was deployed answers, what was hosted is there, and the ledger goes on from where it was."""
    with Platform(data) as platform:
        key = platform.admin_key
        assert platform.request("POST", "/v1/algo/ann/echo", key, json="here").json()["result"] == "here"
        assert platform.request("GET", "/v1/data/ann/files/one", key).content == b"hosted"
        platform.push("ann", "echo", key, {"src/echo.py": "def apply(input):\n    return [input]\n"})
        platform.publish("ann", "echo", key, "public")
        assert platform.request("POST", "/v1/algo/ann/echo", key, json=1).json()["result"] == [1]
    done = slipway("audit", "verify", "--data", str(data))
    assert done.returncode == 0, done.stderr
    assert slipway("audit", "--data", str(data)).stdout.count("ann/echo") >= 7


def test_an_earlier_data_directory_starts_and_answers(data: Path) -> None:
    answers(data)


def test_an_earlier_data_directory_is_backed_up_before_it_is_upgraded(data: Path, tmp_path: Path) -> None:
    done = slipway("backup", str(tmp_path / "before.tar"), "--data", str(data))
    assert done.returncode == 0, done.stderr
    done = slipway("restore", str(tmp_path / "before.tar"), "--data", str(tmp_path / "again"))
    assert done.returncode == 0, done.stderr
    answers(tmp_path / "again")


def _later_store(data: Path) -> None:
    store = sqlite3.connect(data / "store.db")
    store.execute("UPDATE alembic_version SET version_num = '9999'")
    store.commit()
    store.close()


def _later_journal(data: Path) -> None:
    segment = data / "journal" / "control" / "00000001.journal"
    content = bytearray(segment.read_bytes())
    content[8:10] = (9).to_bytes(2, "little")
    segment.write_bytes(content)


@pytest.mark.parametrize(
    ("change", "theirs", "ours"), [(_later_store, "schema 9999", "knows 00"), (_later_journal, "format 9", "knows 1")]
)
def test_a_later_data_directory_is_refused_with_both_versions_named(
    data: Path, change: Callable[[Path], None], theirs: str, ours: str
) -> None:
    change(data)
    kept = {path: path.read_bytes() for path in (data / "journal").rglob("*.journal")}
    done = slipway("up", "--data", str(data), "--port", "0")
    assert done.returncode == 2
    assert theirs in done.stderr
    assert ours in done.stderr
    assert {path: path.read_bytes() for path in kept if "control" in str(path)} == {
        path: content for path, content in kept.items() if "control" in str(path)
    }
    assert os.listdir(data / "versions")
