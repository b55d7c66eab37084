"""Calls that arrive together are run together where the author wrote `apply_batch`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from slipway.ids import new_id_bytes
from slipway.wire.frames import (
    ACCEPTED,
    CALL,
    ERROR,
    READY,
    REPLY,
    STREAM_END,
    STREAM_ITEM,
    Frame,
    decode_fields,
    encode,
    encode_fields,
)
from tests.contract.workers.lines import Line, worker
from tests.contract.workers.runtimes import RUNTIMES

DOUBLE = """
def apply_batch(inputs):
    return [[2 * value, len(inputs)] for value in inputs]
"""


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """A worker before its hello."""
    with worker(RUNTIMES[0], tmp_path) as line:
        yield line


def load(line: Line, source: str) -> dict[str, str]:
    """Load that source; what ready says."""
    line.runtime.write(line.directory, source)
    frame = line.hello(max_batch=4)
    assert frame.kind == READY, frame
    return decode_fields(frame.header)


def together(line: Line, bodies: Sequence[bytes]) -> list[Frame]:
    """Send calls in one go; their replies and errors, in the order of the calls."""
    calls = [new_id_bytes() for _ in bodies]
    header = encode_fields({"content_type": "json", "timeout_ms": "1000", "caller": "ann"})
    line.connection.sendall(b"".join(encode(CALL, call, header, bodies[n]) for n, call in enumerate(calls)))
    ends: dict[bytes, Frame] = {}
    while len(ends) < len(calls):
        frame = line.next()
        if frame.kind in (REPLY, ERROR):
            assert frame.call not in ends
            ends[frame.call] = frame
        else:
            assert frame.kind == ACCEPTED
    return [ends[call] for call in calls]


def test_a_batch_is_one_call_of_apply_batch_up_to_the_maximum(line: Line) -> None:
    assert load(line, DOUBLE)["batch"] == "4"
    ends = together(line, [b"%d" % number for number in range(6)])
    assert [json.loads(end.body) for end in ends] == [[0, 4], [2, 4], [4, 4], [6, 4], [8, 2], [10, 2]]
    assert [decode_fields(end.header)["batch"] for end in ends] == ["4"] * 4 + ["2"] * 2


def test_calls_that_want_streams_have_them_beside_a_batch(line: Line) -> None:
    load(line, DOUBLE + "\ndef apply(input):\n    yield input\n    yield 'last'\n")
    fields = {"content_type": "json", "timeout_ms": "1000", "caller": "ann"}
    one, streamed, other = (new_id_bytes() for _ in range(3))
    plain, stream = encode_fields(fields), encode_fields({**fields, "stream": "5"})
    calls = [encode(CALL, one, plain, b"1"), encode(CALL, streamed, stream, b"2"), encode(CALL, other, plain, b"3")]
    line.connection.sendall(b"".join(calls))
    answers = line.answers([one, streamed, other])

    assert [json.loads(answers[call][-1].body) for call in (one, other)] == [[2, 2], [6, 2]]
    assert [frame.kind for frame in answers[streamed]] == [ACCEPTED, STREAM_ITEM, STREAM_ITEM, STREAM_END]
    assert [frame.body for frame in answers[streamed][1:3]] == [b"2", b"last"]


def test_a_single_call_needs_no_apply(line: Line) -> None:
    load(line, DOUBLE)
    assert line.result(21) == [42, 1]


def test_without_apply_batch_calls_run_one_by_one(line: Line) -> None:
    assert load(line, "def apply(input):\n    return input\n")["batch"] == "1"
    assert [end.body for end in together(line, [b"1", b"2"])] == [b"1", b"2"]


def test_state_goes_to_an_apply_batch_of_two(line: Line) -> None:
    load(
        line,
        "def load():\n    return {'factor': 3}\n\n"
        "def apply_batch(inputs, state):\n    return [state['factor'] * x for x in inputs]\n",
    )
    assert [end.body for end in together(line, [b"1", b"2"])] == [b"3", b"6"]


def test_a_bad_input_fails_alone(line: Line) -> None:
    load(line, "def apply_batch(inputs):\n    return [10 / value for value in inputs]\n")
    ends = together(line, [b"5", b"0", b"[", b"2"])
    assert [end.kind for end in ends] == [REPLY, ERROR, ERROR, REPLY]
    assert decode_fields(ends[1].header)["message"].startswith("ZeroDivisionError: division by zero")
    assert decode_fields(ends[2].header)["type"] == "ParsingError"
    assert ends[3].body == b"5.0"


def test_a_result_that_has_no_json_form_fails_alone(line: Line) -> None:
    load(line, "def apply_batch(inputs):\n    return [float(value) for value in inputs]\n")
    ends = together(line, [b"1", b'"nan"'])
    assert [end.kind for end in ends] == [REPLY, ERROR]


@pytest.mark.parametrize("result", ["inputs[1:]", "{'a': 1, 'b': 2}", "'ab'", "None"])
def test_anything_but_one_result_each_is_an_error_that_says_so(line: Line, result: str) -> None:
    load(line, f"def apply_batch(inputs):\n    return {result}\n")
    ends = together(line, [b"1", b"2"])
    assert all("return a list with one for each" in decode_fields(end.header)["message"] for end in ends)


def test_arrays_are_taken_apart(line: Line) -> None:
    load(line, "import numpy\n\ndef apply_batch(inputs):\n    return numpy.array(inputs).sum(axis=1)\n")
    assert [end.body for end in together(line, [b"[1,2]", b"[3,4]"])] == [b"3", b"7"]


def test_a_coroutine_may_batch_too(line: Line) -> None:
    load(line, "async def apply_batch(inputs):\n    return inputs[::-1]\n")
    assert [end.body for end in together(line, [b"1", b"2"])] == [b"2", b"1"]


def test_a_batch_that_ends_the_process_is_answered_whole(line: Line) -> None:
    load(line, "import sys\n\ndef apply_batch(inputs):\n    sys.exit(3)\n")
    assert {end.kind for end in together(line, [b"1", b"2"])} == {ERROR}
    assert line.ended() != 0
