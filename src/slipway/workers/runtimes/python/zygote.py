"""A zygote: imports an environment's packages once, never an author's code, and forks workers from there.

It speaks JSON datagrams on descriptor 3, a SEQPACKET socket whose other end is the host's:

    {"import": [MODULE, …]}                        import what can be found in the environment
    {"imported": NUMBER}                           done with that, of so many
    {"fork": REPLICA}  + worker's socket, log      fork a worker
    {"fork": TEMPLATE} + these, channel            fork a template
    {"run": NAME, "command": [WORD, …], …}         run a command; its descriptors get the "numbers" that are listed
    {"found": SPACE}                               have a process that makes a space, and holds it
    {"show": NAME, "paths": [PATH, …]}             let the processes of a sandbox see more directories: comes with two
                                                   descriptors, that of its space and that of one of its processes
    {"born": NAME}  (+ listener)                   from the child itself, in its sandbox: the kernel tells the host
                                                   its pid; the listener hears of system calls that are refused to it
    {"refused": NAME, "reason": TEXT}              it cannot be forked just now; with "never", never will be
    {"ended": NAME, "status": WAIT, "peak": BYTES} a child has ended

What asks for a child may say in which sandbox: "plan" (see `confinement`). Behind the descriptors that were named come
then that of the space to join, if "joins" says so, and those of so many "groups" (see `confinement.join_groups`).

A template is a worker that loads its version, takes no call, and from then on is a zygote on a channel of its own:
what it forks has the model loaded. The host also has one zygote without an environment, with all its privileges: that
runs commands in sandboxes, such as the zygotes of environments that nobody trusts.
"""

from __future__ import annotations

import fcntl
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
from typing import Any, Callable, Dict, List, NamedTuple, NoReturn, Optional

from slipway.sdk.slices import STARTING_US, take_slices
from slipway.workers.runtimes.python import confinement, kernel, worker
from slipway.workers.runtimes.python.process import die_with_parent, differ_from_siblings, end_with, name_process
from slipway.workers.runtimes.python.sharing import open_descriptors, plural, threads, unshareable
from slipway.workers.runtimes.python.worker import Worker

_CHANNEL = 3
_MOST_DESCRIPTORS = 16  # that come with a message
_ABOVE = 64  # copies of descriptors on their way to their numbers lie here
_NOT_FOUND = 127  # as shells say it
_HOLDER = ["/bin/sleep", "infinity"]
_KINDS = ("fork", "run", "found", "show")


class _Birth(NamedTuple):
    """A child that was asked for."""

    name: str
    plan: Dict[str, Any]
    space: int  # to join; -1: none
    groups: List[int]
    descriptors: List[int]
    forks: bool  # goes on as a fork, with what is in memory here
    founds: bool

    def close(self) -> None:
        """The parent has no use for its descriptors."""
        for descriptor in [*self.descriptors, *self.groups, *([self.space] if self.space >= 0 else [])]:
            os.close(descriptor)


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
        self._children: Dict[int, str] = {}  # by process id, as it is seen here
        self._own_ids = -1  # this process's own namespace of process ids, once it was needed

    def run(self) -> None:
        """Serve until the host is gone."""
        channel = self._channel.fileno()
        while True:
            readable, _, _ = select.select([channel, self._wake], [], [])
            if self._wake in readable:
                os.read(self._wake, 4096)
                self._reap()
            if channel in readable:
                data, descriptors, _, _ = socket.recv_fds(self._channel, 256 * 1024, _MOST_DESCRIPTORS)
                if not data:
                    return
                for descriptor in descriptors:
                    os.set_inheritable(descriptor, False)
                self._handle(json.loads(data), descriptors)

    def _handle(self, message: Dict[str, Any], descriptors: List[int]) -> None:
        if "import" in message:
            import_packages(message["import"])
            self._send({"imported": len(message["import"])})
            return
        birth = _birth(message, descriptors)
        try:
            if "fork" in message:
                self._fork(birth, self._become_worker)
            elif "run" in message:
                self._bear(birth, lambda birth: _run(message, birth.descriptors))
            elif "show" in message:
                self._bear(birth, lambda birth: confinement.show(message["paths"], *birth.descriptors))
            elif "found" in message:
                self._bear(birth, lambda _birth: _hold())
        finally:
            birth.close()

    def _fork(self, birth: _Birth, then: Callable[[_Birth], None]) -> None:
        # A lock that another thread holds stays locked in the child for ever.
        if hindrance := self._hindrance or _started_threads():
            self._send({"refused": birth.name, "never": True, "reason": hindrance})
            return
        # Collected here rather than in each child, which would copy every page that the collector touches.
        gc.freeze()
        self._bear(birth, then)

    def _bear(self, birth: _Birth, then: Callable[[_Birth], None]) -> None:
        parent = os.getpid()
        try:
            child = self._forked(birth)
        except OSError as error:
            self._refuse(birth, error)
            return
        if child:
            self._children[child] = birth.name
            return
        status = 1
        try:
            self._begin(birth, parent)
            then(birth)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)

    def _forked(self, birth: _Birth) -> int:
        """Fork; a child that joins or founds a space has its process id there."""
        if birth.space < 0 and not birth.founds:
            return os.fork() if self._loaded is None else self._loaded.clone()
        if self._own_ids < 0:
            self._own_ids = os.open("/proc/self/ns/pid", os.O_RDONLY)
        if birth.founds:
            kernel.unshare(kernel.NEW_PID)
        else:
            kernel.join(birth.space, kernel.NEW_PID)
        child = -1
        try:
            child = os.fork()
        finally:
            if child:
                kernel.join(self._own_ids, kernel.NEW_PID)
        return child

    def _begin(self, birth: _Birth, parent: int) -> None:
        """In the child: enter the sandbox, and say so."""
        die_with_parent(parent)
        if birth.forks:
            os.setpgid(0, 0)
        else:
            os.setsid()
        signal.set_wakeup_fd(self._woken)
        signal.signal(signal.SIGCHLD, self._handler)
        try:
            confinement.join_groups(birth.groups)
            if birth.founds:
                confinement.found(birth.plan)
                listener = -1
            else:
                listener = confinement.enter(birth.plan, birth.space) if birth.plan else -1
        except OSError as error:
            self._refuse(birth, error)
            os._exit(1)
        # Changing the user has cleared it.
        die_with_parent(parent)
        socket.send_fds(self._channel, [_packed({"born": birth.name})], [listener] if listener >= 0 else [])
        if listener >= 0:
            os.close(listener)

    def _become_worker(self, birth: _Birth) -> None:
        connection, log, *channel = birth.descriptors
        if self._loaded is not None:
            self._channel.close()
        # In a zygote the worker's socket takes the place of the host's channel, in a template that of the parent's.
        os.dup2(connection, _CHANNEL, inheritable=False)
        os.dup2(log, 1)
        os.dup2(log, 2)
        for descriptor in (connection, log, self._wake, self._waker, self._own_ids):
            if descriptor >= 0:
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
            name = self._children.pop(pid, "")  # none: what a child has left behind
            self._send({"ended": name, "status": status, "peak": usage.ru_maxrss * 1024})

    def _refuse(self, birth: _Birth, error: OSError) -> None:
        self._send({"refused": birth.name, "errno": error.errno, "reason": str(error)})

    def _send(self, message: Dict[str, Any]) -> None:
        self._channel.send(_packed(message))


def _packed(message: Dict[str, Any]) -> bytes:
    return json.dumps(message).encode()


def _birth(message: Dict[str, Any], descriptors: List[int]) -> _Birth:
    groups = len(descriptors) - message.get("groups", 0)
    named = groups - 1 if message.get("joins") else groups
    return _Birth(
        name=next(message[kind] for kind in _KINDS if kind in message),
        plan=message.get("plan") or {},
        space=descriptors[named] if named < groups else -1,
        groups=descriptors[groups:],
        descriptors=descriptors[:named],
        forks="fork" in message,
        founds="found" in message,
    )


def _run(message: Dict[str, Any], descriptors: List[int]) -> NoReturn:
    """Become a command, with these descriptors under the numbers that the message lists."""
    copies = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _ABOVE) for descriptor in descriptors]
    null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(null, 0)
    for position, number in enumerate(message["numbers"]):
        os.dup2(copies[position], number)
    if message.get("niceness"):
        os.nice(message["niceness"])
    command = message["command"]
    try:
        os.chdir(message["directory"])
        os.execve(command[0], command, message["environment"])  # noqa: S606
    except OSError as error:
        os.write(2, f"{command[0]}: {error}\n".encode())
    os._exit(_NOT_FOUND)


def _hold() -> NoReturn:
    """Be the first process of a space: nothing but there, and whatever loses its parent is reaped by itself."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    os.execve(_HOLDER[0], _HOLDER, {})  # noqa: S606


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


def _go_apart() -> None:
    """Go on as the first process of a namespace of process ids, over which alone an ordinary user has any rights."""
    parent = os.getpid()
    kernel.unshare(kernel.NEW_PID)
    child = os.fork()
    if child:
        os.close(_CHANNEL)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xFF)
    die_with_parent(parent)


def main() -> None:
    """Serve the host on descriptor 3. The command line may name the process, and say that it is to go apart."""
    die_with_parent(os.getppid())
    if "apart" in sys.argv:
        _go_apart()
    name_process(sys.argv[1] if len(sys.argv) > 1 else "slipway-zygote")
    take_slices(STARTING_US)
    os.set_inheritable(_CHANNEL, False)
    Zygote(socket.socket(fileno=_CHANNEL)).run()


if __name__ == "__main__":
    main()
