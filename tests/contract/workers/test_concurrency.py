"""Several calls at a time in one Python worker: plain `apply` in threads, `async apply` as tasks of one event loop."""

from __future__ import annotations

import json
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
    LOG,
    READY,
    REPLY,
    STREAM_END,
    STREAM_ITEM,
    Frame,
    decode_fields,
)
from tests.conditions import eventually
from tests.contract.workers.lines import Line, worker
from tests.contract.workers.runtimes import RUNTIMES

# Two calls that name each other's word are in `meet` at the same time, or stay there.
PLAIN = """
import threading

barrier = threading.Barrier(2)

def meet():
    barrier.wait()
"""
ASYNC = """
import asyncio

class Barrier:
    def __init__(self):
        self.event, self.count = asyncio.Event(), 0

    async def wait(self):
        self.count += 1
        if self.count == 2:
            self.event.set()
        await self.event.wait()

barriers = {}

async def meet(name="one"):
    await barriers.setdefault(name, Barrier()).wait()
"""
BURN = """
import time

def burn():
    end = time.thread_time() + 0.2
    while time.thread_time() < end:
        pass
"""


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """A worker before its hello."""
    with worker(RUNTIMES[0], tmp_path) as line:
        yield line


def load(line: Line, source: str, concurrency: int = 4, memory: int = 2**30) -> dict[str, str]:
    """Load that source; what ready says."""
    line.runtime.write(line.directory, source)
    frame = line.hello(concurrency=concurrency, memory=memory)
    assert frame.kind == READY, (frame, line.said)
    return decode_fields(frame.header)


def results(line: Line, *values: object) -> list[object]:
    """What calls that are sent together return."""
    calls = [line.begin(value) for value in values]
    frames = line.answers(calls)
    assert {frames[call][-1].kind for call in calls} == {REPLY}, [frames[call][-1] for call in calls]
    return [value(frames[call][-1]) for call in calls]


def value(reply: Frame) -> object:
    """What a reply carries."""
    is_json = decode_fields(reply.header)["content_type"] == "json"
    return json.loads(reply.body) if is_json else reply.body.decode()


def text(frames: list[Frame]) -> bytes:
    """What a call printed."""
    return b"".join(frame.body for frame in frames if frame.kind == LOG)


def next_call_out(line: Line) -> tuple[bytes, str, str]:
    """The call of the next call-out, its number and its target."""
    frame = line.next()
    while frame.kind in (ACCEPTED, LOG):
        frame = line.next()
    assert frame.kind == CALL_OUT, decode_fields(frame.header)
    fields = decode_fields(frame.header)
    return frame.call, fields["number"], fields["target"]


def answer(line: Line, call: bytes, number: str, value: object = "yes") -> None:
    """Answer a `slipway.call`."""
    body = json.dumps({"result": value, "metadata": {"content_type": "json"}}).encode()
    line.send(CALL_OUT_REPLY, call, body, number=number, status="200")


# --- both ways ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        PLAIN + "def apply(input):\n    meet()\n    return input\n",
        ASYNC + "async def apply(input):\n    await meet()\n    return input\n",
        ASYNC + "class Model:\n    async def __call__(self, input):\n        await meet()\n        return input\n\n"
        "apply = Model()\n",
        PLAIN + "def load():\n    return {'a': 1}\n\ndef apply(input, state):\n    meet()\n    return input\n",
        ASYNC + "async def load():\n    return asyncio.get_running_loop()\n\nasync def apply(input, loop):\n"
        "    assert asyncio.get_running_loop() is loop\n    await meet()\n    return input\n",
    ],
    ids=["plain", "async", "async instance", "plain with state", "async with a state of the same loop"],
)
def test_calls_overlap(line: Line, source: str) -> None:
    ready = load(line, source)

    assert (ready["concurrency"], ready["credit"], ready["batch"]) == ("4", "16", "1")
    assert results(line, "a", "b") == ["a", "b"]


def test_a_plain_apply_may_return_coroutines_and_generators_of_both_kinds(line: Line) -> None:
    load(
        line,
        """
async def later(input):
    return input

async def items():
    yield 1
    yield 2

def apply(input):
    return later(input) if input == 1 else items() if input == 2 else (number for number in (3, 4))
""",
    )
    assert results(line, 1, 2, 3) == [1, [1, 2], [3, 4]]


def test_more_calls_than_it_takes_wait_for_their_turn(line: Line) -> None:
    load(line, PLAIN + "def apply(input):\n    meet()\n    return input\n", concurrency=2)

    assert results(line, *range(10)) == list(range(10))


def test_more_tasks_than_it_takes_wait_for_their_turn(line: Line) -> None:
    load(line, ASYNC + "async def apply(input):\n    await meet(input // 2)\n    return input\n", concurrency=2)

    assert results(line, *range(10)) == list(range(10))


def test_batches_stay_one_at_a_time(line: Line) -> None:
    ready = load(line, "def apply_batch(inputs):\n    return inputs\n")

    assert (ready["concurrency"], ready["batch"]) == ("1", "4")
    assert line.result(1) == 1


@pytest.mark.parametrize(
    "source",
    [
        PLAIN + "def apply(input):\n    print(input, 1)\n    meet()\n    print(input, 2)\n",
        ASYNC + "async def apply(input):\n    print(input, 1)\n    await meet()\n    print(input, 2)\n",
    ],
    ids=["plain", "async"],
)
def test_what_is_printed_goes_to_its_own_call(line: Line, source: str) -> None:
    load(line, source)
    calls = [line.begin(word) for word in ("left", "right")]
    frames = line.answers(calls)

    assert [text(frames[call]) for call in calls] == [b"left 1\nleft 2\n", b"right 1\nright 2\n"]


def test_a_log_handler_made_while_loading_prints_for_the_call_that_logs(line: Line) -> None:
    load(
        line,
        PLAIN + "import logging\nlogging.basicConfig()\n\ndef apply(input):\n    meet()\n    logging.error(input)\n",
    )
    calls = [line.begin(word) for word in ("left", "right")]
    frames = line.answers(calls)

    assert [text(frames[call]) for call in calls] == [b"ERROR:root:left\n", b"ERROR:root:right\n"]


def test_what_is_printed_outside_of_calls_goes_to_the_log(line: Line, tmp_path: Path) -> None:
    load(
        line,
        """
import threading

go = threading.Event()

def background():
    go.wait()
    print("from nobody")

threading.Thread(target=background, daemon=True).start()

def apply(input):
    go.set()
""",
    )

    assert [frame.kind for frame in line.call(1)] == [ACCEPTED, REPLY]
    assert eventually(lambda: "from nobody" in (tmp_path / "log").read_text())


@pytest.mark.parametrize(
    "source",
    [
        PLAIN + "def apply(input):\n    meet()\n    if input:\n        raise KeyError(input)\n",
        ASYNC + "async def apply(input):\n    await meet()\n    if input:\n        raise KeyError(input)\n",
    ],
    ids=["plain", "async"],
)
def test_a_call_that_fails_leaves_others_alone(line: Line, source: str) -> None:
    load(line, source)
    calls = [line.begin("bad"), line.begin("")]
    frames = line.answers(calls)
    error = frames[calls[0]][-1]

    assert [frames[call][-1].kind for call in calls] == [ERROR, REPLY]
    assert decode_fields(error.header)["message"] == "KeyError: 'bad'"
    assert error.body.decode().startswith('Traceback (most recent call last):\n  File "' + str(line.directory))


@pytest.mark.parametrize("keyword", ["", "async "])
def test_a_body_that_is_no_json_fails_alone(line: Line, keyword: str) -> None:
    load(line, f"{keyword}def apply(input):\n    return input\n")

    call = new_id_bytes()
    line.send(CALL, call, b"[", content_type="json", timeout_ms="1000", caller="ann")
    error = line.answers([call])[call][-1]

    assert decode_fields(error.header)["type"] == "ParsingError"
    assert line.result(1) == 1


@pytest.mark.parametrize("keyword", ["", "async "])
def test_running_out_of_memory_is_answered_and_ends_the_worker(line: Line, keyword: str) -> None:
    load(line, f"{keyword}def apply(input):\n    return len(bytes(2**30))\n", memory=256 * 2**20)

    assert line.failure(1)[0] == "OutOfMemoryError"
    assert line.ended() == 137


def test_threads_do_not_take_of_the_memory(line: Line) -> None:
    """Their stacks are address space: 64 of them, of 8 MiB each, within 64 MiB."""
    source = PLAIN.replace("(2)", "(64)") + "def apply(input):\n    meet()\n    return input\n"
    load(line, source, concurrency=64, memory=64 * 2**20)

    assert results(line, *range(64)) == list(range(64))


# --- whose threads and tasks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    [
        """
import threading

def apply(input):
    found = []
    thread = threading.Thread(target=lambda: found.append(ask(input)))
    thread.start()
    thread.join()
    return found[0]
""",
        """
from concurrent.futures import ThreadPoolExecutor

pool = ThreadPoolExecutor(1)

def apply(input):
    return pool.submit(ask, input).result()
""",
        """
import asyncio

async def apply(input):
    return await asyncio.to_thread(ask, input)
""",
        """
import asyncio

async def apply(input):
    return await asyncio.get_running_loop().run_in_executor(None, ask, input)
""",
        """
async def apply(input):
    return ask(input)
""",
        """
import asyncio

async def later(input):
    return await asyncio.to_thread(ask, input)

async def apply(input):
    return await asyncio.create_task(later(input))
""",
    ],
    ids=["thread", "shared pool", "to_thread", "executor", "in the loop", "task"],
)
def test_what_a_call_starts_asks_and_prints_in_its_name(line: Line, source: str) -> None:
    ask = "import slipway\n\ndef ask(name):\n    print(name)\n    return slipway.call(f'ann/{name}')\n\n"
    load(line, ask + source)
    calls = {line.begin(name): name for name in ("left", "right")}
    frames: dict[bytes, list[Frame]] = {call: [] for call in calls}
    while not all(of and of[-1].kind == REPLY for of in frames.values()):
        frame = line.next()
        frames[frame.call].append(frame)
        if frame.kind == CALL_OUT:
            fields = decode_fields(frame.header)
            assert fields["target"] == f"/v1/algo/ann/{calls[frame.call]}"
            answer(line, frame.call, fields["number"], fields["target"])

    for call, name in calls.items():
        assert text(frames[call]) == f"{name}\n".encode()
        assert frames[call][-1].body.decode() == f"/v1/algo/ann/{name}"


@pytest.mark.parametrize(
    "source",
    [
        """
def apply(input):
    go.clear()
    threading.Thread(target=late, daemon=True).start()
    return 1
""",
        """
import asyncio

async def apply(input):
    asyncio.get_running_loop().run_in_executor(None, late)
    return 1
""",
    ],
    ids=["thread", "executor"],
)
def test_what_outlives_its_call_cannot_ask(line: Line, tmp_path: Path, source: str) -> None:
    late = """
import threading, slipway

go = threading.Event()

def late():
    go.wait()
    try:
        slipway.call("ann/other")
    except RuntimeError as error:
        print(error)

def set_go():
    go.set()
"""
    release = "\nfirst = apply\n\ndef apply(input):\n    return set_go() if input == 'go' else first(input)\n"
    load(line, late + source + release)

    assert line.result(1) == 1
    assert line.result("go") is None
    assert eventually(lambda: "no call is running" in (tmp_path / "log").read_text())


def test_context_variables_of_one_call_are_not_seen_by_the_next(line: Line) -> None:
    load(
        line,
        """
from contextvars import ContextVar

seen = ContextVar("seen", default=0)

def load():
    seen.set(-1)

def apply(input):
    before = seen.get()
    seen.set(input)
    return before
""",
        concurrency=2,
    )

    assert [line.result(number) for number in range(4)] == [-1] * 4


@pytest.mark.parametrize(
    "source",
    [
        PLAIN + "def apply(input):\n    if input:\n        burn()\n    meet()\n",
        ASYNC
        + "async def apply(input):\n    await asyncio.sleep(0)\n    if input:\n        burn()\n    await meet()\n",
    ],
    ids=["plain", "async"],
)
def test_cpu_time_is_put_down_to_the_call_that_used_it(line: Line, source: str) -> None:
    load(line, BURN + source)
    calls = [line.begin(0), line.begin(1)]
    frames = line.answers(calls)
    idle, busy = (int(decode_fields(frames[call][-1].header)["cpu_us"]) for call in calls)

    assert idle < 150_000 < 200_000 <= busy


# --- cancel ---------------------------------------------------------------------------------------------------------


def test_a_task_that_is_cancelled_leaves_others_alone(line: Line) -> None:
    load(
        line,
        ASYNC
        + """
cleaned = []

async def apply(input):
    if input == "cleaned":
        return cleaned
    print(input)
    try:
        await meet(input)
    finally:
        cleaned.append(input)
    return input
""",
    )
    calls = [line.begin(word) for word in ("stuck", "other")]
    assert [line.next().kind for _ in calls] == [ACCEPTED, ACCEPTED]
    line.send(CANCEL, calls[0])
    error = line.answers([calls[0]])[calls[0]][-1]

    assert (error.kind, decode_fields(error.header)["type"], error.body) == (ERROR, "TimeoutError", b"")
    assert line.result("cleaned") == ["stuck"]
    calls[0] = line.begin("other")
    answered = line.answers(calls)
    assert [answered[call][-1].body for call in calls] == [b"other", b"other"]


def test_what_a_cancelled_task_raises_instead_does_not_matter(line: Line) -> None:
    load(
        line,
        """
import asyncio

async def apply(input):
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise ValueError("cleaning up failed")
""",
    )
    call = line.begin(1)
    assert line.next().kind == ACCEPTED
    line.send(CANCEL, call)

    assert decode_fields(line.answers([call])[call][-1].header)["type"] == "TimeoutError"


def test_a_task_that_cancels_itself_has_failed(line: Line) -> None:
    load(line, "import asyncio\n\nasync def apply(input):\n    raise asyncio.CancelledError\n")

    assert line.failure(1) == ("AlgorithmError", "CancelledError")


# --- streams --------------------------------------------------------------------------------------------------------

GENERATORS = {
    "generator": "def apply(input):\n    yield from numbers(input)\n",
    "async generator": "async def apply(input):\n    for number in numbers(input):\n        yield number\n",
    "coroutine of a generator": "async def apply(input):\n    return numbers(input)\n",
}
NUMBERS = """
made, closed = [], []

def numbers(to):
    if to == "made":
        yield len(made)
        return
    try:
        for number in range(to):
            made.append(number)
            print(number)
            yield number
    finally:
        closed.append(to)
"""


@pytest.fixture(params=list(GENERATORS))
def generator(request: pytest.FixtureRequest) -> str:
    """An algorithm that counts."""
    return NUMBERS + GENERATORS[request.param]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_all_kinds_of_generators_stream(line: Line, generator: str, concurrency: int) -> None:
    load(line, generator, concurrency)
    frames = line.call(3, stream="5")

    assert [frame.kind for frame in frames] == [ACCEPTED, *[LOG, STREAM_ITEM] * 3, STREAM_END]
    assert line.result(3) == [0, 1, 2]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_slow_reader_stops_the_generator(line: Line, generator: str, concurrency: int) -> None:
    """At most one item is made that nobody has asked for."""
    load(line, generator, concurrency)
    call = line.begin(1000, stream="3")
    frames = [line.next() for _ in range(7)]
    line.send(CREDIT, call, credit="2")
    frames += [line.next() for _ in range(4)]
    line.send(CANCEL, call)
    end = line.answers([call])[call][-1]

    assert [int(frame.body) for frame in frames if frame.kind == STREAM_ITEM] == [0, 1, 2, 3, 4]
    assert end.kind == ERROR
    assert line.result("made") in ([5], [6])


@pytest.mark.parametrize("concurrency", [1, 4])
def test_the_finally_of_a_cancelled_generator_may_ask_for_something(line: Line, concurrency: int) -> None:
    load(
        line,
        """
import slipway

def apply(input):
    try:
        while True:
            yield 1
    finally:
        slipway.call("ann/closing")
""",
        concurrency,
    )
    call = line.begin(1, stream="1")
    assert [line.next().kind, line.next().kind] == [ACCEPTED, STREAM_ITEM]
    line.send(CANCEL, call)
    _, number, target = next_call_out(line)
    answer(line, call, number)

    assert target == "/v1/algo/ann/closing"
    assert line.next().kind == ERROR


def test_an_async_generator_that_waits_is_cancelled_where_it_waits(line: Line) -> None:
    load(
        line,
        """
import asyncio

closed = []

async def apply(input):
    if input == "closed":
        yield closed
        return
    try:
        yield 1
        await asyncio.Event().wait()
    finally:
        closed.append(input)
""",
    )
    call = line.begin("x", stream="5")
    assert [line.next().kind, line.next().kind] == [ACCEPTED, STREAM_ITEM]
    line.send(CANCEL, call)

    assert decode_fields(line.answers([call])[call][-1].header)["type"] == "TimeoutError"
    assert line.result("closed") == [["x"]]


def test_an_item_without_a_json_form_ends_the_stream_and_closes_the_generator(line: Line) -> None:
    load(
        line,
        """
closed = []

def apply(input):
    if input == "closed":
        return closed
    return items()

def items():
    try:
        yield 1
        yield float("nan")
        yield 2
    finally:
        closed.append(1)
""",
        concurrency=1,
    )
    frames = line.call(1, stream="5")

    assert [frame.kind for frame in frames] == [ACCEPTED, STREAM_ITEM, ERROR]
    assert decode_fields(frames[-1].header)["message"].startswith("apply returned NaN")
    assert line.result("closed") == [1]


def test_streams_interleave(line: Line) -> None:
    load(line, NUMBERS + GENERATORS["generator"])
    first, second = (line.begin(2, stream="1") for _ in range(2))
    begun = [line.next() for _ in range(6)]
    for call in (second, first):
        line.send(CREDIT, call, credit="1")
    frames = line.answers([first, second])

    assert sum(frame.kind == STREAM_ITEM for frame in begun) == 2
    assert [frames[call][-1].kind for call in (first, second)] == [STREAM_END, STREAM_END]
