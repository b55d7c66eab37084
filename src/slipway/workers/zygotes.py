"""The host's side of zygotes: asks them for imports, and for workers."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterable
from typing import Any

from slipway.workers.forkers import CannotFork, Forker, ZygoteLost
from slipway.workers.processes import WorkerProcess
from slipway.workers.sandbox.sandboxes import Sandbox

MODULE = "slipway.workers.runtimes.python.zygote"
_FORK_SECONDS = 60.0  # importing what is missing comes first
_IMPORT_BYTES = 32 * 1024  # of names in one message


class Zygote(Forker):
    """The zygote of an environment: `process`, which serves the other end of the channel `near`."""

    def __init__(
        self, near: socket.socket, process: WorkerProcess, on_lost: Callable[[], None], sandbox: Sandbox | None
    ) -> None:
        super().__init__(near, _FORK_SECONDS, on_lost)
        self._process = process
        self.sandbox = sandbox  # that it is in; None: it forks first, and its children enter one
        self.shown: set[str] = set()  # directories that it sees beside its environment
        self._asked_for: set[str] = set()  # modules
        self._importing = 0  # messages that it has not answered
        self._imported = asyncio.Event()
        self._imported.set()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def preload(self, modules: Iterable[str]) -> None:
        """Have it import what it does not have yet."""
        missing = [name for name in modules if name not in self._asked_for]
        self._asked_for.update(missing)
        while missing:
            batch, missing = _split(missing)
            try:
                self._near.send(json.dumps({"import": batch}).encode())
            except OSError:
                return  # it starts colder then, or is dead, and that is noticed elsewhere
            self._importing += 1
            self._imported.clear()

    async def imported(self) -> None:
        """Wait until it has imported what it was asked to. Raises CannotFork, ZygoteLost."""
        try:
            await asyncio.wait_for(self._imported.wait(), self._fork_seconds)
        except TimeoutError as error:
            raise CannotFork(self.hangs) from error
        if self._near.fileno() < 0:
            raise ZygoteLost("the zygote ended while it imported its packages")

    def close(self) -> None:
        """It is dead, or about to be killed: so are its workers."""
        super().close()
        self._imported.set()

    def stop(self) -> None:
        """Kill it; its workers die with it."""
        self._process.kill()
        self.close()

    def _handle(self, message: dict[str, Any], ancillary: list[tuple[int, int, bytes]]) -> None:
        if "imported" not in message:
            super()._handle(message, ancillary)
            return
        self._importing -= 1
        if not self._importing:
            self._imported.set()


def _split(modules: list[str]) -> tuple[list[str], list[str]]:
    """As many names as one message holds, and the rest."""
    size = 0
    for count, name in enumerate(modules):
        size += len(name) + 4
        if size > _IMPORT_BYTES and count:
            return modules[:count], modules[count:]
    return modules, []
