"""Starts the platform's processes on one machine, restarts what dies, and leaves none behind."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from slipway import __version__, app
from slipway.errors import StartupError
from slipway.premises import forget_occupant, listen, lock, make_directories, note_occupant
from slipway.processes import Child, become_subreaper, children_of, has_terminal, kill
from slipway.reloading import Reloading
from slipway.settings import Settings

_TICK_SECONDS = 0.2
_STOP_SECONDS = 10.0  # what a process gets to end, beyond the draining of calls
_LOG_CHECK_SECONDS = 10.0
_EVERY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104 - recognised, not bound

Report = Callable[[str], None]  # takes one line for the operator


class Supervisor:
    """The parent of all. Holds the data directory's lock and the listening socket from its making to `close`.

    Raises DataDirectoryUnusable, DataDirectoryInUse, PortTaken.
    """

    def __init__(self, settings: Settings, report: Report, options: Mapping[str, Any] | None = None) -> None:
        self._report = report
        self.settings = settings
        self.established = False  # set once the platform has been ready: what fails from then on is tried again
        make_directories(settings)
        self._lock = lock(settings)
        try:
            self._listener = listen(settings.host, settings.port)
        except StartupError:
            os.close(self._lock)
            raise
        self.port = int(self._listener.getsockname()[1])
        self._children = self._make_children()
        self._reloading = Reloading(settings, {"data": settings.data, **(options or {})}, os.environ)
        self._reload_asked = False
        self._had_terminal = has_terminal()
        self._signals = 0  # that asked for an end
        self._wake, self._waker = os.pipe()
        self._next_log_check = 0.0

    @property
    def url(self) -> str:
        """Where users reach the platform."""
        return self.settings.public_url or self.local_url

    @property
    def local_url(self) -> str:
        """Where this machine reaches it."""
        host = "127.0.0.1" if self.settings.host in _EVERY_ADDRESS else self.settings.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def start(self) -> None:
        """Start every process. From here on this process is the parent of whatever loses its own."""
        become_subreaper()
        self._catch_signals()
        note_occupant(self.settings, self.local_url, __version__)
        for child in self._children:
            child.start()

    def watch(self, on_tick: Callable[[], None]) -> None:
        """Restart what dies until a signal says stop; `on_tick` is called a few times a second.

        Raises StartupError when a process says, before the platform was ever ready, that it cannot start.
        """
        while not self._signals:
            self._wait(_TICK_SECONDS)
            for child, code in self._reap():
                self._restart_later(child, code)
            for child in self._children:
                if child.due() and not self._signals:
                    child.start()
            if self._reload_asked:
                self._reload()
            self._check_logs()
            on_tick()

    def close(self) -> None:
        """Drain the gateways, end the others, kill what is left, let go of lock and socket.

        A second signal ends the draining.
        """
        self._listener.close()
        gateways = [child for child in self._children if child.name.startswith("gateway")]
        self._end(gateways, self.settings.drain_seconds + _STOP_SECONDS)
        self._end([child for child in self._children if child not in gateways], _STOP_SECONDS)
        self._kill_all()
        forget_occupant(self.settings)
        signal.set_wakeup_fd(-1)
        for descriptor in (self._wake, self._waker, self._lock):
            os.close(descriptor)

    def _make_children(self) -> list[Child]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("SLIPWAY_")}
        listener = self._listener.fileno()
        # What control tells of addresses must hold for others, with a port that the kernel chose too.
        settings = msgspec.structs.replace(self.settings, public_url=self.url)

        def child(process: str, gateway: str = "") -> Child:
            environment = app.environment_for(process, settings, self._lock, gateway, listener)
            return Child(
                gateway or process,
                [sys.executable, "-m", "slipway.app", process],
                {**inherited, **environment},
                (self._lock, listener) if gateway else (self._lock,),
                self.settings.logs_directory / f"{gateway or process}.log",
            )

        gateways = [child("gateway", f"gateway-{number}") for number in range(self.settings.gateways)]
        return [child("control"), child("host"), *gateways, child("observer")]

    def _catch_signals(self) -> None:
        for descriptor in (self._wake, self._waker):
            os.set_blocking(descriptor, False)
        signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        # A closed terminal is a way to end it, unless `nohup` has said otherwise.
        self._had_terminal &= signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN
        signal.signal(signal.SIGHUP, self._hung_up)

    def _stop(self, _number: int, _frame: object) -> None:
        self._signals += 1

    def _hung_up(self, number: int, frame: object) -> None:
        """The terminal was closed; or there is one still, or never was: then somebody wants the settings read again."""
        if self._had_terminal and not has_terminal():
            self._stop(number, frame)
        self._reload_asked = True

    def _reload(self) -> None:
        self._reload_asked = False
        answer = self._reloading.reload()
        if answer.error:
            self._report(f"the settings stay as they are: {answer.error}")
            return
        for child in self._children:
            child.send(signal.SIGHUP)
        later = f"; these need a restart: {', '.join(answer.restart)}" if answer.restart else ""
        self._report(f"settings were read again: {', '.join(answer.changed) or 'nothing'} changed{later}")

    def _wait(self, seconds: float) -> None:
        if select.select([self._wake], [], [], seconds)[0]:
            try:
                os.read(self._wake, 4096)
            except BlockingIOError:
                return

    def _reap(self) -> Iterable[tuple[Child, int]]:
        """The children that have ended, with their exit codes. What they left below them is killed."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                break
            for child in self._children:
                if child.pid == pid:
                    yield child, os.waitstatus_to_exitcode(status)
        # Whatever else became a child of this process has lost its parent, a process of the platform.
        for stray in children_of(os.getpid()) - {child.pid for child in self._children}:
            kill(stray)

    def _restart_later(self, child: Child, code: int) -> None:
        pause = child.ended(code)
        if code == app.EXIT_UNUSABLE and not self.established:
            raise StartupError(child.last_line().removeprefix("slipway: ") or f"see {child.log}")
        how = f"was killed by signal {-code}" if code < 0 else f"ended with status {code}"
        when = f"in {pause:g} s" if pause else "now"
        said = f" ({child.last_line()})" if code > 0 else ""
        self._report(f"{child.name} {how}{said}; it is started again {when}")

    def _end(self, children: list[Child], seconds: float) -> None:
        for child in children:
            child.send(signal.SIGTERM)
        asked = self._signals
        deadline = time.monotonic() + seconds
        while any(child.pid for child in children):
            if time.monotonic() > deadline or self._signals > max(asked, 1):
                for child in children:
                    child.send(signal.SIGKILL)
            self._wait(_TICK_SECONDS)
            for child, code in self._reap():
                child.ended(code)

    def _kill_all(self) -> None:
        """End everything that is still below this process; what these leave becomes its own in turn."""
        deadline = time.monotonic() + _STOP_SECONDS
        while (left := children_of(os.getpid())) and time.monotonic() < deadline:
            for pid in left:
                kill(pid)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return

    def _check_logs(self) -> None:
        if time.monotonic() > self._next_log_check:
            self._next_log_check = time.monotonic() + _LOG_CHECK_SECONDS
            for child in self._children:
                child.rotate_log()
