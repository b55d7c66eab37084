"""What gateways can rely on: they get what they want, are told of every end, and leave nothing lost behind."""

from __future__ import annotations

import os
import signal

import pytest

from slipway.types import Scaling
from slipway.wire.frames import ACCEPTED
from slipway.wire.messages import Exited, Lease
from tests.conditions import eventually
from tests.contract.workers.hosts import Control, Gateway, Host, LeasedReplica, elapsed, gone

ECHO = """
import os, time

def apply(input):
    if input == "pid":
        return os.getpid()
    if input == "sleep":
        time.sleep(60)
    if input == "exit":
        os._exit(7)
    return input
"""
# Shared memory: the kernel's limit on a process's data does not count it.
HOARDER = """
import mmap, time

def apply(input):
    block = mmap.mmap(-1, 128 * 1024 * 1024)
    for _ in range(128):
        block.write(bytes(1024 * 1024))
    time.sleep(60)
"""


def pid_of(replica: LeasedReplica) -> int:
    """Its process id, as it says itself."""
    return int(replica.call("pid"))


def test_a_wanted_replica_is_leased_and_answers(host: Host, gateway: Gateway) -> None:
    gateway.want(host.version(ECHO))

    replica = gateway.leased()

    assert replica.call({"a": 1}) == {"a": 1}
    assert (replica.lease.credit, replica.lease.concurrency) == (16, 1)
    assert 0 < replica.lease.cold_start_seconds < 10


def test_a_lease_says_how_many_calls_the_worker_takes_at_a_time(host: Host, gateway: Gateway) -> None:
    gateway.want(host.version(ECHO, scaling=Scaling(concurrency=32)))

    lease = gateway.leased().lease

    assert (lease.credit, lease.concurrency) == (32, 32)


def test_several_replicas_are_several_processes(host: Host, gateway: Gateway) -> None:
    version = host.version(ECHO)
    gateway.want(version)
    first = gateway.leased()
    gateway.want(version, 3)

    replicas = [first, gateway.leased(), gateway.leased()]

    assert len({pid_of(replica) for replica in replicas}) == 3


def test_a_killed_worker_is_reported_and_replaced(host: Host, gateway: Gateway) -> None:
    gateway.want(host.version(ECHO))
    first = gateway.leased()
    os.kill(pid_of(first), signal.SIGKILL)

    failure = gateway.exited(first).failure
    second = gateway.leased()

    assert (failure.error_type, failure.message) == ("SystemExit", "the worker exited with signal 9 (SIGKILL)")
    assert second.call("again") == "again"
    outcomes = [detail["reason"] for _, detail in host.events("replica.exit")]
    assert outcomes == [failure.message]


def test_a_worker_that_exits_in_a_call_is_reported_with_its_status(host: Host, gateway: Gateway) -> None:
    gateway.want(host.version(ECHO))
    replica = gateway.leased()
    replica.begin("exit")

    assert gateway.exited(replica).failure.message == "the worker exited with status 7"


def test_workers_that_keep_crashing_are_not_replaced_in_a_frenzy(host: Host, gateway: Gateway) -> None:
    crashing = "import os, threading\n\ndef load():\n    threading.Timer(0.01, lambda: os._exit(3)).start()\n\n"
    gateway.want(host.version(crashing + "def apply(input):\n    return input\n"))

    seconds = elapsed(lambda: [gateway.expect(Exited) for _ in range(5)])

    assert seconds > 0.05 + 0.1 + 0.2 + 0.4


def test_a_discarded_replica_is_killed_with_all_that_it_started(host: Host, gateway: Gateway) -> None:
    spawning = "import subprocess\n\ndef apply(input):\n    return subprocess.Popen(['sleep', '100']).pid\n"
    gateway.want(host.version(spawning))
    replica = gateway.leased()
    child = replica.call(None)
    gateway.discard(replica, "timeout")

    eventually(lambda: gone([child]))
    assert gateway.exited(replica).failure.error_type == "TimeoutError"
    gateway.leased()


def test_an_unwanted_replica_is_not_replaced(host: Host, gateway: Gateway, control: Control) -> None:
    version = host.version(ECHO)
    gateway.want(version)
    replica = gateway.leased()
    gateway.want(version, 0)
    gateway.discard(replica, "idle")
    gateway.expect(Exited)

    assert control.inspect().replicas == ()
    assert not gateway.has(Lease)


def test_a_load_that_fails_is_reported_each_time_with_growing_pauses(host: Host, gateway: Gateway) -> None:
    gateway.want(host.version("def load():\n    raise ValueError('no model')\n\ndef apply(input):\n    return input\n"))

    failures = [gateway.start_failed() for _ in range(4)]

    assert {(f.failure.error_type, f.failure.message) for f in failures} == {("LoadingError", "ValueError: no model")}
    assert "raise ValueError('no model')" in failures[0].failure.stack_trace
    assert [round(f.retry_after_seconds, 2) for f in failures] == [0.1, 0.2, 0.4, 0.8]


def test_who_wants_a_failing_version_is_told_at_once(host: Host, gateway: Gateway) -> None:
    version = host.version("import no_such_module\n")
    gateway.want(version)
    for _ in range(4):
        gateway.start_failed()
    other = Gateway(host, "gateway-1")
    other.want(version)

    told = other.start_failed()

    assert "no_such_module" in told.failure.message
    assert 0 < told.retry_after_seconds <= 0.8
    other.close()


def test_a_load_that_takes_too_long_is_a_loading_error(host: Host, gateway: Gateway) -> None:
    slow = "import time\n\ndef load():\n    time.sleep(60)\n\ndef apply(input):\n    return input\n"
    gateway.want(host.version(slow, load_seconds=0.3))

    failure = gateway.start_failed().failure

    assert (failure.error_type, failure.message) == ("LoadingError", "loading took longer than 0.3 s")


def test_a_worker_that_dies_while_it_loads_is_a_loading_error_at_once(host: Host, gateway: Gateway) -> None:
    gateway.want(host.version("import os\nos.abort()\n"))

    failure = gateway.start_failed().failure

    assert failure.error_type == "LoadingError"
    assert failure.message == "the worker exited with signal 6 (SIGABRT) while it loaded"


def test_an_interpreter_that_is_gone_is_a_loading_error(host: Host, gateway: Gateway) -> None:
    gateway.want(host.version(ECHO, interpreter="/nowhere/python"))

    assert "no worker could be started" in gateway.start_failed().failure.message


def test_memory_that_no_allocation_failed_for_is_watched(host: Host, gateway: Gateway) -> None:
    gateway.want(host.version(HOARDER, memory=64 * 2**20))
    replica = gateway.leased()
    replica.begin(None)

    assert gateway.exited(replica).failure.error_type == "OutOfMemoryError"


def test_gateways_know_each_other(host: Host, gateway: Gateway) -> None:
    gateway.members("gateway-0")
    other = Gateway(host, "gateway-1")
    gateway.members("gateway-0", "gateway-1")
    other.close()

    gateway.members("gateway-0")


def test_a_gateway_that_dies_as_it_joins_is_no_member(host: Host, gateway: Gateway) -> None:
    for _ in range(20):
        Gateway(host, "gateway-1").close()
    last = Gateway(host, "gateway-2")
    last.members("gateway-0", "gateway-2")
    last.close()


def test_an_idle_replica_of_a_gateway_that_died_goes_to_the_next(host: Host, gateway: Gateway) -> None:
    version = host.version(ECHO)
    gateway.members("gateway-0")
    dying = Gateway(host, "gateway-1")
    dying.want(version)
    pid = pid_of(dying.leased())
    gateway.members("gateway-0", "gateway-1")
    dying.close()
    gateway.members("gateway-0")
    gateway.want(version)

    again = gateway.leased()

    assert pid_of(again) == pid
    assert again.lease.cold_start_seconds == 0


def test_a_busy_replica_of_a_gateway_that_died_is_killed(host: Host, gateway: Gateway) -> None:
    version = host.version(ECHO)
    dying = Gateway(host, "gateway-1")
    dying.want(version)
    replica = dying.leased()
    pid = pid_of(replica)
    replica.begin("sleep")
    assert replica.next().kind == ACCEPTED
    dying.close()

    eventually(lambda: gone([pid]))
    gateway.want(version)
    again = gateway.leased()
    assert pid_of(again) != pid


@pytest.mark.parametrize("left", [b"\x01", b"\x01\x04\x00\x10\x00\x00\x00\x10" + bytes(16) + b"half"])
def test_a_replica_whose_gateway_died_within_a_frame_is_killed(host: Host, gateway: Gateway, left: bytes) -> None:
    version = host.version(ECHO)
    dying = Gateway(host, "gateway-1")
    dying.want(version)
    replica = dying.leased()
    pid = pid_of(replica)
    replica.connection.sendall(left)
    dying.close()

    eventually(lambda: gone([pid]))


def test_a_surplus_replica_is_kept_for_whoever_wants_it(host: Host, gateway: Gateway, control: Control) -> None:
    version = host.version(ECHO)
    other = Gateway(host, "gateway-1")
    other.want(version)
    replica = other.leased()
    pid = pid_of(replica)
    other.want(version, 0)
    other.discard(replica, "surplus")
    eventually(lambda: control.inspect().replicas[0].state == "idle")
    gateway.want(version)

    assert pid_of(gateway.leased()) == pid
    other.close()
