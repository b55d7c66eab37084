"""kill -9 of every kind of process while 32 connections call: nothing is lost, nothing is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.testing import Platform, descendants
from tests.conditions import eventually
from tests.scenarios.load import Callers, records

ECHO = "def apply(input):\n    return input\n"


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with Platform(tmp_path / "data") as platform:
        yield platform


def victims(platform: Platform, kind: str) -> list[int]:
    """Process ids of one kind."""
    if kind != "worker":
        return platform.processes()[kind]
    replicas = platform.request("GET", "/v1/status").json()["replicas"]
    return [replica["pid"] for replica in replicas]


@pytest.mark.parametrize("kind", ["worker", "host", "control", "observer", "gateway"])
async def test_every_reply_has_one_record_and_echo_is_served_again(platform: Platform, kind: str) -> None:
    key = platform.account("ann")
    platform.deploy("ann", "echo", key, ECHO)
    platform.publish("ann", "echo", key)
    callers = Callers(f"{platform.url}/v1/algo/ann/echo", key)

    async def story() -> None:
        await callers.served(200)
        for pid in victims(platform, kind):
            os.kill(pid, signal.SIGKILL)
        await callers.served(500)

    await callers.during(story)
    everything = [platform.pid, *descendants(platform.pid)]
    platform.stop()

    seen = records(platform.data / "journal")
    assert {identity: seen[identity] for identity in callers.results if seen[identity] != 1} == {}
    assert callers.good >= 700
    eventually(lambda: not [pid for pid in everything if Path(f"/proc/{pid}").exists()])


def test_killing_the_supervisor_leaves_no_process(platform: Platform) -> None:
    key = platform.account("ann")
    platform.deploy("ann", "echo", key, ECHO)
    everything = descendants(platform.pid)
    assert len(everything) >= 5

    platform.stop(signal.SIGKILL)

    eventually(lambda: not [pid for pid in everything if Path(f"/proc/{pid}").exists()])
