"""What sandboxes refuse, heard by the host: it answers for each refused system call, and tells of it."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import select
import struct
import time
from collections.abc import Callable

from slipway.workers.runtimes.python.syscalls import names

# seccomp_unotify(2): id, process, flags; number, architecture, instruction, six arguments. And id, value, error, flags.
_REQUEST, _ANSWER = struct.Struct("=QII iIQ 6Q"), struct.Struct("=QqiI")
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_MOST_A_MINUTE = 20  # of one sandbox's refusals that are told of

# name of who put the filter up, process, system call
OnRefusal = Callable[[str, int, str], None]


class Refusals:
    """Listens for all sandboxes of a host."""

    def __init__(self, on_refusal: OnRefusal) -> None:
        self._on_refusal, self._names = on_refusal, names()
        self._listeners: dict[int, str] = {}
        self._told: dict[str, tuple[float, int]] = {}  # by sandbox: since when, how many

    def listen(self, name: str, descriptor: int) -> None:
        """Answer for the sandbox of that name, until its last process has ended."""
        self._listeners[descriptor] = name
        try:
            asyncio.get_running_loop().add_reader(descriptor, self._heard, descriptor)
        except OSError:  # a file: whoever sent it runs other people's code
            self._drop(descriptor)

    def close(self) -> None:
        """Listen no more: what would be refused fails then with ENOSYS."""
        for descriptor in list(self._listeners):
            self._drop(descriptor)

    def _heard(self, descriptor: int) -> None:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        ((_, events),) = poll.poll(0) or ((descriptor, 0),)
        if not events & select.POLLIN:
            if events & (select.POLLHUP | select.POLLERR):
                self._drop(descriptor)
            return
        request = bytearray(_REQUEST.size)
        try:
            fcntl.ioctl(descriptor, _RECEIVE, request)
            identity, pid, _, number, *_ = _REQUEST.unpack(request)
            # Told before it goes on: it is still there to be found.
            self._tell(self._listeners[descriptor], pid, self._names.get(number, "clone"))
            fcntl.ioctl(descriptor, _SEND, _ANSWER.pack(identity, 0, -errno.EPERM, 0))
        except OSError as error:
            if error.errno != errno.ENOENT:  # who asked is gone; anything else: that is no listener
                self._drop(descriptor)

    def _tell(self, name: str, pid: int, call: str) -> None:
        now = time.monotonic()
        since, count = self._told.get(name, (now, 0))
        if now - since > 60.0:
            since, count = now, 0
        self._told[name] = since, count + 1
        if count < _MOST_A_MINUTE:
            self._on_refusal(name, pid, call)

    def _drop(self, descriptor: int) -> None:
        name = self._listeners.pop(descriptor)
        asyncio.get_running_loop().remove_reader(descriptor)
        os.close(descriptor)
        if name not in self._listeners.values():
            self._told.pop(name, None)
