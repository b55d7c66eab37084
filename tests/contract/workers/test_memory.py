"""What a host does when its memory is used up: end what is idle, and refuse to start what does not fit."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.types import Start, Version
from tests.conditions import eventually
from tests.contract.workers.hosts import Control, Gateway, Host

MIB = 2**20
ECHO = "import os\n\ndef apply(input):\n    return os.getpid()\n"
LARGE = "block = bytes(range(256)) * (48 * 4096)\n" + ECHO  # 48 MiB
HALF = "block = bytes(range(256)) * (128 * 4096)\n" + ECHO  # so that two of them are more than 256 MiB


def version(host: Host, source: str = ECHO, expected: int = 0, **changes: Any) -> Version:
    """A version whose replicas are said to take so much."""
    return host.version(source, start=Start(memory_bytes=expected), **changes)


@pytest.mark.settings(host_memory_bytes=256 * MIB)
def test_what_does_not_fit_is_refused_and_started_when_there_is_room(
    host: Host, gateway: Gateway, control: Control
) -> None:
    first, second = (version(host, HALF, expected=128 * MIB) for _ in range(2))
    gateway.want(first)
    replica = gateway.leased()
    gateway.want(second)
    refusal = gateway.start_failed()

    assert refusal.no_room
    assert (refusal.version_id, refusal.failure.error_type) == (second.id, "SystemError")
    assert "the host has 256 MiB for workers" in refusal.failure.message
    assert [line.id for line in control.inspect().replicas] == [replica.id]
    gateway.want(first, 0)
    gateway.discard(replica, "idle")
    assert gateway.leased().lease.version_id == second.id


@pytest.mark.settings(host_memory_bytes=256 * MIB)
def test_a_gateway_is_asked_for_idle_replicas(host: Host, gateway: Gateway) -> None:
    first, second = (version(host, HALF, expected=128 * MIB) for _ in range(2))
    gateway.want(first)
    replica = gateway.leased()
    gateway.want(second)
    assert gateway.asked_back() >= 1
    gateway.want(first, 0)
    gateway.discard(replica, "reclaimed")

    assert gateway.exited(replica).failure.message == "the worker was stopped: its memory was needed"
    assert gateway.leased().lease.version_id == second.id


@pytest.mark.settings(host_memory_bytes=256 * MIB)
def test_spares_and_idle_zygotes_make_room(host: Host, gateway: Gateway, control: Control) -> None:
    checked = version(host, expected=100 * MIB, owner="ann")
    assert control.check(checked).failure is None
    assert (control.inspect().zygotes, len(control.inspect().replicas)) == (1, 1)
    gateway.want(version(host, expected=190 * MIB, owner="ben"))
    gateway.leased()

    eventually(lambda: [line.algorithm for line in control.inspect().replicas] == ["ben/echo"])
    eventually(lambda: control.inspect().zygotes == 1)


@pytest.mark.settings(host_memory_bytes=256 * MIB)
def test_a_check_that_does_not_fit_is_no_failure_of_the_version(host: Host, gateway: Gateway, control: Control) -> None:
    gateway.want(version(host, HALF, expected=128 * MIB))
    gateway.leased()
    checked = control.check(version(host, HALF, expected=128 * MIB))

    assert checked.no_room
    assert checked.failure is not None


@pytest.mark.settings(host_memory_bytes=1024 * MIB)
def test_what_replicas_take_is_measured_and_remembered(host: Host, gateway: Gateway, control: Control) -> None:
    large = version(host, LARGE)
    gateway.want(large)
    gateway.leased()

    eventually(lambda: 50 * MIB < control.inspect().memory_bytes < 78 * MIB)  # a supposed zygote and replica take 80
    before = control.inspect().memory_bytes
    gateway.want(large, 2)
    gateway.leased()
    assert control.inspect().memory_bytes > before + 40 * MIB
    assert control.inspect().memory_limit_bytes == 1024 * MIB


@pytest.mark.settings(host_memory_bytes=160 * MIB)
def test_processes_that_grow_have_idle_ones_ended(host: Host, gateway: Gateway, control: Control) -> None:
    spare = version(host, expected=MIB)
    assert control.check(spare).failure is None
    growing = "kept = []\n\ndef apply(input):\n    kept.append(b'x' * (input << 20))\n    return len(kept)\n"
    gateway.want(version(host, growing, expected=MIB))
    replica = gateway.leased()
    assert replica.call(170) == 1

    eventually(lambda: [line.id for line in control.inspect().replicas] == [replica.id])
    assert gateway.asked_back() >= 1
