"""Levels of sandboxes: the strongest by itself, none weaker than was asked for; and what the walls are made of."""

from __future__ import annotations

import errno
import os
import struct

import pytest

from slipway.errors import SandboxUnavailable
from slipway.workers.runtimes.python import kernel, landlock, syscalls
from slipway.workers.sandbox import levels
from slipway.workers.sandbox.levels import Strength, choose

ALLOW, FAIL, KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000


@pytest.fixture
def only_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without namespaces."""
    monkeypatch.setattr(levels, "strength", lambda: Strength("process", "namespaces: not permitted"))


def test_by_itself_the_strongest_level_is_taken(only_processes: None) -> None:
    assert choose("auto") == "process"
    assert choose("process") == "process"
    assert choose("none") == "none"


def test_nothing_runs_with_less_than_was_asked_for(only_processes: None) -> None:
    with pytest.raises(SandboxUnavailable, match=r"has process at most \(namespaces: not permitted\)"):
        choose("namespaces")
    with pytest.raises(SandboxUnavailable, match="production needs sandboxes of namespaces"):
        choose("auto", production=True)


def test_production_refuses_a_weaker_level_that_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "strength", lambda: Strength("namespaces"))
    assert choose("auto", production=True) == "namespaces"
    with pytest.raises(SandboxUnavailable, match="production"):
        choose("none", production=True)


def verdict(number: int, first: int = 0, second: int = 0, architecture: int | None = None) -> int:
    """What the filter says to a call, by an interpreter of its few kinds of instructions."""
    machine = syscalls._MACHINES[os.uname().machine]
    given = struct.pack(
        "=iIQ6Q", number, machine.audit if architecture is None else architecture, 0, first, second, 0, 0, 0, 0
    )
    lines = list(struct.iter_unpack("=HBBI", syscalls.program(FAIL, True)))
    position = value = 0
    while True:
        code, true, false, constant = lines[position]
        position += 1
        if code == 0x20:
            (value,) = struct.unpack_from("=I", given, constant)
        elif code == 0x06:
            return int(constant)
        else:
            tests = {0x15: value == constant, 0x35: value >= constant, 0x45: bool(value & constant)}
            position += true if tests[code] else false


@pytest.mark.skipif(os.uname().machine not in syscalls._MACHINES, reason="no filter for this architecture")
def test_the_filter_refuses_what_is_listed_and_nothing_else() -> None:
    machine = syscalls._MACHINES[os.uname().machine]
    refused = syscalls.names()
    for number in range(500):
        if number in (machine.clone, machine.clone3, machine.socket, machine.ioctl):
            continue
        assert verdict(number) == (FAIL if number in refused else ALLOW), number
    assert verdict(machine.clone3) == 0x00050000 | errno.ENOSYS
    assert verdict(machine.clone, 17) == ALLOW
    for namespace in (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(machine.clone, namespace | 17) == FAIL
    assert [verdict(machine.socket, family) for family in (1, 2, 10, 16, 17, 38, 40)] == [ALLOW] * 4 + [FAIL] * 3
    assert [verdict(machine.ioctl, 1, request) for request in (0x5401, 0x5412, 0x541C)] == [ALLOW, FAIL, FAIL]
    assert verdict(1, architecture=0x40000003) == KILL
    assert verdict(0x40000001) == KILL


@pytest.mark.skipif(not landlock.version(), reason="no Landlock in this kernel")
def test_landlock_lets_a_process_do_what_was_said_and_no_more(tmp_path: object) -> None:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
            landlock.restrict(["/usr"], [str(tmp_path)], network=False)
            results = []
            for path, mode in ((f"{tmp_path}/new", "w"), ("/usr/new", "w"), ("/etc/hostname", "r")):
                try:
                    open(path, mode).close()
                    results.append("done")
                except OSError as error:
                    results.append(errno.errorcode[error.errno or 0])
            os.write(writing, " ".join(results).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert told.read() == "done EACCES EACCES"
