"""Two gateways behind one socket: one is stuck, then killed; the other's versions never notice."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from slipway.routing.ownership import owner_of
from slipway.testing import Platform
from tests.conditions import eventually
from tests.scenarios.load import Callers

ECHO = "def apply(input):\n    return input\n"
SLOW = "import time\n\ndef apply(input):\n    time.sleep(0.05)\n    return input\n"  # always at work under load
GATEWAYS = ("gateway-0", "gateway-1")


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    with Platform(tmp_path / "data", gateways=2) as platform:
        yield platform


def deploy_one_each(platform: Platform, key: str, source: str = ECHO) -> dict[str, str]:
    """Deploy until each gateway owns a version; the algorithm's name by gateway."""
    owned: dict[str, str] = {}
    for number in range(20):
        if len(owned) == len(GATEWAYS):
            break
        name = f"echo{number}"
        platform.deploy("ann", name, key, source)
        platform.publish("ann", name, key)
        page = platform.request("GET", f"/v1/algorithms/ann/{name}/versions", key).json()
        owner = owner_of(page["results"][0]["version_info"]["version_uuid"], GATEWAYS)
        assert owner is not None
        owned[owner] = name
    return owned


def gateway_pid(platform: Platform, name: str) -> int:
    """Whose environment carries that name."""
    for pid in platform.processes()["gateway"]:
        if f"SLIPWAY_GATEWAY_NAME={name}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes():
            return pid
    raise AssertionError(f"no process of {name}")


async def test_a_stuck_gateway_does_not_hurt_the_others_versions(platform: Platform) -> None:
    key = platform.account("ann")
    names = deploy_one_each(platform, key)
    stuck = gateway_pid(platform, "gateway-1")
    os.kill(stuck, signal.SIGSTOP)
    try:
        callers = Callers(f"{platform.url}/v1/algo/ann/{names['gateway-0']}", key)

        async def story() -> None:
            await callers.served(500)
            os.kill(stuck, signal.SIGKILL)
            await callers.served(500)

        await callers.during(story)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(stuck, signal.SIGCONT)

    assert (callers.failures, callers.broken) == ([], 0)


def test_versions_of_a_killed_gateway_are_served_by_the_other(platform: Platform) -> None:
    key = platform.account("ann")
    names = deploy_one_each(platform, key)
    os.kill(gateway_pid(platform, "gateway-1"), signal.SIGKILL)
    headers = {"Authorization": f"Simple {key}", "Content-Type": "application/json"}

    def answer() -> bool:
        try:
            reply = httpx.post(f"{platform.url}/v1/algo/ann/{names['gateway-1']}", content="7", headers=headers)
        except httpx.TransportError:
            return False
        return bool(reply.json().get("result") == 7)

    eventually(answer)


async def test_a_version_that_returns_to_its_gateway_leaves_no_replica_behind(platform: Platform) -> None:
    key = platform.account("ann")
    name = deploy_one_each(platform, key, SLOW)["gateway-1"]
    callers = Callers(f"{platform.url}/v1/algo/ann/{name}", key)

    def holders() -> set[str]:
        replicas = platform.request("GET", "/v1/status").json()["replicas"]
        return {replica["gateway"] for replica in replicas if replica["algorithm"] == f"ann/{name}"}

    async def story() -> None:
        await callers.served(20)
        os.kill(gateway_pid(platform, "gateway-1"), signal.SIGKILL)
        await callers.served(5)  # by the other one, or by the next
        await asyncio.to_thread(eventually, lambda: "gateway-1" in holders(), 30.0)
        await callers.served(20)

    await callers.during(story)

    # What it gave back may be a spare of the host's for a while, which nobody holds.
    eventually(lambda: "gateway-0" not in holders())
