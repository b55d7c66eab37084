"""The vocabulary between gateway or control on one side and host on the other: one message a SEQPACKET datagram."""

from __future__ import annotations

from typing import Literal

import msgspec

from slipway.types import AlgorithmFailure, Start, Version

STOPPED = "the worker was stopped"  # so begins the message where the platform itself has ended a worker


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=str.lower):
    """Base of all messages; encoded as JSON with its kind."""


# --- from a gateway -------------------------------------------------------------------------------------------------


class Join(Message, frozen=True, kw_only=True):
    """The first message on a connection."""

    role: Literal["gateway", "control"]
    name: str  # "gateway-0"


class Want(Message, frozen=True, kw_only=True):
    """How many replicas of a version this gateway wants in all; sent again whenever that changes."""

    version: Version
    replicas: int


class Discard(Message, frozen=True, kw_only=True):
    """Stop this replica, which the gateway will not use again."""

    replica: str
    cause: Literal["timeout", "idle", "protocol", "surplus", "reclaimed"]


# --- from the host to a gateway -------------------------------------------------------------------------------------


class Members(Message, frozen=True, kw_only=True):
    """The gateways that are connected; a version belongs to one of them by rendezvous hashing."""

    names: tuple[str, ...]


class Lease(Message, frozen=True, kw_only=True):
    """A replica, ready for calls. The datagram carries one descriptor: the platform's end of its socket."""

    replica: str
    version_id: str
    concurrency: int
    credit: int  # calls that may be sent ahead
    batch: int = 1  # calls that it may take together
    cold_start_seconds: float


class Exited(Message, frozen=True, kw_only=True):
    """A leased replica has ended, and why."""

    replica: str
    version_id: str
    failure: AlgorithmFailure


class StartFailed(Message, frozen=True, kw_only=True):
    """A wanted replica could not be started; the host tries again after `retry_after_seconds`."""

    version_id: str
    failure: AlgorithmFailure
    retry_after_seconds: float
    no_room: bool = False  # the version is not at fault: nothing more fits on the host


class GiveBack(Message, frozen=True, kw_only=True):
    """Memory is short: discard so many idle replicas, as `reclaimed`, those first that were not used for longest."""

    replicas: int


# --- from control ---------------------------------------------------------------------------------------------------


class Check(Message, frozen=True, kw_only=True):
    """Start one replica of a version that is being built, load it, and call its sample input where it has one."""

    request: str
    version: Version
    sample: bytes | None = None  # JSON
    cuda: bool = False  # its environment is for such hardware, which no process may touch before it is forked


class Run(Message, frozen=True, kw_only=True):
    """Run a command of a job at low weight. The datagram carries one descriptor: where its output goes."""

    request: str
    command: tuple[str, ...]
    directory: str
    environment: dict[str, str]
    timeout_seconds: float
    owner: str = ""  # in whose sandbox, with the network; empty: a tool of the platform's own, without one
    reads: tuple[str, ...] = ()  # directories and files that it sees there
    writes: tuple[str, ...] = ()  # directories that it may change there


class Cancel(Message, frozen=True, kw_only=True):
    """End the Check or Run of that request."""

    request: str


class Inspect(Message, frozen=True, kw_only=True):
    """Ask what runs."""

    request: str


# --- from the host to control ---------------------------------------------------------------------------------------


class Checked(Message, frozen=True, kw_only=True):
    """The answer to Check; `failure` is None when the version loads and answers."""

    request: str
    failure: AlgorithmFailure | None
    seconds: float
    output: str = ""  # what loading printed, at most 32 KiB
    start: Start = Start()  # how its replicas may start
    no_room: bool = False  # it could not be tried


class Ran(Message, frozen=True, kw_only=True):
    """The answer to Run."""

    request: str
    exit_status: int
    timed_out: bool = False


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `slipway status`."""

    id: str
    version_id: str
    algorithm: str  # owner/name
    pid: int
    state: Literal["starting", "idle", "leased"]
    gateway: str = ""
    memory_bytes: int = 0  # proportional set size


class Inspected(Message, frozen=True, kw_only=True):
    """The answer to Inspect."""

    request: str
    replicas: tuple[Replica, ...]
    zygotes: int
    templates: int = 0
    memory_bytes: int = 0  # that all of these take, as last measured
    memory_limit_bytes: int = 0  # that they may take


ToHost = Join | Want | Discard | Check | Run | Cancel | Inspect
ToGateway = Members | Lease | Exited | StartFailed | GiveBack
ToControl = Members | Checked | Ran | Inspected
