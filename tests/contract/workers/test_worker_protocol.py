"""What the workers of all languages must do, as docs/reference/worker-protocol.md says."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.ids import new_id_bytes
from slipway.wire.frames import (
    ACCEPTED,
    CALL,
    CALL_OUT,
    CALL_OUT_REPLY,
    CANCEL,
    CREDIT,
    ERROR,
    HELLO,
    LOG,
    NO_CALL,
    READY,
    REPLY,
    STOP,
    STREAM_END,
    STREAM_ITEM,
    Frame,
    decode_fields,
    encode,
    encode_fields,
)
from tests.contract.workers.lines import Line, worker
from tests.contract.workers.runtimes import RUNTIMES, Runtime


@pytest.fixture(params=RUNTIMES, ids=lambda runtime: runtime.name)
def line(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Line]:
    """A worker before its hello."""
    runtime: Runtime = request.param
    with worker(runtime, tmp_path) as line:
        yield line


@pytest.fixture
def ready(line: Line) -> Line:
    """A worker that has loaded."""
    assert line.hello().kind == READY
    return line


@pytest.fixture(params=[1, 4], ids=["one at a time", "several at a time"])
def either(line: Line, request: pytest.FixtureRequest) -> Line:
    """A worker that has loaded, and may have been told to take several calls at a time."""
    assert line.hello(concurrency=request.param).kind == READY
    return line


@pytest.fixture
def several(line: Line) -> Line:
    """A worker that takes two calls at a time."""
    if decode_fields(line.hello(concurrency=2).header)["concurrency"] == "1":
        pytest.skip(f"{line.runtime.name} takes one call at a time")
    return line


def printed(frames: list[Frame], stream: str) -> bytes:
    """What a call printed."""
    return b"".join(f.body for f in frames if f.kind == LOG and decode_fields(f.header)["stream"] == stream)


# --- loading --------------------------------------------------------------------------------------------------------


def test_ready_says_what_the_worker_can(line: Line) -> None:
    fields = decode_fields(line.hello().header)

    assert fields["lease"] == "lease-1"
    assert fields["language"] == line.runtime.name
    assert int(fields["credit"]) >= int(fields["concurrency"]) >= 1
    assert {"1", "2", "3", "4", "5", "6", "7", "8", "9", "13", "14", "15"} <= set(fields["kinds"].split(","))
    assert int(fields["load_us"]) > 0
    assert "modules" in fields


def test_what_loading_prints_comes_before_ready_without_a_call(line: Line) -> None:
    line.hello()

    assert "".join(line.said) == "loading\n"


def test_a_load_that_fails_is_a_loading_error_without_a_call_and_ends_the_worker(line: Line) -> None:
    line.runtime.write(line.directory, line.runtime.broken)
    error = line.hello()
    fields = decode_fields(error.header)

    assert (error.kind, error.call, fields["type"]) == (ERROR, NO_CALL, "LoadingError")
    assert "no model" in fields["message"]
    assert line.runtime.entry.encode() in error.body
    assert "".join(line.said) == "loading\n"
    assert line.ended() == 1


def test_a_second_hello_is_answered_at_once_with_its_lease(ready: Line) -> None:
    fields = decode_fields(ready.hello(lease="lease-2").header)

    assert fields["lease"] == "lease-2"
    assert "modules" not in fields
    assert ready.result(1) == 1


# --- calls ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "content_type"),
    [
        ({"a": [1, 2.5, None, True, "ü 漢 😀"]}, "json"),
        ("grüße".encode(), "text"),
        (b"", "text"),
        (bytes(range(256)), "binary"),
    ],
)
def test_echoes_every_kind_of_content(ready: Line, value: object, content_type: str) -> None:
    accepted, reply = ready.call(value, content_type)

    assert (accepted.kind, reply.kind) == (ACCEPTED, REPLY)
    assert decode_fields(reply.header)["content_type"] == content_type
    if content_type == "json":
        assert ready.result(value) == value
    else:
        assert reply.body == value


@pytest.mark.parametrize(
    ("do", "content_type", "body"),
    [("text", "text", "ü".encode()), ("bytes", "binary", b"\x00\xff"), ("nothing", "json", b"null")],
)
def test_what_is_returned_decides_the_content_type(ready: Line, do: str, content_type: str, body: bytes) -> None:
    reply = ready.call({"do": do})[-1]

    assert (decode_fields(reply.header)["content_type"], reply.body) == (content_type, body)


def test_a_reply_says_how_long_it_took(ready: Line) -> None:
    fields = decode_fields(ready.call(1)[-1].header)

    assert 0 <= int(fields["cpu_us"]) < 10_000_000
    assert 0 <= int(fields["us"]) < 10_000_000


@pytest.mark.parametrize("size", [262_143, 262_144, 262_145, 3_000_000])
def test_long_bodies_travel_in_chunks_both_ways(ready: Line, size: int) -> None:
    body = (bytes(range(256)) * (size // 256 + 1))[:size]

    assert ready.call(body, "binary")[-1].body == body


def test_answers_a_thousand_calls_sent_ahead_as_far_as_the_credit_goes(line: Line) -> None:
    credit = int(decode_fields(line.hello().header)["credit"])
    replies: list[tuple[int, int]] = []
    sent = 0
    while len(replies) < 1000:
        while sent < min(1000, len(replies) + credit):
            body = str(sent).encode()
            line.send(CALL, (sent + 1).to_bytes(16, "big"), body, content_type="json", timeout_ms="1000", caller="ann")
            sent += 1
        frame = line.next()
        if frame.kind == REPLY:
            replies.append((int.from_bytes(frame.call, "big"), int(frame.body)))

    assert replies == [(number + 1, number) for number in range(1000)]


def test_a_call_is_accepted_only_when_the_one_before_is_answered(ready: Line) -> None:
    calls = [ready.begin(number) for number in range(3)]
    frames = [ready.next() for _ in range(6)]

    assert [(frame.kind, frame.call) for frame in frames] == [
        (kind, call) for call in calls for kind in (ACCEPTED, REPLY)
    ]


def test_frames_may_come_in_pieces(ready: Line) -> None:
    call = new_id_bytes()
    fields = {"content_type": "json", "timeout_ms": "1000", "caller": "ann"}
    for byte in encode(CALL, call, encode_fields(fields), b"[1]"):
        ready.connection.send(bytes((byte,)))

    assert (ready.next().kind, ready.next().body) == (ACCEPTED, b"[1]")


def test_fields_that_nobody_knows_are_ignored(ready: Line) -> None:
    ready.send(CALL, new_id_bytes(), b"1", later="x", content_type="json", timeout_ms="1000", caller="ann")

    assert (ready.next().kind, ready.next().body) == (ACCEPTED, b"1")


def test_a_body_that_is_no_json_is_a_parsing_error(ready: Line) -> None:
    ready.send(CALL, new_id_bytes(), b'{"a":', content_type="json", timeout_ms="1000", caller="ann")
    ready.next()
    error = ready.next()

    assert (error.kind, decode_fields(error.header)["type"]) == (ERROR, "ParsingError")
    assert ready.result(1) == 1


# --- output ---------------------------------------------------------------------------------------------------------


def test_what_a_call_prints_comes_with_its_id_before_its_reply(ready: Line) -> None:
    frames = ready.call({"do": "print"})

    assert (printed(frames, "stdout"), printed(frames, "stderr")) == (b"hello\n", b"oops\n")
    assert frames[-1].kind == REPLY


def test_output_beyond_256_kib_is_dropped_with_a_note(ready: Line) -> None:
    output = printed(ready.call({"do": "print-much"}), "stdout")

    assert 256 * 1024 <= len(output) < 256 * 1024 + 100
    assert b"truncated" in output
    assert printed(ready.call({"do": "print"}), "stdout") == b"hello\n"


def test_what_was_printed_long_before_a_crash_is_known(ready: Line) -> None:
    ready.begin({"do": "die"})

    assert b"last words" in printed(ready.rest(), "stdout")


# --- errors ---------------------------------------------------------------------------------------------------------


def test_an_error_has_type_message_and_a_trace_without_the_platforms_frames(ready: Line) -> None:
    error = ready.call({"do": "raise"})[-1]
    fields, trace = decode_fields(error.header), error.body.decode()

    assert fields["type"] == "AlgorithmError"
    assert "no such fruit" in fields["message"]
    assert ready.runtime.trace in trace
    assert "runtimes" not in trace
    assert ready.result(1) == 1


def test_the_sdks_errors_keep_their_type(ready: Line) -> None:
    assert ready.failure({"do": "input"}) == ("InputError", "too small")


def test_a_number_that_json_cannot_carry_is_a_clear_error(ready: Line) -> None:
    kind, message = ready.failure({"do": "nan"})

    assert kind == "AlgorithmError"
    assert "NaN" in message


def test_exit_is_answered_and_ends_the_worker(ready: Line) -> None:
    assert ready.failure({"do": "exit"})[0] == "SystemExit"
    assert ready.ended() == 1


def test_the_memory_limit_is_an_out_of_memory_error_and_ends_the_worker(line: Line) -> None:
    line.hello(memory=256 * 1024 * 1024)

    assert line.failure({"do": "memory"})[0] == "OutOfMemoryError"
    assert line.ended() == 137


# --- cancel, stop and the end ---------------------------------------------------------------------------------------


def test_a_call_that_is_cancelled_before_it_began_is_answered_without_being_run(ready: Line) -> None:
    first, second, third = (new_id_bytes() for _ in range(3))
    fields = encode_fields({"content_type": "json", "timeout_ms": "1000", "caller": "ann"})
    calls = [encode(CALL, call, fields, b"1") for call in (first, second, third)]
    ready.connection.sendall(b"".join(calls) + encode(CANCEL, second))

    frames = [ready.next() for _ in range(5)]
    assert [(frame.kind, frame.call) for frame in frames] == [
        (ACCEPTED, first),
        (REPLY, first),
        (ERROR, second),
        (ACCEPTED, third),
        (REPLY, third),
    ]


def test_cancel_of_a_call_that_is_over_is_ignored(ready: Line) -> None:
    ready.send(CANCEL, ready.call(1)[-1].call)

    assert ready.result(2) == 2


def test_stop_ends_the_worker_after_the_calls_before_it(ready: Line) -> None:
    fields = encode_fields({"content_type": "json", "timeout_ms": "1000", "caller": "ann"})
    ready.connection.sendall(encode(CALL, new_id_bytes(), fields, b"1") + encode(STOP))

    assert [ready.next().kind, ready.next().kind] == [ACCEPTED, REPLY]
    assert ready.ended() == 0


@pytest.mark.parametrize("before", [True, False])
def test_the_end_of_the_stream_ends_the_worker(line: Line, before: bool) -> None:
    if not before:
        line.hello()
    line.connection.shutdown(socket.SHUT_WR)

    assert line.ended() == 0


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n\r\n" * 3,
        b"\x02" + encode(STOP)[1:],
        encode(CALL, new_id_bytes(), b"\x04na"),
        encode(HELLO),
        b"\x01\x04\x00\x00\xff\xff\xff\xff" + bytes(16),
    ],
    ids=["http", "other version", "fields cut off", "no lease", "huge"],
)
def test_what_is_no_frame_ends_the_worker(ready: Line, data: bytes) -> None:
    ready.connection.sendall(data)

    assert ready.ended() == 2


# --- call-outs ------------------------------------------------------------------------------------------------------


def call_out(line: Line, call: bytes) -> tuple[str, Frame]:
    """The next call-out of a call that asks: its number, and all of it."""
    frame = line.next()
    while frame.kind in (ACCEPTED, LOG):
        frame = line.next()
    fields = decode_fields(frame.header)
    assert (frame.kind, frame.call) == (CALL_OUT, call)
    assert (fields["verb"], fields["target"]) == ("POST", "/v1/algo/ann/other")
    assert fields["content-type"] == "text/plain"
    return fields["number"], frame


def answered(line: Line, call: bytes) -> object:
    """The result of a call."""
    frame = line.next()
    assert (frame.kind, frame.call) == (REPLY, call), decode_fields(frame.header)
    return json.loads(frame.body)


def test_a_call_out_names_its_call_and_gets_the_answer_of_its_number(ready: Line) -> None:
    call = ready.begin({"do": "ask"})
    number, frame = call_out(ready, call)
    assert frame.body == b"question"
    ready.send(CALL_OUT_REPLY, call, b"answer", number=number, status="200")
    assert answered(ready, call) == [200, "answer"]


def test_answers_may_come_in_any_order_and_in_chunks(ready: Line) -> None:
    call = ready.begin({"do": "ask-twice"})
    asked = [call_out(ready, call) for _ in range(2)]
    for number, frame in reversed(asked):
        ready.send(CALL_OUT_REPLY, call, frame.body * 100_000, number=number, status="404")
    assert answered(ready, call) == [[404, "first" * 100_000], [404, "second" * 100_000]]


def test_calls_that_come_while_a_worker_waits_for_an_answer_are_served_behind_it(ready: Line) -> None:
    call = ready.begin({"do": "ask"})
    number, _ = call_out(ready, call)
    others = [ready.begin(value) for value in (1, 2)]
    cancelled = ready.begin(3)
    ready.send(CANCEL, cancelled)
    ready.send(CALL_OUT_REPLY, call, b"answer", number=number, status="200")
    assert answered(ready, call) == [200, "answer"]
    ended: dict[bytes, int] = {}
    while len(ended) < 3:
        frame = ready.next()
        if frame.kind in (REPLY, ERROR):
            ended[frame.call] = frame.kind
    assert [ended[other] for other in others] == [REPLY, REPLY]
    assert ready.result([4]) == [4]


def test_an_answer_that_nobody_waits_for_disturbs_nothing(ready: Line) -> None:
    assert ready.result(1) == 1
    call = ready.begin({"do": "ask"})
    number, _ = call_out(ready, call)
    ready.send(CALL_OUT_REPLY, call, b"of another", number="4711", status="200")
    ready.send(CALL_OUT_REPLY, call, b"answer", number=number, status="200")
    assert answered(ready, call) == [200, "answer"]
    ready.send(CALL_OUT_REPLY, call, b"late", number=number, status="200")
    assert ready.result(2) == 2


def test_the_end_of_the_stream_ends_a_worker_that_waits_for_an_answer(ready: Line) -> None:
    call = ready.begin({"do": "ask"})
    call_out(ready, call)
    ready.connection.close()
    assert ready.process.wait(20) in (0, 1)


# --- streams --------------------------------------------------------------------------------------------------------


def items(frames: list[Frame]) -> list[object]:
    """The items of a stream, of JSON."""
    return [json.loads(frame.body) for frame in frames if frame.kind == STREAM_ITEM]


def test_a_stream_is_sent_item_by_item_and_ends(either: Line) -> None:
    frames = either.call({"do": "count", "to": 3}, stream="10")
    end = decode_fields(frames[-1].header)

    assert [frame.kind for frame in frames] == [ACCEPTED, *[LOG, STREAM_ITEM] * 3, STREAM_END]
    assert items(frames) == [0, 1, 2]
    assert decode_fields(frames[2].header) == {"content_type": "json"}
    assert int(end["us"]) >= 0 <= int(end["cpu_us"])


def test_what_is_printed_comes_before_the_item_behind_it(either: Line) -> None:
    frames = either.call({"do": "count", "to": 2}, stream="10")

    assert [frame.body for frame in frames] == [b"", b"0\n", b"0", b"1\n", b"1", b""]


def test_no_more_items_are_sent_than_were_asked_for(either: Line) -> None:
    call = either.begin({"do": "endless"}, stream="2")
    frames = [either.next() for _ in range(3)]
    for more in (1, 3):
        either.send(CREDIT, call, credit=str(more))
        frames += [either.next() for _ in range(more)]
    either.send(CANCEL, call)

    assert items(frames) == [0, 1, 2, 3, 4, 5]
    assert either.next().kind == ERROR


def test_credit_may_come_before_the_stream_has_begun(either: Line) -> None:
    call = new_id_bytes()
    fields = encode_fields({"content_type": "json", "timeout_ms": "1000", "caller": "ann", "stream": "1"})
    data = encode(CALL, call, fields, b'{"do": "count", "to": 3}')
    either.connection.sendall(data + encode(CREDIT, call, encode_fields({"credit": "2"})))

    assert items(either.answers([call])[call]) == [0, 1, 2]


def test_the_end_of_a_stream_needs_no_credit(either: Line) -> None:
    assert either.call({"do": "count", "to": 2}, stream="2")[-1].kind == STREAM_END


def test_without_the_wish_for_a_stream_a_generator_is_one_result(either: Line) -> None:
    assert either.result({"do": "count", "to": 3}) == [0, 1, 2]


def test_what_is_no_generator_is_a_reply_also_where_a_stream_was_asked_for(either: Line) -> None:
    frames = either.call([1], stream="2")

    assert [frame.kind for frame in frames] == [ACCEPTED, REPLY]
    assert frames[-1].body == b"[1]"


def test_an_error_may_come_after_items(either: Line) -> None:
    frames = either.call({"do": "break"}, stream="5")

    assert items(frames) == [1]
    assert frames[-1].kind == ERROR
    assert "no such fruit" in decode_fields(frames[-1].header)["message"]
    assert either.result(1) == 1


@pytest.mark.parametrize("credit", ["1", "1000000000"])
def test_a_stream_that_is_cancelled_is_closed_and_the_worker_lives(either: Line, credit: str) -> None:
    call = either.begin({"do": "endless"}, stream=credit)
    assert (either.next().kind, either.next().kind) == (ACCEPTED, STREAM_ITEM)
    either.send(CANCEL, call)
    error = either.answers([call])[call][-1]

    assert (error.kind, decode_fields(error.header)["type"], error.body) == (ERROR, "TimeoutError", b"")
    assert either.result({"do": "closed"}) == 1


def test_a_long_item_travels_in_chunks(either: Line) -> None:
    item = either.call({"do": "long"}, stream="1")[1]

    assert (item.kind, decode_fields(item.header)["content_type"]) == (STREAM_ITEM, "binary")
    assert item.body == b"x" * 300_000


def test_a_stream_may_ask_for_something_between_its_items(either: Line) -> None:
    call = either.begin({"do": "ask-each"}, stream="5")
    for word in (b"one", b"two"):
        number, _ = call_out(either, call)
        either.send(CALL_OUT_REPLY, call, word, number=number, status="200")
        item = either.next()
        assert (item.kind, json.loads(item.body)) == (STREAM_ITEM, [200, word.decode()])
    assert either.next().kind == STREAM_END


def test_calls_that_come_while_a_stream_waits_for_credit_are_answered(either: Line) -> None:
    stream = either.begin({"do": "count", "to": 3}, stream="1")
    others = [either.begin(number) for number in (7, 8)]
    either.send(CREDIT, stream, credit="2")
    frames = either.answers([stream, *others])

    assert items(frames[stream]) == [0, 1, 2]
    assert [frames[other][-1].body for other in others] == [b"7", b"8"]
    assert either.result(9) == 9


def test_stop_lets_a_stream_come_to_its_end(either: Line) -> None:
    call = either.begin({"do": "count", "to": 3}, stream="1")
    either.send(STOP)
    either.send(CREDIT, call, credit="5")

    assert items(either.rest()) == [0, 1, 2]
    assert either.ended() == 0


# --- several calls at a time ----------------------------------------------------------------------------------------


def test_ready_says_how_many_calls_it_takes(several: Line) -> None:
    ready = decode_fields(several.hello(lease="again").header)

    assert ready["concurrency"] == "2"
    assert int(ready["credit"]) >= 2


def test_two_calls_are_in_the_authors_code_at_the_same_time(several: Line) -> None:
    calls = [several.begin({"do": "meet"}) for _ in range(2)]

    assert [frames[-1].kind for frames in several.answers(calls).values()] == [REPLY, REPLY]


def test_no_more_calls_are_accepted_than_it_takes(several: Line) -> None:
    calls = [several.begin({"do": "ask"}) for _ in range(2)]
    asked = dict(next_call_out(several) for _ in calls)
    third = several.begin(3)
    several.send(CANCEL, third)
    error = several.next()

    assert (error.kind, error.call, decode_fields(error.header)["type"]) == (ERROR, third, "TimeoutError")
    for call in calls:
        several.send(CALL_OUT_REPLY, call, b"answer", number=asked[call], status="200")
    assert [frames[-1].kind for frames in several.answers(calls).values()] == [REPLY, REPLY]


def test_what_is_printed_at_the_same_time_comes_with_its_own_call(several: Line) -> None:
    calls = [several.begin({"do": "meet-print", "say": word}) for word in ("left", "right")]
    frames = several.answers(calls)

    assert [printed(frames[call], "stdout") for call in calls] == [b"left\n", b"right\n"]


def test_call_outs_name_their_own_call(several: Line) -> None:
    calls = [several.begin({"do": "ask"}) for _ in range(2)]
    asked = dict(next_call_out(several) for _ in calls)
    for call, answer in zip(reversed(calls), (b"second", b"first"), strict=True):
        several.send(CALL_OUT_REPLY, call, answer, number=asked[call], status="200")
    frames = several.answers(calls)

    assert [json.loads(frames[call][-1].body) for call in calls] == [[200, "first"], [200, "second"]]


def test_a_call_that_fails_leaves_the_other_alone(several: Line) -> None:
    calls = [several.begin({"do": what}) for what in ("meet-raise", "meet")]

    assert [frames[-1].kind for frames in several.answers(calls).values()] == [ERROR, REPLY]
    assert several.result(1) == 1


def test_a_stream_leaves_room_for_other_calls(several: Line) -> None:
    stream = several.begin({"do": "endless"}, stream="1")
    assert [several.next().kind, several.next().kind] == [ACCEPTED, STREAM_ITEM]

    assert several.result(1) == 1
    several.send(CREDIT, stream, credit="1")
    assert json.loads(several.next().body) == 1


def test_a_hello_is_answered_only_when_no_call_is_left(several: Line) -> None:
    call = several.begin({"do": "ask"})
    _, number = next_call_out(several)
    several.send(HELLO, protocol="1", lease="lease-2", kinds="1,2")
    several.send(CALL_OUT_REPLY, call, b"answer", number=number, status="200")

    assert several.next().kind == REPLY
    assert decode_fields(several.next().header)["lease"] == "lease-2"


def test_stop_lets_all_calls_come_to_their_end(several: Line) -> None:
    calls = [several.begin({"do": "ask"}) for _ in range(2)]
    asked = dict(next_call_out(several) for _ in calls)
    several.send(STOP)
    for call in calls:
        several.send(CALL_OUT_REPLY, call, b"answer", number=asked[call], status="200")

    assert [frame.kind for frame in several.rest()] == [REPLY, REPLY]
    assert several.ended() == 0


def test_an_exit_is_answered_and_ends_the_worker_with_the_other_calls(several: Line) -> None:
    several.begin({"do": "ask"})
    next_call_out(several)

    assert several.failure({"do": "exit"})[0] == "SystemExit"
    assert several.ended() == 1


def test_the_end_of_the_stream_ends_a_worker_with_calls_under_way(several: Line) -> None:
    several.begin({"do": "ask"})
    next_call_out(several)
    several.connection.close()

    assert several.process.wait(20) in (0, 1)


def next_call_out(line: Line) -> tuple[bytes, str]:
    """The call of the next call-out, and its number."""
    frame = line.next()
    while frame.kind == ACCEPTED:
        frame = line.next()
    assert frame.kind == CALL_OUT
    return frame.call, decode_fields(frame.header)["number"]
