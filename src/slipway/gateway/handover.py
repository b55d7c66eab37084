"""Asynchronous calls on their way to control, which keeps them: many in one request, tried again while it restarts."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import httpx
import msgspec

from slipway.errors import CapacityError, DiskFull, SlipwayError
from slipway.gateway.admission import Admitted
from slipway.gateway.call import Place
from slipway.ids import id_text, new_id
from slipway.types import AsyncCall
from slipway.wire.handover import PATH, Submission, Taken, decode_taken, encode_submissions

_PATIENCE_SECONDS = 15.0  # how long a call waits for a control that is being restarted, if its own limit is not shorter
_RETRY_SECONDS = 0.05
_MOST_CALLS, _MOST_BYTES = 256, 8 * 2**20  # in one request
_WAITING_BYTES = 64 * 2**20  # of all inputs that wait here

Done = Callable[[SlipwayError | None], None]


class _Waiting(NamedTuple):
    submission: Submission
    done: Done
    until: float  # monotonic


class Handover:
    """One request at a time; whatever arrives meanwhile goes with the next."""

    def __init__(self, socket: Path) -> None:
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._sending: asyncio.Task[None] | None = None
        self._client = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket)),
            base_url="http://control",
            timeout=httpx.Timeout(_PATIENCE_SECONDS),
        )

    def submit(self, submission: Submission, done: Done) -> None:
        """Hand a call over; `done` is called with None once it is safe, else with what came in between."""
        if self._bytes > _WAITING_BYTES:
            done(CapacityError("too many asynchronous calls wait to be taken: try again in a moment"))
            return
        until = time.monotonic() + min(submission.call.timeout, _PATIENCE_SECONDS)
        self._waiting.append(_Waiting(submission, done, until))
        self._bytes += len(submission.body)
        if self._sending is None:
            self._sending = asyncio.ensure_future(self._send_all())

    async def close(self) -> None:
        """Give up what still waits."""
        if self._sending is not None:
            self._sending.cancel()
            await asyncio.gather(self._sending, return_exceptions=True)
        await self._client.aclose()

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch = self._next_batch()
                taken = await self._post(batch)
                if taken is None:
                    self._give_up_overdue()
                    await asyncio.sleep(_RETRY_SECONDS)
                    continue
                for one in taken:
                    self._pop().done(_error(one))
        finally:
            self._sending = None

    def _next_batch(self) -> list[Submission]:
        batch: list[Submission] = []
        size = 0
        for waiting in self._waiting:
            size += len(waiting.submission.body)
            if batch and (size > _MOST_BYTES or len(batch) == _MOST_CALLS):
                break
            batch.append(waiting.submission)
        return batch

    async def _post(self, batch: list[Submission]) -> list[Taken] | None:
        """What control says to each; None where it says nothing: asking again is safe, it knows what it has."""
        try:
            response = await self._client.post(PATH, content=encode_submissions(batch))
            response.raise_for_status()
            taken = decode_taken(response.content)
        except (httpx.HTTPError, msgspec.MsgspecError):
            return None
        return taken if len(taken) == len(batch) else None

    def _give_up_overdue(self) -> None:
        now = time.monotonic()
        for waiting in [waiting for waiting in self._waiting if waiting.until <= now]:
            self._waiting.remove(waiting)
            self._bytes -= len(waiting.submission.body)
            waiting.done(CapacityError("the control process is not answering: nobody knows whether the call is kept"))

    def _pop(self) -> _Waiting:
        waiting = self._waiting.popleft()
        self._bytes -= len(waiting.submission.body)
        return waiting


def async_call(
    admitted: Admitted, content_type: str, input_size: int, gateway: str, place: Place | None = None
) -> AsyncCall:
    """The call as it is kept, under a new request id. A version's last replica is left to those who wait."""
    version = admitted.version
    spare = (max(version.scaling.max_replicas, version.scaling.min_replicas) - 1) * version.scaling.concurrency
    return AsyncCall(
        request_id=new_id(),
        caller=admitted.principal.account.name,
        key_id=admitted.principal.key_id,
        algorithm=admitted.name,
        version=version.semantic_version or version.commit,
        version_id=version.id,
        gateway=gateway,
        root_id=id_text(place.root_id) if place else "",
        parent_id=id_text(place.parent_id) if place else "",
        origin=place.origin if place else "",
        depth=place.depth if place else 0,
        timeout=admitted.timeout,
        stdout=admitted.stdout,
        content_type=content_type,
        input_size=input_size,
        at_once=max(1, spare),
    )


def _error(taken: Taken) -> SlipwayError | None:
    return DiskFull(taken.refusal) if taken.refusal else None
