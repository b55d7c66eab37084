"""Landlock: what a process may do with files, whoever owns them; a second wall behind namespaces, the first without.

See landlock(7). Nothing outside is signalled or traced either, where the kernel can see to that.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
from typing import Iterable

from slipway.workers.runtimes.python import kernel

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_QUERY_VERSION, _PATH_BENEATH = 1, 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIRECTORY = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_READ = _EXECUTE | _READ_FILE | _READ_DIRECTORY
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | 1 << 14 | 1 << 15  # truncation, ioctl of devices
_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # by version: how many there are
_MOST_RIGHTS = 16
_WITH_TCP, _WITH_SCOPES = 4, 6  # versions
_TCP, _SCOPES = 0b11, 0b11  # bind and connect; abstract sockets and signals


class _Ruleset(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("files", "net", "scopes")]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def version() -> int:
    """Of what this kernel has; 0 where it has nothing."""
    try:
        return kernel.call(_CREATE, None, ctypes.c_size_t(0), _QUERY_VERSION)
    except OSError:
        return 0


def restrict(readable: Iterable[str], writable: Iterable[str], network: bool) -> None:
    """May read and execute beneath some paths, do everything beneath others, and with `network` use TCP.

    Needs no privilege but that none can be gained (PR_SET_NO_NEW_PRIVS). Raises OSError without Landlock.
    """
    known = version()
    if not known:
        raise OSError(errno.ENOSYS, "this kernel has no Landlock")
    rights = (1 << _RIGHTS.get(known, _MOST_RIGHTS)) - 1
    handled = _Ruleset(files=rights)
    if known >= _WITH_TCP and not network:
        handled.net = _TCP
    if known >= _WITH_SCOPES:
        handled.scopes = _SCOPES
    size = ctypes.c_size_t(ctypes.sizeof(handled) if known >= _WITH_SCOPES else 16 if known >= _WITH_TCP else 8)
    rules = kernel.call(_CREATE, ctypes.byref(handled), size, 0)
    try:
        for paths, allowed in ((readable, _READ), (writable, rights)):
            for path in paths:
                _allow(rules, path, allowed & rights)
        kernel.call(_RESTRICT, rules, 0)
    finally:
        os.close(rules)


def keep_apart() -> None:
    """Signal and trace nobody but oneself and one's children, from now on; where the kernel can see to that."""
    if version() < _WITH_SCOPES:
        return
    scopes = _Ruleset(scopes=_SCOPES)
    rules = kernel.call(_CREATE, ctypes.byref(scopes), ctypes.c_size_t(ctypes.sizeof(scopes)), 0)
    try:
        kernel.call(_RESTRICT, rules, 0)
    finally:
        os.close(rules)


def _allow(rules: int, path: str, allowed: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            allowed &= _ON_FILES
        rule = _Beneath(allowed=allowed, parent=place)
        kernel.call(_ADD_RULE, rules, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(place)
