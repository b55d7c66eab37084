"""How long a process may keep a processor while others want it: briefly what answers calls, longer what only starts.

Under Linux 6.12 and later a thread may ask for the length of its slices (`sched_runtime` of sched_setattr(2)). It gets
no more of the processors by that, but one with shorter slices that wakes up runs before one with longer slices goes on
(EEVDF: I. Stoica, H. Abdel-Wahab, Earliest Eligible Virtual Deadline First, 1995). Nobody needs a privilege for it.
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Iterable

STARTING_US, SERVING_US = 20_000, 200

_SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}.get(os.uname().machine)
_ATTRIBUTES = struct.Struct("=IIQiIQQQ")  # size, policy, flags, nice, priority, runtime, deadline, period
_libc = ctypes.CDLL(None, use_errno=True)


def take_slices(microseconds: int, threads: Iterable[int] = (0,)) -> None:
    """Of so long, from now on: these threads, by their ids, or this one; and what they start then.

    Nothing happens where the kernel does not have it, or forbids it, or an operator has chosen another policy.
    """
    if _SCHED_SETATTR is None or os.sched_getscheduler(0) != os.SCHED_OTHER:
        return
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = _ATTRIBUTES.pack(_ATTRIBUTES.size, os.SCHED_OTHER, 0, nice, 0, microseconds * 1000, 0, 0)
    for thread in threads:
        _libc.syscall(_SCHED_SETATTR, thread, attributes, 0)


def all_threads() -> Iterable[int]:
    """Of this process."""
    return map(int, os.listdir("/proc/self/task"))
