"""Why a worker ended, in the common API's words."""

from __future__ import annotations

import os
import signal

from slipway.types import AlgorithmFailure
from slipway.wire.messages import STOPPED
from slipway.workers.processes import WorkerProcess

# How a process looks that the kernel, or a library whose allocation failed, has ended for want of memory.
_SIGNS = frozenset({signal.SIGKILL, signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS})
_NEAR = 0.9
_OUT_OF_MEMORY = 137  # the protocol's exit status for it


def explain(process: WorkerProcess, memory_bytes: int) -> AlgorithmFailure:
    """The failure that calls of a process with that limit are answered with; it has ended by itself."""
    status = process.status
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number in _SIGNS and (process.refused.get("memory") or process.peak_bytes > _NEAR * memory_bytes):
            return over_limit(memory_bytes)
        return AlgorithmFailure(error_type="SystemExit", message=f"the worker exited with {_signal_name(number)}")
    code = os.waitstatus_to_exitcode(status)
    if code == _OUT_OF_MEMORY:
        return over_limit(memory_bytes)
    return AlgorithmFailure(error_type="SystemExit", message=f"the worker exited with status {code}")


def over_limit(memory_bytes: int) -> AlgorithmFailure:
    """It took more memory than it may."""
    message = f"the worker passed its memory limit of {memory_bytes} bytes"
    return AlgorithmFailure(error_type="OutOfMemoryError", message=message)


def stopped(reason: str) -> AlgorithmFailure:
    """The platform had no more use for it."""
    return AlgorithmFailure(error_type="SystemExit", message=f"{STOPPED}: {reason}")


def out_of_time() -> AlgorithmFailure:
    """It did not end a call in time."""
    return AlgorithmFailure(error_type="TimeoutError", message="the worker was replaced: a call took too long")


def _signal_name(number: int) -> str:
    try:
        return f"signal {number} ({signal.Signals(number).name})"
    except ValueError:
        return f"signal {number}"
