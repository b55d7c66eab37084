"""Runs calls through the gateways, as one more of their peers: whoever runs a call here keeps its record."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from pathlib import Path
from typing import NamedTuple

from msgspec.structs import replace

from slipway import errors
from slipway.errors import CallerGone, CapacityError, DeadlineExceeded, SlipwayError
from slipway.ids import id_bytes
from slipway.settings import Settings
from slipway.types import AlgorithmFailure, AsyncCall, Outcome
from slipway.wire.frames import (
    ACCEPTED,
    CALL,
    ERROR,
    LOG,
    REPLY,
    Decoder,
    Frame,
    ProtocolError,
    decode_fields,
    encode,
    encode_fields,
)

_SUDDEN = ("SystemExit", "SystemError", "LoadingError")
_PASSING = (CapacityError, DeadlineExceeded, CallerGone)  # refusals that the next attempt may not meet

logger = logging.getLogger(__name__)


class Answer(NamedTuple):
    """How a call ended, and its result."""

    outcome: Outcome
    result: bytes

    @property
    def is_sudden(self) -> bool:
        """Whether the worker ended, or was never there, and nothing says that the code is to blame."""
        failure = self.outcome.failure
        return failure is not None and failure.error_type in _SUDDEN and not failure.stack_trace


class _Pending:
    """A call that a gateway has."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self.printed = b""

    def settle(self, answer: Answer | None) -> None:
        if not self.answered.done():
            self.answered.set_result(answer)


class _Link(asyncio.Protocol):
    """A connection to one gateway."""

    def __init__(self, max_body: int) -> None:
        self.transport: asyncio.Transport | None = None
        self._decoder = Decoder(max_body)
        self._pending: dict[bytes, _Pending] = {}

    async def run(self, call: AsyncCall, body: bytes) -> Answer | None:
        identity, now = id_bytes(call.request_id), time.monotonic()
        fields = {
            "version": call.version_id,
            "content_type": call.content_type,
            "caller": call.caller,
            "arrived": repr(now),
            "deadline": repr(now + call.timeout),
            "route": "1",
            "key": call.key_id,
        }
        if call.root_id:
            root, parent = id_bytes(call.root_id).hex(), id_bytes(call.parent_id).hex()
            fields |= {"root": root, "parent": parent, "origin": call.origin, "depth": str(call.depth)}
        pending = self._pending[identity] = _Pending()
        assert self.transport is not None
        self.transport.write(encode(CALL, identity, encode_fields(fields), body))
        try:
            return await pending.answered
        finally:
            self._pending.pop(identity, None)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def connection_lost(self, _error: Exception | None) -> None:
        self.transport = None
        for pending in self._pending.values():
            pending.settle(None)

    def data_received(self, data: bytes) -> None:
        try:
            for frame in self._decoder.feed(data):
                pending = self._pending.get(frame.call)
                if pending is not None:
                    _take(pending, frame)
        except (ProtocolError, KeyError, ValueError) as error:
            logger.error("a gateway broke the protocol: %s", error)
            if self.transport is not None:
                self.transport.abort()


class Gateways:
    """The links to all gateways of this machine; each call goes to the next one that is there."""

    def __init__(self, settings: Settings) -> None:
        paths = [settings.gateway_socket(f"gateway-{number}") for number in range(settings.gateways)]
        self._count, self._paths = len(paths), itertools.cycle(paths)
        self._links: dict[Path, _Link] = {}
        self._max_body = settings.reply_limit_bytes

    async def run(self, call: AsyncCall, body: bytes) -> Answer | None:
        """The call's outcome; None where the platform, not the algorithm, ended it: it is to be run again."""
        for _ in range(self._count):
            link = await self._link(next(self._paths))
            if link is not None:
                return await link.run(call, body)
        return None

    def close(self) -> None:
        """Close every link; what was not begun is not begun any more."""
        for link in self._links.values():
            if link.transport is not None:
                link.transport.abort()

    async def _link(self, path: Path) -> _Link | None:
        link = self._links.get(path)
        if link is not None and link.transport is not None:
            return link
        try:
            _, link = await asyncio.get_running_loop().create_unix_connection(lambda: _Link(self._max_body), str(path))
        except OSError:
            return None
        self._links[path] = link
        return link


def _take(pending: _Pending, frame: Frame) -> None:
    if frame.kind == LOG:
        pending.printed += frame.body
    elif frame.kind == REPLY:
        fields = decode_fields(frame.header)
        outcome = _outcome(fields, pending.printed)
        outcome = replace(outcome, result_type=fields["content_type"], result_size=len(frame.body))
        pending.settle(Answer(outcome, frame.body))
    elif frame.kind == ERROR:
        pending.settle(_failed(decode_fields(frame.header), frame.body, pending.printed))
    elif frame.kind != ACCEPTED:
        raise ProtocolError(f"a frame of kind {frame.kind} is no answer to a call")


def _failed(fields: dict[str, str], trace: bytes, printed: bytes) -> Answer | None:
    if "lost" in fields:
        return None
    outcome = _outcome(fields, printed)
    if "refusal" in fields:
        kind = getattr(errors, fields["refusal"], SlipwayError)
        if issubclass(kind, _PASSING):
            return None
        failure = AlgorithmFailure(error_type=kind.error_type, message=fields["message"])
        return Answer(replace(outcome, status=kind.status, failure=failure), b"")
    text = trace.decode("utf-8", "replace")
    failure = AlgorithmFailure(error_type=fields["type"], message=fields["message"], stack_trace=text)
    return Answer(replace(outcome, failure=failure), b"")


def _outcome(fields: dict[str, str], printed: bytes) -> Outcome:
    return Outcome(
        printed=printed,
        replica=fields["replica"],
        cold_start=fields["cold"] == "1",
        duration_us=int(fields["us"]),
        queue_us=int(fields["queue_us"]),
        cpu_us=int(fields["cpu_us"]),
    )
