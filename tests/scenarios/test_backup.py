"""A backup that is taken while everything goes on becomes a platform that answers as the first one did."""

from __future__ import annotations

import asyncio
import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.testing import Platform
from tests.scenarios.load import Callers

ECHO = "def apply(input):\n    return input\n"
NAMES = ("echo", "echo2", "echo3")


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with Platform(tmp_path / "data") as platform:
        yield platform


def slipway(*words: str) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "slipway.cli.main", *words], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def busy(platform: Platform, key: str, ended: asyncio.Event) -> int:
    """Publish and upload until told; how many uploads were acknowledged."""
    for number in itertools.count():
        if ended.is_set():
            return number
        commit = f"def apply(input):\n    return input  # {number}\n"
        await asyncio.to_thread(platform.push, "ann", "echo2", key, {"src/echo2.py": commit})
        await asyncio.to_thread(platform.publish, "ann", "echo2", key)
        content = str(number).encode() * 100_000
        await asyncio.to_thread(platform.request, "PUT", "/v1/data/ann/files/one", key, content=content)
    return 0


async def test_a_backup_under_load_answers_elsewhere_and_verifies(platform: Platform, tmp_path: Path) -> None:
    key = platform.account("ann")
    for name in NAMES:
        platform.deploy("ann", name, key, ECHO)
        platform.publish("ann", name, key)
    platform.request("POST", "/v1/data/ann", key, json={"name": "files"})
    callers = Callers(f"{platform.url}/v1/algo/ann/echo", key, connections=8)

    async def story() -> None:
        ended = asyncio.Event()
        working = asyncio.ensure_future(busy(platform, key, ended))
        await callers.served(200)
        for number in range(3):
            await asyncio.to_thread(slipway, "backup", str(tmp_path / f"{number}.tar"), "--data", str(platform.data))
        await callers.served(200)
        ended.set()
        assert await working > 0

    await callers.during(story)
    assert callers.failures == []
    slipway("audit", "verify", "--data", str(platform.data))
    platform.stop()

    for number in range(3):
        await asyncio.to_thread(answers, tmp_path, number, key)


def answers(tmp_path: Path, number: int, key: str) -> None:
    """Restore a backup: every algorithm answers, what is hosted is whole, the ledger verifies."""
    data = tmp_path / f"restored-{number}"
    slipway("restore", str(tmp_path / f"{number}.tar"), "--data", str(data))
    slipway("audit", "verify", "--data", str(data))
    with Platform(data) as restored:
        for name in NAMES:
            reply = restored.request("POST", f"/v1/algo/ann/{name}", key, json="here").json()
            assert reply["result"] == "here"
        hosted = restored.request("GET", "/v1/data/ann/files", key).json().get("files", [])
        if hosted:
            content = restored.request("GET", "/v1/data/ann/files/one", key).content
            assert content == content[: len(content) // 100_000] * 100_000
        restored.push("ann", "echo", key, {"src/echo.py": "def apply(input):\n    return [input]\n"})
        restored.publish("ann", "echo", key)
        assert restored.request("POST", "/v1/algo/ann/echo", key, json=1).json()["result"] == [1]
    slipway("audit", "verify", "--data", str(data))
