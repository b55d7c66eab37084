"""The inside of a sandbox: how a process that still may do everything enters it, and gives up all else.

The host says what a sandbox is, as a plain object:

| key | means |
|---|---|
| `user` | the uid and gid to run as; absent: stay what it is |
| `read` | directories, and files, to see and read, each at its own path; those that are not there are left out |
| `write` | directories to see and change |
| `tmp_bytes`, `tmp_files` | what `/tmp` holds at most |
| `root` | an empty directory, only of a plan for a space: the root of what its processes see is put together there |
| `network` | it has the machine's network, where it is said; else its space's, which is a loopback interface |
| `walls` | whether Landlock and the filter of system calls are put up; `listen`: the host hears of what they refuse |
| `within` | it is in its sandbox already, by its parent: nothing to do but to keep its siblings from it |

A *space* is the namespaces of one owner: process ids, mounts, network, IPC and host name. Its first process makes them
and does nothing else; processes join it, each with mounts of its own on top.
"""

from __future__ import annotations

import fcntl
import os
import resource
import socket
import struct
from typing import Any, Dict, List, Tuple

from slipway.workers.runtimes.python import kernel, landlock, syscalls

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_OF_ETC = (
    *("R", "alternatives", "ca-certificates", "fonts", "java-17-openjdk", "java-21-openjdk", "ld.so.cache"),
    *("ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "ssl", "timezone"),
)
_DEVICES = ("null", "zero", "full", "random", "urandom")
_PROCESSORS = "/sys/devices/system/cpu"  # libraries count them there
_SHARED_BYTES, _ROOT_BYTES, _ROOT_FILES = 256 * 2**20, 4 * 2**20, 4096
_MOST_DESCRIPTORS = 4096
_JOINED = kernel.NEW_MOUNTS | kernel.NEW_UTS | kernel.NEW_IPC | kernel.NEW_NET
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1
_MORE_LIKELY_TO_GO = "500"  # of -1000 to 1000: where memory is out, the platform itself is to be the last

Plan = Dict[str, Any]


def found(plan: Plan) -> None:
    """Make a space, as the first process of a new namespace of process ids. Raises OSError."""
    os.umask(0o022)
    _volunteer()
    kernel.unshare(_JOINED)
    kernel.keep_mounts_private()
    root = plan["root"]
    kernel.mount("tmpfs", root, f"size={_ROOT_BYTES},nr_inodes={_ROOT_FILES},mode=755")
    for path in (*SYSTEM, _PROCESSORS):
        _show(root, path)
    _make_etc(root, plan.get("user", 0))
    _make_devices(root)
    for path in plan["read"]:
        _show(root, path)
    for name in ("proc", "tmp"):
        os.mkdir(f"{root}/{name}")
    kernel.mount("proc", f"{root}/proc")
    kernel.change_root(root)
    socket.sethostname("sandbox")
    _raise_loopback()
    kernel.drop_bounds()
    kernel.drop_capabilities()


def enter(plan: Plan, space: int) -> int:
    """Join a space (its first process's pidfd; below zero where there is none), and give up all else.

    Returns the descriptor on which the host hears of refused system calls, or -1. Raises OSError.
    """
    if plan.get("within"):
        landlock.keep_apart()
        return -1
    os.umask(0o022)
    _volunteer()
    if space >= 0:
        _join(plan, space)
    _limit()
    _give_up(plan.get("user"))
    if not plan.get("walls"):
        return -1
    network = plan.get("network", False)
    if landlock.version():
        _restrict_files(plan, space >= 0, network or space >= 0)
    return syscalls.refuse_calls(plan.get("listen", False), internet=network or space >= 0)


def show(paths: List[str], space: int, process: int) -> None:
    """Let the processes that share the mounts of one (its pidfd) in that space see more directories. Raises OSError."""
    os.umask(0o022)
    trees = [(path, kernel.tree(path)) for path in paths]
    kernel.join(space, kernel.NEW_MOUNTS)
    for path, _ in trees:
        os.makedirs(path, exist_ok=True)  # here the root can be written, there only /tmp
    kernel.join(process, kernel.NEW_MOUNTS)
    for path, tree in trees:
        os.makedirs(path, exist_ok=True)
        kernel.attach(tree, path)


def join_groups(descriptors: List[int]) -> None:
    """Move this process, which has one thread, into these control groups (`tasks`, or `cgroup.procs` in version 2), and
    close them. Raises OSError."""
    for descriptor in descriptors:
        os.write(descriptor, b"0")
        os.close(descriptor)


def _join(plan: Plan, space: int) -> None:
    mutable = kernel.NO_SETUID | kernel.NO_DEVICES
    trees: List[Tuple[str, int]] = [(path, kernel.tree(path)) for path in plan["read"] if os.path.exists(path)]
    trees += [(path, kernel.tree(path, mutable)) for path in plan.get("write", ())]
    files = {path for path, _ in trees if not os.path.isdir(path)}
    kernel.join(space, _JOINED & ~kernel.NEW_NET if plan.get("network") else _JOINED)
    kernel.unshare(kernel.NEW_MOUNTS)
    kernel.mount("tmpfs", "/tmp", f"size={plan['tmp_bytes']},nr_inodes={plan['tmp_files']},mode=1777")  # noqa: S108
    for path, tree in trees:
        os.makedirs(os.path.dirname(path) if path in files else path, exist_ok=True)
        if path in files and not os.path.exists(path):
            _touch(path)
        kernel.attach(tree, path)
    for path in ("/", "/dev", "/proc"):
        kernel.make_read_only(path)


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most == resource.RLIM_INFINITY or most > _MOST_DESCRIPTORS:
        most = _MOST_DESCRIPTORS
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _volunteer() -> None:
    try:
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write(_MORE_LIKELY_TO_GO)
    except OSError:
        return  # it has been raised further already


def _give_up(user: Any) -> None:
    kernel.drop_bounds()
    if user is not None:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        # A change of user hides what it has in /proc even from itself.
        kernel.prctl(kernel.PR_SET_DUMPABLE, 1)
    kernel.drop_capabilities()


def _restrict_files(plan: Plan, in_space: bool, network: bool) -> None:
    writable = ["/tmp", "/dev/shm", *(f"/dev/{name}" for name in _DEVICES)] if in_space else _own_devices()  # noqa: S108
    readable = ["/"] if in_space else [*SYSTEM, "/etc", "/proc", _PROCESSORS, *plan["read"]]
    landlock.restrict(readable, [*writable, *plan.get("write", ())], network)


def _own_devices() -> List[str]:
    return [f"/dev/{name}" for name in (*_DEVICES, "shm")]


# --- what the processes of a space see ----------------------------------------------------------------------------


def _show(root: str, path: str) -> None:
    """The same there as here, read-only: a directory, a file or a link; nothing where there is nothing."""
    if os.path.islink(path):
        os.makedirs(root + os.path.dirname(path), exist_ok=True)
        os.symlink(os.readlink(path), root + path)
    elif os.path.isdir(path):
        os.makedirs(root + path, exist_ok=True)
        kernel.attach(kernel.tree(path), root + path)
    elif os.path.exists(path):
        os.makedirs(root + os.path.dirname(path), exist_ok=True)
        _touch(root + path)
        kernel.attach(kernel.tree(path), root + path)


def _make_etc(root: str, user: int) -> None:
    os.mkdir(f"{root}/etc")
    for name in _OF_ETC:
        _show(root, f"/etc/{name}")
    account = f"algorithm:x:{user}:{user}:algorithm:/tmp:/bin/sh\n" if user else ""
    files = {
        "passwd": f"root:x:0:0:root:/tmp:/bin/sh\n{account}nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n",
        "group": f"root:x:0:\n{account and f'algorithm:x:{user}:'}\nnogroup:x:65534:\n",
        "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    }
    for name, text in files.items():
        with open(f"{root}/etc/{name}", "w") as file:
            file.write(text)


def _make_devices(root: str) -> None:
    dev = f"{root}/dev"
    os.mkdir(dev)
    kernel.mount("tmpfs", dev, "size=64k,nr_inodes=64,mode=755", kernel.NO_SETUID)
    for name in _DEVICES:
        _touch(f"{dev}/{name}")
        kernel.attach(kernel.tree(f"/dev/{name}", kernel.NO_SETUID), f"{dev}/{name}")
    for name, target in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
        os.symlink(f"/proc/self/fd{target}", f"{dev}/{name}")
    os.mkdir(f"{dev}/shm")
    kernel.mount("tmpfs", f"{dev}/shm", f"size={_SHARED_BYTES},nr_inodes={_ROOT_FILES},mode=1777")


def _touch(path: str) -> None:
    with open(path, "w"):
        pass


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
