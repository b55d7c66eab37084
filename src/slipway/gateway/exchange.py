"""One HTTP request of the call path and its reply. The sink of its call."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from slipway.errors import DiskFull, SlipwayError
from slipway.gateway.admission import Admitted
from slipway.gateway.call import Call
from slipway.gateway.replies import (
    failure_body,
    json_response,
    raw_result,
    refusal_body,
    refusal_headers,
    response,
    result_body,
)
from slipway.ids import id_text
from slipway.journal.records import Phase

if TYPE_CHECKING:
    from slipway.gateway.invoke import Invoker

Reply = Callable[[bytes], None]  # takes a whole HTTP response

_JSON = b"application/json"


class Exchange:
    """From an admitted request to its recorded reply, whoever carries the bytes."""

    __slots__ = ("_admitted", "_call", "_extra", "_invoker", "_reply", "_response")

    def __init__(self, invoker: Invoker, admitted: Admitted, extra: bytes, reply: Reply) -> None:
        self._invoker = invoker
        self._admitted = admitted
        self._extra = extra  # header lines that every reply of this request carries
        self._reply = reply
        self._call: Call | None = None
        self._response = b""

    def begin(self, call: Call) -> None:
        """Hand the call over."""
        self._call = call
        self._invoker.submit(call)

    def abandon(self) -> None:
        """The caller closed its connection."""
        if self._call is not None and not self._call.done:
            self._invoker.withdraw(self._call)

    def accepted(self, call: Call) -> None:
        """A worker has begun the call."""

    def resume(self) -> None:
        """The client, which was slow to take what was sent, takes more now."""

    def started(self, call: Call) -> None:
        """It calls others now: what they do is recorded behind its start."""
        self._invoker.recorder.record(call, self._admitted, "start", _nothing, _nothing)

    def completed(self, call: Call) -> None:
        """The outcome is there: render it, and let it go once its record is on disk."""
        self._invoker.ended(self._admitted.usage if call.place is None else None)
        self._response = self._render(call)
        phase: Phase = "end" if call.started else "call"
        self._invoker.recorder.record(call, self._admitted, phase, self._durable, self._unrecorded)

    def _render(self, call: Call) -> bytes:
        request_id, admitted = id_text(call.id), self._admitted
        if call.refusal is not None:
            extra = self._extra + refusal_headers(call.refusal)
            status = call.refusal.status if call.refusal.status != 499 else 400
            return response(status, _JSON, extra, refusal_body(call.refusal, request_id))
        if call.failure is not None:
            return response(200, _JSON, self._extra, failure_body(call, request_id, admitted.stdout))
        if call.result_type == "json" and not admitted.output and not admitted.stdout:
            return json_response(call, request_id, self._extra)
        if admitted.output == "raw":
            content_type, body = raw_result(call)
            return response(200, content_type, self._extra + b"x-request-id: %b\r\n" % request_id.encode(), body)
        return response(200, _JSON, self._extra, result_body(call, request_id, admitted.stdout))

    def _durable(self) -> None:
        self._call = None  # the two name each other: without this only the collector would free them
        self._reply(self._response)

    def _unrecorded(self) -> None:
        """The disk is full: a result that cannot be recorded is not given out."""
        call, self._call = self._call, None
        assert call is not None
        self._reply(refusal(DiskFull("the call cannot be recorded: the disk is full"), self._extra, id_text(call.id)))


def refusal(error: SlipwayError, extra: bytes, request_id: str) -> bytes:
    """The HTTP response for a refusal."""
    return response(error.status, _JSON, extra + refusal_headers(error), refusal_body(error, request_id))


def _nothing() -> None:
    pass
