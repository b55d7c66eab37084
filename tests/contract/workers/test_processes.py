"""Processes: forked where they can be, fresh elsewhere, and none is left when somebody dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from slipway.types import Resources, Version
from tests.conditions import eventually
from tests.contract.workers.hosts import Gateway, Host, gone

WHO = """
import os, sys

def apply(input):
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "environment": dict(os.environ),
        "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd")),
        "modules": sorted(sys.modules),
        "stdin": sys.stdin.read(),
    }
"""
NUMPY = (
    "import numpy\n\ndef apply(input):\n    return {'drawn': numpy.random.random(), 'pid': __import__('os').getpid()}\n"
)


def is_fresh(found: dict[str, Any]) -> bool:
    """Whether that worker is no fork of a zygote, but was executed by the spawner."""
    return " -S -m slipway.workers.runtimes.python.zygote" in command_line(found["parent"])


def command_line(pid: int) -> str:
    """What `ps` shows."""
    return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")


@contextlib.contextmanager
def preloaded(host: Host, version: Version, source: str) -> Iterator[None]:
    """The version's environment has a module of that source, which zygotes import ahead."""
    site = Path(_python(version.interpreter, "import sysconfig; print(sysconfig.get_path('purelib'), end='')"))
    module = site / f"slipway_test_{os.getpid()}.py"
    module.write_text(source)
    (host.settings.environments_directory / f"{version.environment}.preload").write_text(json.dumps([module.stem]))
    try:
        yield
    finally:
        module.unlink()


def test_workers_are_forked_from_a_zygote(host: Host, gateway: Gateway) -> None:
    gateway.want(host.version(WHO))
    replica = gateway.leased()

    assert "zygote" in command_line(replica.call(None)["parent"])


def test_a_version_with_several_cores_starts_fresh(host: Host, gateway: Gateway) -> None:
    gateway.want(host.version(WHO, resources=Resources(cpu=2.0)))
    replica = gateway.leased()

    assert is_fresh(replica.call(None))


def test_owners_share_a_zygote_only_where_the_environment_is_trusted(host: Host, gateway: Gateway) -> None:
    parents = []
    for owner, trusted in [("ann", False), ("ben", False), ("ann", True), ("ben", True)]:
        gateway.want(host.version(WHO, owner=owner, trusted=trusted))
        replica = gateway.leased()
        parents.append(replica.call(None)["parent"])

    assert len(set(parents)) == 3
    assert parents[2] == parents[3]


def test_a_worker_sees_nothing_of_the_platform(host: Host, gateway: Gateway) -> None:
    gateway.want(host.version(WHO))
    replica = gateway.leased()
    found = replica.call(None)

    own = {name for name in found["environment"] if name.startswith("SLIPWAY_")}
    assert own == {"SLIPWAY_MODELS"}
    # One more is the listing itself.
    assert found["descriptors"][:4] == [0, 1, 2, 3]
    assert len(found["descriptors"]) == 5
    assert found["stdin"] == ""


def test_a_zygote_learns_what_its_versions_import_and_keeps_it(host: Host, gateway: Gateway) -> None:
    version = host.version(NUMPY)
    gateway.want(version)
    gateway.leased()
    remembered = host.settings.environments_directory / f"{version.environment}.preload"
    eventually(lambda: remembered.exists() and "numpy" in json.loads(remembered.read_text()))
    other = host.version(WHO)
    gateway.want(other)
    replica = gateway.leased()

    assert "numpy" in replica.call(None)["modules"]


def test_siblings_of_one_zygote_draw_different_numbers(host: Host, gateway: Gateway) -> None:
    drawn = set()
    for _ in range(3):
        gateway.want(host.version(NUMPY))
        replica = gateway.leased()
        drawn.add(replica.call(None)["drawn"])

    assert len(drawn) == 3


def test_an_authors_own_module_is_never_imported_by_the_zygote(host: Host, gateway: Gateway) -> None:
    version = host.version("import sibling\n\ndef apply(input):\n    return sibling.pid\n")
    (Path(version.directory) / "src" / "sibling.py").write_text("import os\npid = os.getpid()\n")
    (host.settings.environments_directory / f"{version.environment}.preload").write_text('["sibling", "antigravity"]')
    gateway.want(version)
    replica = gateway.leased()

    assert replica.call(None) in host.processes()


def test_a_zygote_that_has_threads_is_not_forked_from(host: Host, gateway: Gateway) -> None:
    version = host.version(WHO)
    threads = "import threading, time\nthreading.Thread(target=time.sleep, args=(600,), daemon=True).start()\n"
    with preloaded(host, version, threads):
        gateway.want(version)
        replica = gateway.leased()
        assert is_fresh(replica.call(None))


def test_where_zygotes_die_of_their_imports_workers_start_fresh(host: Host, gateway: Gateway) -> None:
    version = host.version(WHO)
    with preloaded(host, version, "import os\nos._exit(3)\n"):
        gateway.want(version, replicas=3)
        assert all(is_fresh(gateway.leased().call(None)) for _ in range(3))


def test_a_zygote_that_dies_takes_its_workers_along_and_is_replaced(host: Host, gateway: Gateway) -> None:
    gateway.want(host.version(WHO))
    replica = gateway.leased()
    zygote = replica.call(None)["parent"]
    os.kill(zygote, signal.SIGKILL)

    assert gateway.exited(replica).failure.error_type == "SystemExit"
    again = gateway.leased()
    parent = again.call(None)["parent"]
    assert parent != zygote
    assert "zygote" in command_line(parent)


def test_a_killed_host_leaves_no_process(host: Host, gateway: Gateway) -> None:
    gateway.want(host.version(WHO), 2)
    assert gateway.leased().id != gateway.leased().id
    below = host.processes()
    assert len(below) >= 3

    host.end(signal.SIGKILL)

    eventually(lambda: gone(below))


def test_a_host_that_is_told_to_stop_leaves_no_process(host: Host, gateway: Gateway) -> None:
    gateway.want(host.version(WHO), 2)
    assert gateway.leased().id != gateway.leased().id
    below = host.processes()

    assert host.end() == 0

    assert gone(below)


def test_a_host_is_back_after_it_was_killed(host: Host) -> None:
    host.end(signal.SIGKILL)
    host.start()
    gateway = Gateway(host)
    gateway.want(host.version(WHO))
    replica = gateway.leased()

    assert replica.call(None)["pid"] in host.processes()
    gateway.close()


def _python(interpreter: str, program: str) -> str:
    return subprocess.run([interpreter, "-c", program], capture_output=True, text=True, check=True).stdout
