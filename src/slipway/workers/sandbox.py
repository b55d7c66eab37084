"""The one function that starts other people's code: zygotes, fresh workers, the commands of builds.

It passes through for now: a process group of its own, killed with the host, no inherited descriptors, an environment
without the platform's settings.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None, use_errno=True).prctl

# What user code may see of the platform's own environment.
_PASSED_ON = ("PATH", "LANG", "LC_ALL", "TZ", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "SSL_CERT_FILE", "SSL_CERT_DIR")
_ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMEXPR", "VECLIB_MAXIMUM")}


def launch(
    command: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str],
    descriptors: Mapping[int, int],
    niceness: int = 0,
) -> subprocess.Popen[bytes]:
    """Start `command`; `descriptors` maps numbers in the child to open descriptors here. Raises OSError.

    A child number must not be one of the descriptors here, unless it maps to itself.
    """
    parent = os.getpid()
    return subprocess.Popen(
        command,
        cwd=directory,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        pass_fds=tuple(descriptors.keys()),
        preexec_fn=_preparation(parent, descriptors, niceness),
        start_new_session=True,
    )


def worker_environment(runtime: Path, **more: str) -> dict[str, str]:
    """The environment of zygotes and workers: one thread a library, the SDK on the module path, no bytecode written."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    own = {
        "PYTHONPATH": str(runtime),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "HOME": "/nonexistent",
        "SLIPWAY_HOST_PID": str(os.getpid()),
    }
    return {**passed, **_ONE_THREAD, **own, **more}


def kill_group(pid: int) -> None:
    """Kill a process and everything in its group."""
    for kill in (os.killpg, os.kill):
        try:
            kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue


def _preparation(parent: int, descriptors: Mapping[int, int], niceness: int) -> Callable[[], Any]:
    def prepare() -> None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        for number, descriptor in descriptors.items():
            if number == descriptor:
                os.set_inheritable(descriptor, True)
            else:
                os.dup2(descriptor, number)
        if niceness:
            os.nice(niceness)

    return prepare
