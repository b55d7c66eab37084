"""Starts the platform's processes on one machine, restarts what dies, and leaves none behind."""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from slipway import app
from slipway.errors import DataDirectoryInUse, DataDirectoryUnusable, PortTaken, StartupError
from slipway.settings import Settings

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_prctl = ctypes.CDLL(None, use_errno=True).prctl

_BACKLOG = 2048
_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS = 0.1, 10.0
_STABLE_SECONDS = 10.0  # a process that lived so long is restarted at once when it dies
_STOP_SECONDS = 10.0  # what a process gets to end, beyond the draining of calls
_LOG_BYTES = 10 * 2**20

Report = Callable[[str], None]  # takes one line for the operator


class _Child:
    """One process of the platform, over all its lives."""

    def __init__(
        self, name: str, command: list[str], environment: dict[str, str], descriptors: tuple[int, ...]
    ) -> None:
        self.name = name
        self._command, self._environment, self._descriptors = command, environment, descriptors
        self.process: subprocess.Popen[bytes] | None = None
        self.next_start = 0.0
        self._started = 0.0
        self._failures = 0

    def start(self, log: Path) -> None:
        """Begin a life."""
        parent = os.getpid()

        def prepare() -> None:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                os._exit(1)

        if log.exists() and log.stat().st_size > _LOG_BYTES:
            log.replace(log.with_suffix(".log.1"))
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                self._command,
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=self._descriptors,
                start_new_session=True,
                preexec_fn=prepare,
            )
        self._started = time.monotonic()

    def ended(self) -> float:
        """Note the end of a life; the seconds until the next may begin: none at first, then 0.1 doubled up to 10."""
        now = time.monotonic()
        if now - self._started > _STABLE_SECONDS:
            self._failures = 0
        pause = min(_LAST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** (self._failures - 1)) if self._failures else 0.0
        self._failures = min(self._failures + 1, 16)
        self.process = None
        self.next_start = now + pause
        return pause


class Supervisor:
    """The parent of all. Holds the data directory's lock and the listening socket from its making to `close`.

    Raises DataDirectoryUnusable, DataDirectoryInUse, PortTaken.
    """

    def __init__(self, settings: Settings, report: Report) -> None:
        self._report = report
        _make_directories(settings)
        self._lock = _lock(settings)
        try:
            self.listener = _listen(settings.host, settings.port)
        except StartupError:
            os.close(self._lock)
            raise
        self.port = int(self.listener.getsockname()[1])
        self.settings = settings
        self._children = self._make_children(settings)
        self._stopping = False
        self._wake, self._waker = os.pipe()

    @property
    def url(self) -> str:
        """Where the platform is reached."""
        host = "127.0.0.1" if self.settings.host in ("0.0.0.0", "::", "") else self.settings.host  # noqa: S104
        return self.settings.public_url or f"http://{host}:{self.port}"

    def start(self) -> None:
        """Start every process. From here on this process is the parent of whatever loses its own."""
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        for descriptor in (self._wake, self._waker):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        _write_pid(self.settings, self.url)
        for child in self._children:
            child.start(self._log(child))

    def watch(self, while_running: Callable[[], None]) -> None:
        """Restart what dies until a signal says stop. `while_running` is called a few times a second.

        Raises StartupError when a process says that what is wrong will not mend itself.
        """
        while not self._stopping:
            select.select([self._wake], [], [], 0.2)
            self._drain_wakes()
            self._reap()
            for child in self._children:
                if child.process is None and child.next_start <= time.monotonic() and not self._stopping:
                    child.start(self._log(child))
            while_running()

    def close(self) -> None:
        """Drain the gateways, end the others, kill what is left, let go of lock and socket."""
        self.listener.close()
        gateways = [child for child in self._children if child.name.startswith("gateway")]
        _end(gateways, self.settings.drain_seconds + _STOP_SECONDS)
        _end([child for child in self._children if child not in gateways], _STOP_SECONDS)
        _kill_orphans()
        for name in ("pid", "url"):
            (self.settings.run_directory / name).unlink(missing_ok=True)
        os.close(self._lock)

    def _make_children(self, settings: Settings) -> list[_Child]:
        def child(name: str, process: str, gateway: str = "") -> _Child:
            descriptors = (self.listener.fileno(),) if gateway else ()
            environment = app.environment_for(settings, gateway, self.listener.fileno())
            return _Child(name, [sys.executable, "-m", "slipway.app", process], environment, descriptors)

        gateways = [f"gateway-{number}" for number in range(settings.gateways)]
        return [
            child("control", "control"),
            child("host", "host"),
            *(child(name, "gateway", name) for name in gateways),
            child("observer", "observer"),
        ]

    def _reap(self) -> None:
        """Take note of the children that have ended, and end what they left."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                break
            for child in self._children:
                if child.process is not None and child.process.pid == pid:
                    self._child_ended(child, os.waitstatus_to_exitcode(status))
        self._kill_strays()

    def _child_ended(self, child: _Child, code: int) -> None:
        if self._stopping:
            child.process = None
            return
        if code == app.EXIT_UNUSABLE:
            raise StartupError(_last_line(self._log(child)).removeprefix("slipway: "))
        pause = child.ended()
        how = f"signal {-code}" if code < 0 else f"status {code}"
        self._report(f"{child.name} ended with {how}; starting it again" + (f" in {pause:g} s" if pause else ""))

    def _kill_strays(self) -> None:
        """Whatever else became our child has lost its parent, a process of the platform."""
        ours = {child.process.pid for child in self._children if child.process is not None}
        for pid in _children_of(os.getpid()) - ours:
            _kill(pid)

    def _stop(self, _number: int, _frame: object) -> None:
        self._stopping = True

    def _drain_wakes(self) -> None:
        try:
            os.read(self._wake, 4096)
        except BlockingIOError:
            return

    def _log(self, child: _Child) -> Path:
        return self.settings.logs_directory / f"{child.name}.log"


def _make_directories(settings: Settings) -> None:
    try:
        for directory in (settings.root, settings.logs_directory):
            directory.mkdir(parents=True, exist_ok=True)
        settings.run_directory.mkdir(mode=0o700, exist_ok=True)
        settings.run_directory.chmod(0o700)
        probe = settings.run_directory / "probe"
        probe.write_bytes(b"x" * 4096)
        probe.unlink()
    except OSError as error:
        raise DataDirectoryUnusable(
            f"the data directory {settings.root} cannot be written: {error.strerror}"
        ) from error
    # Unix sockets have short names: better said here than by each process in turn.
    longest = settings.run_directory / "gateway-00.sock"
    if len(str(longest)) > 107:
        raise DataDirectoryUnusable(f"the path of the data directory {settings.root} is too long for its sockets")


def _lock(settings: Settings) -> int:
    descriptor = os.open(settings.run_directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise DataDirectoryInUse(
            f"another platform runs on {settings.root}: stop it with `slipway down`, or choose another `--data`"
        ) from error
    return descriptor


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        raise PortTaken(f"cannot listen on {host}:{port}: {error.strerror}; choose another `--port`") from error
    return listener


def _write_pid(settings: Settings, url: str) -> None:
    (settings.run_directory / "pid").write_text(f"{os.getpid()}\n")
    (settings.run_directory / "url").write_text(f"{url}\n")


def _end(children: list[_Child], seconds: float) -> None:
    for child in children:
        if child.process is not None:
            child.process.terminate()
    deadline = time.monotonic() + seconds
    for child in children:
        if child.process is None:
            continue
        try:
            child.process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.process.kill()
            child.process.wait()


def _kill_orphans() -> None:
    """End everything that is still below this process; what these leave becomes ours in turn."""
    deadline = time.monotonic() + _STOP_SECONDS
    while (left := _children_of(os.getpid())) and time.monotonic() < deadline:
        for pid in left:
            _kill(pid)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _children_of(parent: int) -> set[int]:
    try:
        return {int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()}
    except OSError:
        return set()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"see {log}"
