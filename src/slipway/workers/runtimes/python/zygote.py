"""A zygote: imports an environment's packages once, never an author's code, and forks workers from there.

It speaks JSON datagrams on descriptor 3, a SEQPACKET socket whose other end is the host's:

    {"import": [MODULE, …]}                        import what can be found in the environment
    {"imported": NUMBER}                           done with that, of so many
    {"fork": REPLICA}  + worker's socket, log      fork a worker
    {"fork": TEMPLATE} + these, channel            fork a template
    {"born": REPLICA}                              from the child itself: the kernel tells the host its pid
    {"refused": REPLICA, "reason": TEXT}           it cannot be forked just now; with "never", never will be
    {"ended": PID, "status": WAIT, "peak": BYTES}  a worker has ended

A template is a worker that loads its version, takes no call, and from then on is a zygote on a channel of its own:
what it forks has the model loaded.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import os
import select
import signal
import socket
import sys
import sysconfig
import traceback
from typing import Any, Dict, List, Optional

from slipway.sdk.slices import STARTING_US, take_slices
from slipway.workers.runtimes.python import worker
from slipway.workers.runtimes.python.process import die_with_parent, differ_from_siblings, end_with, name_process
from slipway.workers.runtimes.python.sharing import open_descriptors, plural, threads, unshareable
from slipway.workers.runtimes.python.worker import Worker

_CHANNEL = 3


class Zygote:
    """The parent of an environment's workers; or of one version's, with the worker that has `loaded` it.

    `hindrance` says why nothing can be forked here.
    """

    def __init__(self, channel: socket.socket, loaded: Optional[Worker] = None, hindrance: str = "") -> None:
        self._channel, self._loaded, self._hindrance = channel, loaded, hindrance
        self._wake, self._waker = os.pipe()
        os.set_blocking(self._waker, False)
        self._woken = signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
        self._handler = signal.signal(signal.SIGCHLD, lambda _number, _frame: None) or signal.SIG_DFL

    def run(self) -> None:
        """Serve until the host is gone."""
        channel = self._channel.fileno()
        while True:
            readable, _, _ = select.select([channel, self._wake], [], [])
            if self._wake in readable:
                os.read(self._wake, 4096)
                self._reap()
            if channel in readable:
                data, descriptors, _, _ = socket.recv_fds(self._channel, 256 * 1024, 4)
                if not data:
                    return
                self._handle(json.loads(data), descriptors)

    def _handle(self, message: Dict[str, Any], descriptors: List[int]) -> None:
        if "import" in message:
            import_packages(message["import"])
            self._send({"imported": len(message["import"])})
        elif "fork" in message:
            self._fork(message["fork"], descriptors)
            for descriptor in descriptors:
                os.close(descriptor)

    def _fork(self, replica: str, descriptors: List[int]) -> None:
        # A lock that another thread holds stays locked in the child for ever.
        if hindrance := self._hindrance or _started_threads():
            self._send({"refused": replica, "never": True, "reason": hindrance})
            return
        # Collected here rather than in each child, which would copy every page that the collector touches.
        gc.freeze()
        parent = os.getpid()
        try:
            child = os.fork() if self._loaded is None else self._loaded.clone()
        except OSError as error:
            self._send({"refused": replica, "errno": error.errno, "reason": str(error)})
            return
        if child == 0:
            try:
                self._become_worker(replica, parent, descriptors)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)

    def _become_worker(self, replica: str, parent: int, descriptors: List[int]) -> None:
        die_with_parent(parent)
        os.setpgid(0, 0)
        signal.set_wakeup_fd(self._woken)
        signal.signal(signal.SIGCHLD, self._handler)
        self._send({"born": replica})
        connection, log, *channel = descriptors
        if self._loaded is not None:
            self._channel.close()
        # In a zygote the worker's socket takes the place of the host's channel, in a template that of the parent's.
        os.dup2(connection, _CHANNEL, inheritable=False)
        os.dup2(log, 1)
        os.dup2(log, 2)
        for descriptor in (connection, log, self._wake, self._waker):
            os.close(descriptor)
        differ_from_siblings()
        if channel:
            end_with(lambda: _be_template(socket.socket(fileno=channel[0])))
        elif self._loaded is not None:
            loaded = self._loaded
            end_with(lambda: loaded.serve([]))
        else:
            worker.main(_CHANNEL)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            self._send({"ended": pid, "status": status, "peak": usage.ru_maxrss * 1024})

    def _send(self, message: Dict[str, Any]) -> None:
        self._channel.send(json.dumps(message).encode())


def import_packages(modules: List[str]) -> None:
    """Import those modules that the environment itself has; one that fails is left to the worker that needs it."""
    roots = tuple({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    for name in modules:
        if name in sys.modules:
            continue
        try:
            spec = importlib.util.find_spec(name)
            if spec is not None and isinstance(spec.origin, str) and spec.origin.startswith(roots):
                importlib.import_module(name)
        except BaseException as error:
            print(f"zygote: {name} cannot be imported: {error!r}", file=sys.stderr, flush=True)


def _be_template(channel: socket.socket) -> None:
    os.set_inheritable(channel.fileno(), False)
    before = open_descriptors()
    loaded = Worker(socket.socket(fileno=_CHANNEL))
    if loaded.prepare() is not None:
        Zygote(channel, loaded, unshareable(before)).run()


def _started_threads() -> str:
    count = threads()
    return f"importing its packages starts {plural(count, 'thread')}" if count else ""


def main() -> None:
    """Serve the host on descriptor 3."""
    die_with_parent(int(os.environ.pop("SLIPWAY_HOST_PID")))
    name_process("slipway-zygote")
    take_slices(STARTING_US)
    os.set_inheritable(_CHANNEL, False)
    Zygote(socket.socket(fileno=_CHANNEL)).run()


if __name__ == "__main__":
    main()
