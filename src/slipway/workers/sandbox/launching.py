"""Starts what the platform itself trusts: the spawner, zygotes of trusted environments, its own tools in builds.

They have a process group of their own, no inherited descriptors, an environment without the platform's settings, and
end with the host.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_ABOVE = 64  # copies of descriptors on their way to a child lie here, where no child number is
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
    """Start `command`; `descriptors` maps numbers in the child, below 64, to open descriptors here. Raises OSError.

    The child leads a session and process group of its own, has nothing else open, and dies with this process.
    """
    for number in descriptors:
        _occupy(number)
    copies = {number: fcntl.fcntl(here, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for number, here in descriptors.items()}
    try:
        return subprocess.Popen(
            command,
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            pass_fds=tuple(descriptors),
            # Nothing in it takes a lock, so that it is safe beside the threads that this process has.
            preexec_fn=_preparation(os.getpid(), copies, niceness),
            start_new_session=True,
        )
    finally:
        for copy in copies.values():
            os.close(copy)


def worker_environment(runtime: Path, **more: str) -> dict[str, str]:
    """The environment of zygotes and workers: one thread a library, the SDK on the module path, no bytecode written."""
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    own = {
        "PYTHONPATH": str(runtime),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONNOUSERSITE": "1",
        "HOME": "/nonexistent",
    }
    return {**passed, **_ONE_THREAD, **own, **more}


def change_owner(directory: Path, user: int, group: int) -> None:
    """Give a directory and all in it to a user, on its way into a sandbox or back; links are not followed."""
    for folder, folders, files in os.walk(directory):
        for path in (folder, *(os.path.join(folder, name) for name in (*folders, *files))):
            os.chown(path, user, group, follow_symlinks=False)


def kill_tree(pid: int) -> None:
    """Kill a living process and everything in its group."""
    kill_group(pid)
    try:
        os.kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def kill_group(pid: int) -> None:
    """Kill what is left in the group that a process, perhaps dead by now, has led.

    Its number cannot have gone to another group while one of its members lives; as a process's it may have.
    """
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def _occupy(number: int) -> None:
    """See to it that a number is in use here: starting a process fails, or overwrites its own pipe, where it is not."""
    try:
        os.fstat(number)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number, inheritable=False)
            os.close(null)


def _preparation(parent: int, descriptors: Mapping[int, int], niceness: int) -> Callable[[], None]:
    def prepare() -> None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() not in (parent, 0):  # 0: it is outside of this one's namespace
            os._exit(1)
        for number, descriptor in descriptors.items():
            os.dup2(descriptor, number)
        if niceness:
            os.nice(niceness)

    return prepare
