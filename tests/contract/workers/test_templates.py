"""Replicas that are forked with their model loaded: only where a check has proven it, and right in everything else."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import msgspec
import pytest

from slipway.types import Resources, Scaling, Version
from slipway.wire.frames import LOG, REPLY, Frame
from tests.conditions import eventually
from tests.contract.workers.hosts import Control, Gateway, Host, gone

# Tells who it is, and leaves a trace of each load.
WHO = """
import logging, os, random, sys

logging.basicConfig(stream=sys.stdout, format="%(message)s")
HERE = os.path.dirname(__file__)
model = []

def load():
    model.extend(range(1000))
    with open(os.path.join(HERE, "loads"), "a") as file:
        file.write(f"{os.getpid()}\\n")

def apply(input):
    logging.warning("said by %d", os.getpid())
    return {"pid": os.getpid(), "parent": os.getppid(), "sum": sum(model), "drawn": random.random()}
"""
KEPT_THREAD = """
import threading, time

def load():
    for _ in range(2):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()

def apply(input):
    return input
"""
# Each call waits until the other one is there too.
MEET = """
import os, threading

meeting = None

def load():
    global meeting
    meeting = threading.Barrier(2)

def apply(input):
    if input is not None:
        meeting.wait(30)
    return os.getppid()
"""
KEPT_FILE = """
def load():
    global weights
    weights = open(__file__)

def apply(input):
    weights.seek(0)
    return input if weights.read() else None
"""
KEPT_LOOP = """
async def load():
    pass

async def apply(input):
    return input
"""
KEPT_PROCESS = """
import subprocess

def load():
    subprocess.Popen(["sleep", "600"])

def apply(input):
    return input
"""
# As a region's lock that nobody is left to open, with no thread to tell of it.
HANGS_FORKED = """
import os, time

forked = False

def load():
    def notice():
        global forked
        forked = True
    os.register_at_fork(after_in_child=notice)

def apply(input):
    while forked:
        time.sleep(0.1)
    return input
"""
FAILS_FORKED = HANGS_FORKED.replace("    while forked:\n        time.sleep(0.1)", "    assert not forked")
MAPPED = """
import mmap

def load():
    global weights
    with open(__file__) as file:
        weights = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

def apply(input):
    return len(weights)
"""
# The runtime that scikit-learn, XGBoost and LightGBM run their loops with. Its threads wait for the next region; in a
# fork of this process they are missing, and the next region never ends.
OPENMP = """
import ctypes, glob, sysconfig

openmp = ctypes.CDLL(glob.glob(sysconfig.get_path("purelib") + "/scikit_learn.libs/libgomp*")[0])
done = []
region = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(done.append)

def load():
    openmp.GOMP_parallel(region, None, 2, 0)

def apply(input):
    done.clear()
    openmp.GOMP_parallel(region, None, 2, 0)
    return len(done)
"""


def proven(control: Control, version: Version, sample: bytes = b"1") -> Version:
    """The version as its build keeps it."""
    checked = control.check(version, sample)
    assert checked.failure is None
    return msgspec.structs.replace(version, start=checked.start)


def loads(version: Version) -> list[int]:
    """Which processes have loaded it."""
    return [int(line) for line in (Path(version.directory) / "src" / "loads").read_text().split()]


def test_a_version_that_answers_in_a_fork_of_its_loaded_model_starts_so(
    host: Host, gateway: Gateway, control: Control
) -> None:
    version = proven(control, host.version(WHO))
    assert version.start.mode == "loaded"
    assert version.start.load_seconds > 0
    assert version.start.memory_bytes > 2**20
    gateway.want(version, 3)
    found = [gateway.leased().call(None) for _ in range(3)]

    (template,) = loads(version)
    assert {one["parent"] for one in found} == {template}
    assert {one["sum"] for one in found} == {sum(range(1000))}
    assert len({one["pid"] for one in found}) == len({one["drawn"] for one in found}) == 3
    assert {detail["way"] for _, detail in host.events("replica.start")} == {"loaded"}
    inspected = control.inspect()
    assert (inspected.zygotes, inspected.templates, len(inspected.replicas)) == (1, 1, 3)


def test_a_template_is_made_when_a_second_replica_is_wanted(host: Host, gateway: Gateway, control: Control) -> None:
    version = proven(control, host.version(WHO))
    host.end()
    host.start()
    again = Gateway(host)
    again.want(version)
    first = again.leased()
    again.want(version, 3)
    replicas = [first, again.leased(), again.leased()]
    found = [replica.call(None) for replica in replicas]

    assert loads(version)[1:] == [found[0]["pid"], found[1]["parent"]]
    assert found[1]["parent"] == found[2]["parent"]
    assert all(replica.lease.cold_start_seconds > 0 for replica in replicas)
    assert [detail["way"] for _, detail in host.events("replica.start")][1:] == ["environment", "loaded", "loaded"]
    again.close()


def test_a_replica_with_its_model_loaded_prints_and_fails_as_any_other(
    host: Host, gateway: Gateway, control: Control
) -> None:
    version = proven(control, host.version(WHO))
    gateway.want(version, 2)
    for replica in (gateway.leased(), gateway.leased()):
        call = replica.begin(None)
        frames: list[Frame] = []
        while not frames or frames[-1].kind != REPLY:
            frames.append(replica.next())
        (printed,) = (frame for frame in frames if frame.kind == LOG)
        assert printed.call == call
        assert printed.body.startswith(b"said by ")
        assert gone([int(printed.body.split()[-1])]) is False


def test_a_replica_with_its_model_loaded_takes_several_calls_at_a_time(
    host: Host, gateway: Gateway, control: Control
) -> None:
    version = proven(control, host.version(MEET, scaling=Scaling(concurrency=2)), b"null")
    assert version.start.mode == "loaded"
    gateway.want(version, 2)
    for replica in (gateway.leased(), gateway.leased()):
        assert replica.lease.concurrency == 2
        calls = {replica.begin("one"), replica.begin("two")}
        replies: list[Frame] = []
        while len(replies) < 2:
            if (frame := replica.next()).kind == REPLY:
                replies.append(frame)
        assert {frame.call for frame in replies} == calls
        (parent,) = {frame.body for frame in replies}
        assert b"zygote" not in Path(f"/proc/{int(parent)}/comm").read_bytes()  # a template has the algorithm's name


def test_a_replica_that_ends_is_reported_by_its_template(host: Host, gateway: Gateway, control: Control) -> None:
    version = proven(control, host.version(WHO))
    gateway.want(version, 2)
    first, _ = gateway.leased(), gateway.leased()
    os.kill(first.call(None)["pid"], signal.SIGKILL)

    assert gateway.exited(first).failure.message == "the worker exited with signal 9 (SIGKILL)"
    assert gateway.leased().call(None)["parent"] == loads(version)[0]


def test_a_template_that_dies_takes_its_replicas_along_and_is_replaced(
    host: Host, gateway: Gateway, control: Control
) -> None:
    version = proven(control, host.version(WHO))
    gateway.want(version)
    replica = gateway.leased()
    os.kill(replica.call(None)["parent"], signal.SIGKILL)

    assert gateway.exited(replica).failure.error_type == "SystemExit"
    assert gateway.leased().call(None)["sum"] == sum(range(1000))


def test_a_limit_of_memory_counts_the_model_once(host: Host, gateway: Gateway, control: Control) -> None:
    source = "import os\nblock = bytearray(96 * 2**20)\n\ndef apply(input):\n    return len(bytearray(input))\n"
    version = proven(control, host.version(source, memory=128 * 2**20), b"1000000")
    assert version.start.mode == "loaded"
    gateway.want(version)
    replica = gateway.leased()

    assert replica.call(16 * 2**20) == 16 * 2**20
    assert replica.call(64 * 2**20)["type"] == "OutOfMemoryError"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (KEPT_THREAD, "its load() left 2 threads"),
        (KEPT_FILE, "its load() left 1 open file, the first of them /"),
        (KEPT_LOOP, "open files, the first of them "),
        (KEPT_PROCESS, "its load() left 1 process running"),
        (FAILS_FORKED, "the sample input failed in a fork of the loaded model: AssertionError"),
        (HANGS_FORKED, "the sample input did not return in a fork of the loaded model: an OpenMP region in load()?"),
    ],
)
def test_a_version_that_cannot_be_forked_when_loaded_is_found_and_served(
    host: Host, gateway: Gateway, control: Control, source: str, reason: str
) -> None:
    version = proven(control, host.version(source))
    assert version.start.mode == "environment"
    assert reason in version.start.reason
    eventually(lambda: control.inspect().templates == 0)
    gateway.want(version, 2)

    assert [gateway.leased().call(1) for _ in range(2)] == [1, 1]


def test_a_model_with_an_openmp_region_in_load_is_found_and_served(
    host: Host, gateway: Gateway, control: Control
) -> None:
    version = proven(control, host.version(OPENMP), b"null")
    assert (version.start.mode, version.start.reason) == ("environment", "its load() left 1 thread")
    gateway.want(version, 2)

    assert [gateway.leased().call(None) for _ in range(2)] == [2, 2]


def test_a_model_that_is_mapped_into_memory_may_be_forked(host: Host, gateway: Gateway, control: Control) -> None:
    version = proven(control, host.version(MAPPED))
    gateway.want(version)

    assert version.start.mode == "loaded"
    assert gateway.leased().call(None) == len(MAPPED)


def test_what_was_not_tried_says_why(host: Host, control: Control) -> None:
    several, graphics = Resources(cpu=2.0), Resources(gpu=0.5)
    starts = [
        control.check(host.version(WHO)).start,
        control.check(host.version(WHO, resources=several), b"1").start,
        control.check(host.version(WHO, resources=graphics), b"1").start,
    ]

    assert [(start.mode, start.reason) for start in starts] == [
        ("environment", "no sample input to prove it with"),
        ("fresh", "it wants 2 processors"),
        ("environment", "CUDA is initialised after the fork, always"),
    ]


def test_a_version_that_turns_out_unfit_is_served_from_its_zygote(
    host: Host, gateway: Gateway, control: Control
) -> None:
    version = proven(control, host.version(WHO))
    unfit = host.version(KEPT_THREAD, start=version.start)
    gateway.want(unfit, 3)

    assert [gateway.leased().call(number) for number in range(3)] == [0, 1, 2]
    assert control.inspect().templates == 1  # the other version's


@pytest.mark.settings(zygote_idle_seconds=0.5)
def test_zygotes_and_templates_without_a_replica_end(host: Host, gateway: Gateway, control: Control) -> None:
    version = proven(control, host.version(WHO))
    gateway.want(version)
    replica = gateway.leased()
    gateway.want(version, 0)
    gateway.discard(replica, "idle")

    eventually(lambda: (control.inspect().zygotes, control.inspect().templates) == (0, 0))
    eventually(lambda: len(host.processes()) <= 1)  # what starts others stays
