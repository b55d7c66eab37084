"""One replica on the host's side: its process, its state, and the three things the host says to a worker."""

from __future__ import annotations

import asyncio
import time
from typing import Literal

from slipway.ids import new_id, new_id_bytes
from slipway.types import AlgorithmFailure, StartMode, Version
from slipway.wire.frames import (
    ACCEPTED,
    CALL,
    CALL_OUT,
    CALL_OUT_REPLY,
    ERROR,
    HELLO,
    LOG,
    NO_CALL,
    READY,
    REPLY,
    Frame,
    ProtocolError,
    decode_fields,
    encode,
    encode_fields,
)
from slipway.workers.callouts import ControlDoor
from slipway.workers.conversation import Conversation
from slipway.workers.ends import explain
from slipway.workers.processes import WorkerProcess

_PROOF_SECONDS = 0.25
_SAMPLE_SECONDS = 60.0
_LAST_WORDS_SECONDS = 1.0  # between the end of a worker's socket and the news of its exit
_OUTPUT_LIMIT = 32 * 1024  # characters
_MODULES_LIMIT = 5000
_KINDS = "1,2,3,4,5,6,7,8,9,11,12,13,14,15"
_BROKEN = (OSError, ProtocolError, ValueError, KeyError)  # what a worker that breaks the protocol causes here


class LoadFailed(Exception):
    """The version cannot be loaded; `failure` says why, `output` what it printed."""

    def __init__(self, failure: AlgorithmFailure, output: str = "") -> None:
        super().__init__(failure.message)
        self.failure, self.output = failure, output


class WorkerEnded(Exception):
    """The worker's socket closed, or carried what is no answer."""


class HostedReplica:
    """A worker that this host has started."""

    def __init__(
        self, name: str, version: Version, process: WorkerProcess, talk: Conversation, control: ControlDoor
    ) -> None:
        self.id, self.version, self.process, self.talk = name, version, process, talk
        self._control = control
        self.state: Literal["starting", "idle", "leased"] = "starting"
        self.cold_start_seconds = 0.0  # from its start to ready
        self.load_seconds = 0.0  # that import and `load()` took of it
        self.way: StartMode = "environment"  # how its process was started
        self.ready_at = 0.0  # monotonic
        self.credit = self.concurrency = self.batch = 1
        self.modules: tuple[str, ...] = ()
        self.output = ""  # what loading, or the sample, printed
        self.doom: AlgorithmFailure | None = None  # why the host killed it

    async def load(self, started: float) -> None:
        """Say hello, which is also the go, and wait until the version is loaded. Raises LoadFailed.

        `started` is the monotonic time at which somebody began to want it.
        """
        limit = self.version.scaling.load_seconds
        try:
            async with asyncio.timeout(limit):
                await self._hello(new_id())
                self._take(await self._ready())
        except TimeoutError:
            failure = AlgorithmFailure(error_type="LoadingError", message=f"loading took longer than {limit:g} s")
            raise LoadFailed(failure, self.output) from None
        except _BROKEN as error:
            why = await self.last_words(WorkerEnded(str(error)))
            if why.error_type == "SystemExit":
                why = AlgorithmFailure(error_type="LoadingError", message=f"{why.message} while it loaded")
            raise LoadFailed(why, self.output) from error
        except LoadFailed as error:
            raise LoadFailed(self.doom or error.failure, error.output) from error
        self.ready_at = time.monotonic()
        self.cold_start_seconds = self.ready_at - started
        self.state = "idle"

    async def proves_idle(self) -> bool:
        """Whether it answers a new hello with exactly that: its stream is in order and it works on nothing."""
        lease = new_id()
        try:
            async with asyncio.timeout(_PROOF_SECONDS):
                await self._hello(lease)
                frame = await self.talk.receive()
                answers = frame.kind == READY and decode_fields(frame.header).get("lease") == lease
                return answers and self.talk.exhausted
        except (TimeoutError, *_BROKEN):
            return False

    async def try_sample(self, sample: bytes) -> AlgorithmFailure | None:
        """Call it once with JSON; the failure, if it fails. Raises WorkerEnded."""
        fields = {"content_type": "json", "timeout_ms": str(int(_SAMPLE_SECONDS * 1000)), "caller": "build"}
        try:
            async with asyncio.timeout(_SAMPLE_SECONDS):
                await self.talk.send(encode(CALL, new_id_bytes(), encode_fields(fields), sample))
                return await self._outcome()
        except TimeoutError:
            limit = f"the sample input took longer than {_SAMPLE_SECONDS:g} s"
            return AlgorithmFailure(error_type="TimeoutError", message=limit)
        except _BROKEN as error:
            raise WorkerEnded(str(error)) from error

    async def last_words(self, error: WorkerEnded) -> AlgorithmFailure:
        """Why a worker does not answer: what the host did to it, what the kernel says, or what it sent."""
        try:
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self.process.ended.wait()
        except TimeoutError:
            return AlgorithmFailure(error_type="SystemExit", message=f"the worker broke the protocol: {error}")
        return self.doom or explain(self.process, self.version.resources.memory_bytes)

    # --- frames -----------------------------------------------------------------------------------------------------

    async def _hello(self, lease: str) -> None:
        version = self.version
        fields = {
            "protocol": "1",
            "lease": lease,
            "kinds": _KINDS,
            "directory": version.directory,
            "entry": version.entry,
            "algorithm": f"{version.owner}/{version.algorithm}",
            "version": version.commit,
            "memory": str(version.resources.memory_bytes),
            "concurrency": str(version.scaling.concurrency),
            "max_batch": str(version.scaling.max_batch),
        }
        if version.secrets:
            fields["secrets"] = "1"
        await self.talk.send(encode(HELLO, NO_CALL, encode_fields(fields)))

    async def _ready(self) -> dict[str, str]:
        while True:
            frame = await self.talk.receive()
            if frame.kind == LOG:
                self._keep(frame)
            elif frame.kind == CALL_OUT:
                await self._call_out(frame)
            elif frame.kind == ERROR:
                raise LoadFailed(_failure(frame), self.output)
            elif frame.kind == READY:
                return decode_fields(frame.header)
            else:
                raise ProtocolError(f"a frame of kind {frame.kind} came before ready")

    def _take(self, ready: dict[str, str]) -> None:
        self.credit, self.concurrency = max(1, int(ready["credit"])), max(1, int(ready["concurrency"]))
        self.batch = max(1, int(ready.get("batch", "1")))
        self.load_seconds = int(ready.get("load_us", "0")) / 1e6
        self.modules = tuple(name for name in ready.get("modules", "").split(",") if name)[:_MODULES_LIMIT]

    async def _outcome(self) -> AlgorithmFailure | None:
        while True:
            frame = await self.talk.receive()
            if frame.kind == LOG:
                self._keep(frame)
            elif frame.kind == CALL_OUT:
                await self._call_out(frame)
            elif frame.kind == ERROR:
                return _failure(frame)
            elif frame.kind == REPLY:
                return None
            elif frame.kind != ACCEPTED:
                raise ProtocolError(f"a frame of kind {frame.kind} is no answer to a call")

    async def _call_out(self, frame: Frame) -> None:
        """The version asks for something while it loads, or while it is tried: its owner asks."""
        fields = decode_fields(frame.header)
        number = fields.pop("number")
        answer = await self._control.ask(self.version, fields, frame.body)
        head = {**answer.headers, "number": number, "status": str(answer.status)}
        await self.talk.send(encode(CALL_OUT_REPLY, frame.call, encode_fields(head), answer.body))

    def _keep(self, frame: Frame) -> None:
        if len(self.output) < _OUTPUT_LIMIT:
            self.output = (self.output + frame.body.decode("utf-8", "replace"))[:_OUTPUT_LIMIT]


def _failure(frame: Frame) -> AlgorithmFailure:
    fields = decode_fields(frame.header)
    trace = frame.body.decode("utf-8", "replace")[-_OUTPUT_LIMIT:]
    return AlgorithmFailure(error_type=fields["type"], message=fields["message"][:8192], stack_trace=trace)
