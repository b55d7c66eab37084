"""What leaves when: a stream between two records, and the credit that its worker is given."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from slipway.access.principals import Principal
from slipway.errors import CapacityError
from slipway.gateway.admission import Admitted
from slipway.gateway.call import Call
from slipway.gateway.invoke import Invoker
from slipway.gateway.recorder import Recorder
from slipway.gateway.streaming import StreamExchange
from slipway.gateway.usage import Usages
from slipway.ids import new_id_bytes
from slipway.journal.parts import Parts
from slipway.journal.records import CallRecord, Payload, Record
from slipway.settings import Settings
from slipway.types import AlgorithmFailure
from slipway.wire.frames import ProtocolError
from tests.factories import make_account, make_version

FAILURE = AlgorithmFailure(error_type="AlgorithmError", message="no more")


class Journal:
    """Writes when it is told to, or finds the disk full."""

    healthy = True

    def __init__(self) -> None:
        self.waiting: list[tuple[Record, Callable[[], None], Callable[[], None]]] = []
        self.phases: list[str] = []

    def append(
        self, record: Record, _payload: Payload | None, durable: Callable[[], None], failed: Callable[[], None]
    ) -> None:
        """Keep it waiting."""
        self.waiting.append((record, durable, failed))
        self.phases.append(cast(Any, record).phase)

    def parts(self) -> Parts:
        """As the writer makes them."""
        return Parts(4096)

    def settle(self, durable: bool = True) -> None:
        """The next record is on disk, or cannot be written."""
        _, done, failed = self.waiting.pop(0)
        (done if durable else failed)()


class Dispatcher:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.withdrawn = 0
        self.granted: list[int] = []

    def submit(self, call: Call) -> None:
        """Nothing."""

    def withdraw(self, call: Call) -> None:
        """The call is to be given up."""
        self.withdrawn += 1
        call.refuse(CapacityError("withdrawn"))

    def grant(self, call: Call, items: int) -> None:
        """As a replica does."""
        assert call.stream is not None
        call.stream.ahead += items
        self.granted.append(items)


class Client:
    """The other end: an outlet, and the reply in one piece."""

    def __init__(self) -> None:
        self.received = b""
        self.ready = True
        self.whole: list[bytes] = []

    def open_parts(self, lines: bytes) -> None:
        """The head."""
        self.received += b"HEAD "

    def send_part(self, data: bytes) -> bool:
        """A part."""
        self.received += data
        return self.ready

    def close_parts(self, data: bytes) -> None:
        """The last part."""
        self.received += data + b"CLOSED"


class Streaming:
    """One stream and all that it touches."""

    def __init__(self) -> None:
        self.journal, self.dispatcher, self.client = Journal(), Dispatcher(), Client()
        recorder = Recorder(cast(Any, self.journal), "gateway-0")
        nothing = cast(Any, None)
        self.invoker = Invoker(Settings(), nothing, cast(Any, self.dispatcher), recorder, nothing)
        principal = Principal(account=make_account(), key_id="key", permissions=cast(Any, None))
        version = make_version()
        record = CallRecord(time=0.0, call_id=b"", root_id=b"", version_id=version.id)
        usage = Usages().of("key", "ann")
        admitted = Admitted(principal, version, "ann/echo", 300.0, False, "stream", record, usage)
        self.exchange = StreamExchange(self.invoker, admitted, b"", self.client.whole.append, self.client)
        self.invoker.in_flight = 1
        now = time.monotonic()
        self.call = Call(new_id_bytes(), version, b"1", "json", "ann", now, now + 300, self.exchange)
        self.exchange.begin(self.call)

    def item(self, body: bytes = b"1") -> None:
        """The worker sends one."""
        assert self.call.stream is not None
        self.call.stream.take(self.call, "json", body)


@pytest.fixture
def streaming() -> Streaming:
    return Streaming()


def test_nothing_leaves_before_the_start_is_on_record_nor_the_last_event_before_the_end(streaming: Streaming) -> None:
    streaming.item(b"1")
    streaming.item(b"2")
    assert streaming.client.received == b""
    streaming.journal.settle()
    assert streaming.client.received == b"HEAD data: 1\n\ndata: 2\n\n"
    streaming.call.end_stream()
    assert b"end" not in streaming.client.received
    streaming.journal.settle()
    assert streaming.client.received.endswith(b"\n\nCLOSED")
    assert (streaming.journal.phases, streaming.invoker.in_flight) == (["start", "end"], 0)


def test_a_start_that_cannot_be_recorded_is_a_503_and_ends_the_call(streaming: Streaming) -> None:
    streaming.item()
    streaming.journal.settle(durable=False)
    assert streaming.dispatcher.withdrawn == 1
    streaming.journal.settle(durable=False)
    (reply,) = streaming.client.whole
    assert reply.startswith(b"HTTP/1.1 503 ")
    assert streaming.client.received == b""


def test_an_end_that_can_be_recorded_does_not_hide_that_the_start_could_not(streaming: Streaming) -> None:
    streaming.item()
    streaming.call.end_stream()
    streaming.journal.settle(durable=False)
    streaming.journal.settle()
    (reply,) = streaming.client.whole
    assert reply.startswith(b"HTTP/1.1 503 ")
    assert streaming.client.received == b""


def test_an_end_that_cannot_be_recorded_is_an_error_behind_the_items(streaming: Streaming) -> None:
    streaming.item()
    streaming.journal.settle()
    streaming.call.end_stream()
    streaming.journal.settle(durable=False)
    assert b"event: error\n" in streaming.client.received
    assert b"the disk is full" in streaming.client.received


def test_an_error_that_comes_before_the_start_is_on_record_stays_behind_the_items(streaming: Streaming) -> None:
    streaming.item()
    streaming.call.fail(FAILURE)
    streaming.journal.settle()
    streaming.journal.settle()
    assert streaming.client.received.startswith(b"HEAD data: 1\n\nevent: error\n")
    assert streaming.client.whole == []


def test_the_worker_is_given_credit_as_the_client_takes_items(streaming: Streaming) -> None:
    streaming.item()
    assert streaming.dispatcher.granted == []
    streaming.journal.settle()
    assert streaming.dispatcher.granted == [15]
    for _ in range(8):
        streaming.item()
    assert streaming.dispatcher.granted == [15, 8]


def test_a_client_that_is_slow_gives_none_until_it_takes_more(streaming: Streaming) -> None:
    streaming.client.ready = False
    streaming.item()
    streaming.journal.settle()
    streaming.item()
    assert streaming.dispatcher.granted == []
    with pytest.raises(ProtocolError):
        streaming.item()
    streaming.exchange.resume()
    assert streaming.dispatcher.granted == [16]


def test_large_items_come_one_at_a_time(streaming: Streaming) -> None:
    streaming.item(b"x" * 2**20)
    streaming.journal.settle()
    assert streaming.dispatcher.granted == []
    streaming.item(b"x" * 2**20)
    assert streaming.dispatcher.granted == [1]


def test_line_breaks_inside_json_do_not_break_an_event(streaming: Streaming) -> None:
    streaming.item(b'{\r\n"a":\n1}')
    streaming.journal.settle()
    assert streaming.client.received == b'HEAD data: { "a": 1}\n\n'


def test_a_call_that_its_worker_begins_when_nobody_waits_any_more_is_ended(streaming: Streaming) -> None:
    streaming.call.refuse(CapacityError("given up"))
    streaming.exchange.accepted(streaming.call)
    assert streaming.dispatcher.withdrawn == 1
