"""Linux system calls that Python 3.9 has no function for. Each raises OSError."""

from __future__ import annotations

import ctypes
import os
from typing import Optional

# Namespaces, as clone(2), unshare(2) and setns(2) name them.
NEW_MOUNTS, NEW_UTS, NEW_IPC = 0x00020000, 0x04000000, 0x08000000
NEW_USER, NEW_PID, NEW_NET = 0x10000000, 0x20000000, 0x40000000

# Attributes of mounts, as mount_setattr(2) names them.
READ_ONLY, NO_SETUID, NO_DEVICES = 0x01, 0x02, 0x04

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 4, 24, 38

_AT_FDCWD, _AT_EMPTY_PATH, _AT_RECURSIVE = -100, 0x1000, 0x8000
_OPEN_TREE_CLONE, _OPEN_TREE_CLOEXEC, _MOVE_MOUNT_FROM_DESCRIPTOR = 1, os.O_CLOEXEC, 0x04
_MS_RECURSIVE, _MS_PRIVATE, _MNT_DETACH = 0x4000, 0x40000, 2
_OPEN_TREE, _MOVE_MOUNT, _MOUNT_SETATTR, _PIDFD_OPEN = 428, 429, 442, 434  # alike on all architectures
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CAPABILITY_VERSION = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user")]


def call(number: int, *arguments: object) -> int:
    """A system call by its number."""
    return _checked(_libc.syscall(ctypes.c_long(number), *arguments))


def prctl(option: int, *arguments: int) -> None:
    """See prctl(2)."""
    words = [ctypes.c_ulong(argument) for argument in (*arguments, 0, 0, 0, 0)[:4]]
    _checked(_libc.prctl(option, *words))


def unshare(namespaces: int) -> None:
    """Have new namespaces; of processes, those that are forked from now on."""
    _checked(_libc.unshare(namespaces))


def join(descriptor: int, namespaces: int) -> None:
    """Join those namespaces of a process (its pidfd), or the one that an open file stands for."""
    _checked(_libc.setns(descriptor, namespaces))


def pidfd_open(pid: int) -> int:
    """A descriptor that means this process and no later one of that number."""
    return call(_PIDFD_OPEN, pid, 0)


def mount(kind: str, target: str, data: str = "", flags: int = NO_SETUID | NO_DEVICES) -> None:
    """Mount a new file system of some kind."""
    _checked(_libc.mount(kind.encode(), os.fsencode(target), kind.encode(), flags, data.encode() or None))


def keep_mounts_private() -> None:
    """What is mounted from now on, here or elsewhere, is not seen in the other place."""
    _checked(_libc.mount(None, b"/", None, _MS_RECURSIVE | _MS_PRIVATE, None))


def tree(path: str, attributes: int = READ_ONLY | NO_SETUID | NO_DEVICES) -> int:
    """A copy of what is mounted at a path and below, with these attributes, to be attached elsewhere."""
    flags = _OPEN_TREE_CLONE | _OPEN_TREE_CLOEXEC | _AT_RECURSIVE
    descriptor = call(_OPEN_TREE, _AT_FDCWD, os.fsencode(path), flags)
    try:
        set_attributes(descriptor, attributes)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def attach(descriptor: int, target: str) -> None:
    """Mount such a copy, and close its descriptor."""
    try:
        call(_MOVE_MOUNT, descriptor, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_FROM_DESCRIPTOR)
    finally:
        os.close(descriptor)


def set_attributes(descriptor: int, attributes: int, path: Optional[str] = None) -> None:
    """Of a copied tree, all of it; or of the one mount at `path`."""
    wanted = _MountAttributes(set=attributes)
    flags = _AT_EMPTY_PATH | _AT_RECURSIVE if path is None else 0
    size = ctypes.c_size_t(ctypes.sizeof(wanted))
    call(_MOUNT_SETATTR, descriptor, os.fsencode(path or ""), flags, ctypes.byref(wanted), size)


def make_read_only(path: str) -> None:
    """The mount at that path, in this process's namespace."""
    set_attributes(_AT_FDCWD, READ_ONLY, path)


def change_root(path: str) -> None:
    """Let a mount be the root of everything, and nothing else be left of what was mounted."""
    os.chdir(path)
    call(_PIVOT_ROOT[os.uname().machine], b".", b".")
    _checked(_libc.umount2(b".", _MNT_DETACH))
    os.chdir("/")


def drop_bounds() -> None:
    """Let no file that is executed give a capability any more."""
    for capability in range(64):
        try:
            prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            return  # beyond the last that this kernel knows, or without the right to: then there is nothing to drop


def drop_capabilities() -> None:
    """Have none, and never get one again."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _checked(_libc.capset(header, nothing))
    prctl(PR_SET_NO_NEW_PRIVS, 1)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
