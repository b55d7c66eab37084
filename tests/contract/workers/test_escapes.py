"""Attempts to get out of a sandbox, from inside an algorithm: as root and as an ordinary user, each refused."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from slipway.types import Resources, Version
from slipway.workers.sandbox.levels import strength
from tests.conditions import eventually
from tests.contract.workers.hosts import Gateway, Host, LeasedReplica, gone
from tests.ordinary import become_ordinary, interpreter_and_source

pytestmark = pytest.mark.skipif(strength().level != "namespaces", reason=f"no namespaces here: {strength().missing}")

# Does what it is told, and says what came of it.
PUPPET = """
import ctypes, errno, os, signal, socket, subprocess, sys, time

secret = "of another account"
libc = ctypes.CDLL(None, use_errno=True)

def called(number, *arguments):
    result = libc.syscall(number, *arguments)
    return errno.errorcode[ctypes.get_errno()] if result < 0 else result

def apply(input):
    scope = {**globals(), "result": None}
    try:
        exec(input, scope)
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    except Exception as error:
        return repr(error)
    return scope["result"]
"""
MEMORY = 256 * 2**20
USERS = ["root", "ordinary"] if os.geteuid() == 0 else ["ordinary"]


@pytest.fixture(params=USERS)
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A host with sandboxes; whatever was tried, nothing of it is left behind."""
    root = Path(tempfile.mkdtemp(prefix="host"))
    root.chmod(0o755)
    become = None
    if request.param == "ordinary":
        become = become_ordinary(interpreter_and_source())
        if os.geteuid() == 0:
            root.chmod(0o777)
    host = Host(root, become=become, sandbox="namespaces")
    yield host
    left = host.processes()
    assert host.end() == 0
    eventually(lambda: gone(left))
    shutil.rmtree(root)


@pytest.fixture(params=[False, True], ids=["owner's zygote", "shared zygote"])
def attacker(request: pytest.FixtureRequest, host: Host) -> Iterator[LeasedReplica]:
    """An algorithm of ann's, beside which one of ben's runs."""
    gateway = Gateway(host)
    for owner in ("ben", "ann"):
        gateway.want(puppet(host, owner, trusted=request.param))
        replica = gateway.leased()
        assert replica.call("result = 'here'") == "here"
    yield replica
    gateway.close()


def puppet(host: Host, owner: str, **changes: Any) -> Version:
    """An algorithm that does what it is told."""
    return host.version(PUPPET, **{"owner": owner, "resources": Resources(memory_bytes=MEMORY), **changes})


def refused(host: Host, replica: LeasedReplica, *calls: str) -> bool:
    """Whether events tell of those system calls of the replica."""
    told = (detail for _, detail in host.events("sandbox.refuse") if detail["replica"] == replica.id)
    return set(calls) <= {detail["call"] for detail in told}


def test_nothing_of_the_platform_or_of_others_can_be_read(host: Host, attacker: LeasedReplica) -> None:
    settings = host.settings
    (settings.root / "store.db").write_text("all accounts")
    others = [path for path in settings.root.rglob("echo.py") if "PUPPET" not in path.name]
    files = [settings.root / "store.db", settings.host_socket, settings.logs_directory, *others]
    own = attacker.call("result = __file__")
    for path in [
        *files,
        Path("/etc/shadow"),
        Path("/root/.bashrc"),
        Path.home() / ".ssh",
        Path("/var/lib"),
        Path("/boot"),
    ]:
        if str(path) != own:
            assert attacker.call(f"result = os.stat({str(path)!r}).st_size") in ("ENOENT", "EACCES"), path
    assert attacker.call("result = secret") == "of another account"  # its own
    assert len([path for path in others if str(path) != own]) >= 1


def test_no_process_of_anybody_else_is_seen_signalled_or_traced(host: Host, attacker: LeasedReplica) -> None:
    listed = "[int(name) for name in os.listdir('/proc') if name.isdigit()]"
    names = attacker.call(f"result = [open(f'/proc/{{pid}}/comm').read().strip() for pid in {listed}]")
    assert all(name in ("sleep", "slipway-zygote") or "ann" in name or "echo" in name for name in names)
    for pid in (host.process.pid, os.getpid()):
        assert attacker.call(f"os.kill({pid}, 9)") == "ESRCH"
    assert attacker.call("os.kill(1, 9)") in ("EPERM", None)  # the space's first process, whose kernel protects it
    attacker.call("os.kill(-1, 9)")  # to the kernel a success, also where each one was refused
    assert attacker.call("result = called(101, 16, 1, 0, 0)") == "EPERM"
    assert attacker.call("result = called(310, 1, 0, 0, 0, 0, 0)") == "EPERM"
    assert attacker.call("result = open('/proc/1/environ').read()") in ("EACCES", "")
    assert attacker.call("result = open('/proc/1/mem', 'rb').read(1)") in ("EACCES", "EIO", "EPERM")
    eventually(lambda: refused(host, attacker, "ptrace", "process_vm_readv"))
    assert attacker.call("result = 'alive'") == "alive"


def test_privileges_cannot_be_regained(host: Host, attacker: LeasedReplica) -> None:
    user = attacker.call("result = os.getuid()")
    if user:
        assert attacker.call("os.setuid(0)") == "EPERM"
    attempts = {
        "unshare": "called(272, 0x10000000)",
        "mount": "called(165, b'none', b'/tmp', b'tmpfs', 0, 0)",
        "umount2": "called(166, b'/tmp', 2)",
        "pivot_root": "called(155, b'/tmp', b'/tmp')",
        "setns": "called(308, 0, 0)",
        "chroot": "called(161, b'/tmp')",
        "keyctl": "called(250, 0, -3, 0)",
        "bpf": "called(321, 0, 0, 0)",
        "io_uring_setup": "called(425, 1, 0)",
        "perf_event_open": "called(298, 0, 0, 0, 0, 0)",
        "userfaultfd": "called(323, 0)",
        "init_module": "called(175, 0, 0, 0)",
        "reboot": "called(169, 0, 0, 0, 0)",
        "clone": "called(56, 0x10000000 | 17, 0, 0, 0, 0)",
    }
    for name, attempt in attempts.items():
        assert attacker.call(f"result = {attempt}") == "EPERM", name
    eventually(lambda: refused(host, attacker, *attempts))
    assert attacker.call("result = called(435, 0, 0)") == "ENOSYS"  # clone3, whose flags a filter cannot see
    status = attacker.call("result = open('/proc/self/status').read()")
    assert "CapEff:\t0000000000000000" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert attacker.call("result = bool(os.statvfs('/usr').f_flag & os.ST_NOSUID)") is True
    assert attacker.call("result = os.open('/dev/kmsg', os.O_RDONLY)") == "ENOENT"


def test_nothing_that_is_shared_can_be_written(attacker: LeasedReplica) -> None:
    for place in (
        "sys.prefix",
        "sys.base_prefix",
        "os.path.dirname(__file__)",
        "'/usr/lib'",
        "'/'",
        "'/etc'",
        "'/dev'",
    ):
        assert attacker.call(f"open(os.path.join({place}, 'new'), 'w')") in ("EROFS", "EACCES"), place
    assert attacker.call("open('/proc/sys/kernel/core_pattern', 'w')") in ("EROFS", "EACCES")
    assert attacker.call("os.mknod('/tmp/disk', 0o60666, os.makedev(254, 0))") in ("EPERM", "EACCES")


def test_no_address_can_be_reached(host: Host, attacker: LeasedReplica) -> None:
    with socket.create_server(("127.0.0.1", 0)) as service, socket.socket(socket.AF_UNIX) as hidden:
        hidden.bind(f"\0slipway-test-{os.getpid()}")
        hidden.listen()
        port = service.getsockname()[1]
        assert attacker.call(f"socket.create_connection(('127.0.0.1', {port}), 5)") == "ECONNREFUSED"
        assert attacker.call("socket.create_connection(('192.0.2.1', 80), 5)") == "ENETUNREACH"
        datagram = "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))"
        assert attacker.call(datagram) == "ENETUNREACH"
        abstract = f"socket.socket(socket.AF_UNIX).connect('\\0slipway-test-{os.getpid()}')"
        assert attacker.call(abstract) in ("ECONNREFUSED", "EPERM")
    assert attacker.call(f"socket.socket(socket.AF_UNIX).connect({str(host.settings.host_socket)!r})") == "ENOENT"
    assert attacker.call("socket.socket(17, socket.SOCK_RAW)") == "EPERM"
    assert attacker.call("socket.socket(40, socket.SOCK_STREAM)") == "EPERM"


def test_disks_descriptors_and_memory_end_for_it_alone(attacker: LeasedReplica) -> None:
    fill = "file = open('{0}/fill', 'wb')\nwhile True: file.write(bytes(2**20))"
    files = "for number in range(10**6): open(f'{0}/{{number}}', 'w').close()"
    clean = "for name in os.listdir('{0}'): os.unlink(os.path.join('{0}', name))"
    for place in ("/dev/shm", "/tmp"):
        assert attacker.call(files.format(place)) == "ENOSPC"
        attacker.call(clean.format(place))
    assert attacker.call(fill.format("/dev/shm")) in ("ENOSPC", None)
    assert attacker.call(clean.format("/dev/shm")) is None
    assert attacker.call("opened = []\nwhile True: opened.append(os.open('/', os.O_RDONLY))") == "EMFILE"
    assert "MemoryError" in str(attacker.call("result = len(bytearray(2**30))"))


@pytest.mark.skipif(os.geteuid() != 0, reason="control groups are root's here")
def test_a_fork_bomb_and_a_crowd_that_eats_memory_end_for_it_alone(host: Host) -> None:
    if host.process_user != 0:
        pytest.skip("control groups are root's here")
    gateway = Gateway(host)
    gateway.want(puppet(host, "ann", resources=Resources(memory_bytes=2 * 2**30)))
    bomb = gateway.leased()
    forks = "count = 0\ntry:\n while os.fork(): count += 1\n time.sleep(100)\nexcept OSError: result = count"
    assert 100 < bomb.call(forks) < 600
    gateway.want(puppet(host, "ann"))
    replica = gateway.leased()
    crowd = """
pids = []
for _ in range(20):
    pid = os.fork()
    if not pid:
        held = b"x" * (100 * 2**20)
        time.sleep(1)
        os._exit(0)
    pids.append(pid)
result = sum(os.waitpid(pid, 0)[1] == 9 for pid in pids)
"""
    assert replica.call(crowd) >= 15
    gateway.discard(replica, "idle")
    eventually(lambda: any("memory" in detail for _, detail in host.events("sandbox.limit")))
    gateway.close()


def test_what_it_leaves_running_ends_with_its_worker(host: Host) -> None:
    gateway = Gateway(host)
    gateway.want(puppet(host, "ann"))
    replica = gateway.leased()
    daemon = "if not os.fork():\n os.setsid()\n if os.fork(): os._exit(0)\n os.execv('/bin/sleep', ['sleep', '12345'])"
    replica.call(daemon)
    eventually(lambda: _running(host, "sleep 12345"))
    gateway.want(puppet(host, "ann"), 0)
    gateway.discard(replica, "idle")

    eventually(lambda: not _running(host, "sleep 12345"))
    gateway.close()


def test_a_tenant_cannot_poison_the_zygote_for_the_next(host: Host) -> None:
    gateway = Gateway(host)
    gateway.want(puppet(host, "ann", trusted=True))
    first = gateway.leased()
    first.call(
        "import json, builtins\njson.loads = len\nbuiltins.sum = len\nos.environ['X'] = '1'\nsys.path.insert(0, '/tmp')"
    )
    first.call("open('/tmp/left', 'w').close(); open('/dev/shm/left', 'w').close()")
    gateway.want(puppet(host, "ben", trusted=True))
    second = gateway.leased()

    assert second.call("import json\nresult = [json.loads('1'), sum([2]), os.environ.get('X')]") == [1, 2, None]
    assert second.call("result = [os.path.exists(f'{place}/left') for place in ('/tmp', '/dev/shm')]") == [False, False]
    assert second.call("result = os.getuid()") != first.call("result = os.getuid()") or host.process_user != 0
    gateway.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_the_platform(host: Host, number: signal.Signals) -> None:
    gateway = Gateway(host)
    gateway.want(puppet(host, "ann"))
    gateway.want(puppet(host, "ben", trusted=True))
    gateway.leased()
    gateway.leased().call("os.fork() or (os.setsid(), os.fork() and os._exit(0), time.sleep(1000))")
    left = host.processes()
    host.end(number)

    eventually(lambda: gone(left))
    gateway.close()
    host.start()


def _running(host: Host, command: str) -> bool:
    lines = []
    for pid in host.processes():
        try:
            lines.append(Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip())
        except OSError:
            continue
    return command in lines
