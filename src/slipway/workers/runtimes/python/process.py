"""What a worker asks of the kernel for itself."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
import traceback
from typing import Callable, NoReturn

from slipway.sdk.frames import ProtocolError

# Exit statuses: as it should; after an answer that it could not go on from; the protocol was broken; no memory.
ENDED, FAILED, BROKEN, OUT_OF_MEMORY = 0, 1, 2, 137

STACK_BYTES = 8 * 1024 * 1024  # of address space, that a thread takes of the limit

_PR_SET_PDEATHSIG, _PR_SET_NAME = 1, 15
_RESERVE_BYTES = 32 * 1024 * 1024  # to answer with once the limit is reached
_libc = ctypes.CDLL(None, use_errno=True)


def die_with_parent(parent: int) -> None:
    """Be killed when the parent ends; also when it has ended already. One that is outside of a space is 0 there."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() not in (parent, 0):
        os._exit(1)


def name_process(name: str) -> None:
    """What `ps` and `top` show: its last 15 bytes, for the kernel keeps no more."""
    _libc.prctl(_PR_SET_NAME, name.encode("utf-8", "replace")[-15:])


def close_standard_input() -> None:
    """What user code reads there, or lets a child process read, must not be the worker's socket."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def limit_memory(limit: int, threads: int = 0) -> None:
    """Let malloc fail beyond `limit` bytes more than the process has now, so that Python raises MemoryError.

    `threads`: of how many `allow_stacks` may add the stacks later.
    """
    used = 0
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmData:"):
                used = int(line.split()[1]) * 1024
    most = used + limit + _RESERVE_BYTES + threads * STACK_BYTES
    resource.setrlimit(resource.RLIMIT_DATA, (used + limit, most))


def allow_stacks(threads: int) -> None:
    """Threads' stacks are address space, hardly any of it ever memory: the author's limit is raised by them."""
    now, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (min(most, now + threads * STACK_BYTES), most))


def open_reserve() -> None:
    """Memory to answer with after a MemoryError; the process ends right after."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))


def end_after(error: BaseException) -> NoReturn:
    """End at once, with the status that says what it was."""
    os._exit(OUT_OF_MEMORY if isinstance(error, MemoryError) else FAILED)


def end_with(serve: Callable[[], None]) -> NoReturn:
    """Serve, then end at once: what user code left running must not hold the process."""
    status = ENDED
    try:
        serve()
    except OSError:
        status = FAILED  # the other side is gone
    except ProtocolError as error:
        os.write(2, f"worker: {error}\n".encode())
        status = BROKEN
    except BaseException:
        os.write(2, traceback.format_exc().encode("utf-8", "replace"))
        status = BROKEN
    os._exit(status)


def differ_from_siblings() -> None:
    """After a fork: without this all workers of a zygote draw the same numbers. Python's own generator knows.

    A generator that the author's code has made and kept is not known here.
    """
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.default_generator.seed()
