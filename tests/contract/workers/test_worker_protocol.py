"""What every language's worker must do, shown on the Python runner over its own socket."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.wire.frames import (
    ACCEPTED,
    CALL,
    CANCEL,
    ERROR,
    HELLO,
    LOG,
    NO_CALL,
    READY,
    REPLY,
    STOP,
    Decoder,
    Frame,
    decode_fields,
    encode,
    encode_fields,
)
from slipway.workers.runtimes.install import install_runtimes
from slipway.workers.sandbox import launch, worker_environment

SOURCE = """
import sys
import numpy
import slipway

class Unit:
    def tolist(self):
        return [1, 2]

def apply(input):
    kind = input.get("do") if isinstance(input, dict) else None
    if kind == "raise":
        raise KeyError("no such fruit")
    if kind == "input":
        raise slipway.InputError("too small")
    if kind == "exit":
        sys.exit(3)
    if kind == "print":
        print("hello"); print("oops", file=sys.stderr)
        return 1
    if kind == "memory":
        return len(bytearray(512 * 1024 * 1024))
    if kind == "nan":
        return float("nan")
    if kind == "numpy":
        return {"array": numpy.arange(3), "scalar": numpy.float64(0.5), "flag": numpy.bool_(True), "unit": Unit()}
    if kind == "object":
        return object()
    if kind == "bytes":
        return b"\\x00\\xff"
    return input
"""


class Line:
    """The platform's end of a worker's socket."""

    def __init__(self, connection: socket.socket, process: subprocess.Popen[bytes], directory: Path) -> None:
        self.connection, self.process, self.directory = connection, process, directory
        self._decoder, self._frames = Decoder(), list[Frame]()
        connection.settimeout(20)

    def send(self, kind: int, call: bytes = NO_CALL, body: bytes = b"", **fields: str) -> None:
        """One frame."""
        self.connection.sendall(encode(kind, call, encode_fields(fields), body))

    def next(self) -> Frame:
        """The next frame; raises EOFError at the end."""
        while not self._frames:
            data = self.connection.recv(65536)
            if not data:
                raise EOFError
            self._frames = self._decoder.feed(data)
        return self._frames.pop(0)

    def hello(self, lease: str = "lease-1", entry: str = "src/echo.py", memory: int = 2**30) -> Frame:
        """Handshake; the first frame that is no log."""
        where = {"directory": str(self.directory), "entry": entry, "algorithm": "ann/echo", "version": "v"}
        fields = {"protocol": "1", "lease": lease, "kinds": "1", "memory": str(memory), **where}
        self.connection.sendall(encode(HELLO, NO_CALL, encode_fields(fields)))
        while (frame := self.next()).kind == LOG:
            pass
        return frame

    def call(self, value: object, content_type: str = "json") -> list[Frame]:
        """All frames of one call, the last one its reply or error."""
        body = json.dumps(value).encode() if content_type == "json" else value
        assert isinstance(body, bytes)
        self.send(CALL, b"c" * 16, body, content_type=content_type, timeout_ms="1000", caller="ann")
        frames = [self.next()]
        while frames[-1].kind not in (REPLY, ERROR):
            frames.append(self.next())
        return frames


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    directory = tmp_path / "version"
    (directory / "src").mkdir(parents=True)
    (directory / "src" / "echo.py").write_text(SOURCE)
    near, far = socket.socketpair()
    runtime = install_runtimes(tmp_path / "runtimes")
    process = launch(
        [sys.executable, "-m", "slipway.workers.runtimes.python.worker"],
        directory=runtime,
        environment=worker_environment(runtime),
        descriptors={3: far.fileno()},
    )
    far.close()
    yield Line(near, process, directory)
    near.close()
    process.kill()
    process.wait()


@pytest.fixture
def ready(line: Line) -> Line:
    assert line.hello().kind == READY
    return line


@pytest.mark.parametrize(
    ("value", "content_type", "body"),
    [
        ({"a": [1, 2.5, None, True, "ü 漢"]}, "json", '{"a":[1,2.5,null,true,"ü 漢"]}'.encode()),
        ("grüße".encode(), "text", "grüße".encode()),
        (bytes(range(256)), "binary", bytes(range(256))),
    ],
)
def test_echoes_every_kind_of_content(ready: Line, value: object, content_type: str, body: bytes) -> None:
    accepted, reply = ready.call(value, content_type)

    assert accepted.kind == ACCEPTED
    assert (decode_fields(reply.header)["content_type"], reply.body) == (content_type, body)


def test_carries_a_megabyte_both_ways(ready: Line) -> None:
    body = bytes(range(256)) * 4096

    assert ready.call(body, "binary")[-1].body == body


def test_answers_a_thousand_calls_sent_ahead_as_far_as_the_credit_goes(line: Line) -> None:
    credit = int(decode_fields(line.hello().header)["credit"])
    replies: list[tuple[int, int]] = []
    sent = 0
    while len(replies) < 1000:
        while sent < min(1000, len(replies) + credit):
            line.send(CALL, sent.to_bytes(16, "big"), str(sent).encode(), content_type="json", caller="ann")
            sent += 1
        frame = line.next()
        if frame.kind == REPLY:
            replies.append((int.from_bytes(frame.call, "big"), int(frame.body)))

    assert replies == [(number, number) for number in range(1000)]


def test_an_error_has_type_message_and_a_trace_without_the_platforms_frames(ready: Line) -> None:
    error = ready.call({"do": "raise"})[-1]
    fields, trace = decode_fields(error.header), error.body.decode()

    assert (fields["type"], fields["message"]) == ("AlgorithmError", "KeyError: 'no such fruit'")
    assert 'raise KeyError("no such fruit")' in trace
    assert "runtimes" not in trace


def test_the_sdks_errors_keep_their_type(ready: Line) -> None:
    fields = decode_fields(ready.call({"do": "input"})[-1].header)

    assert (fields["type"], fields["message"]) == ("InputError", "too small")


def test_what_a_call_prints_comes_before_its_reply(ready: Line) -> None:
    frames = ready.call({"do": "print"})

    logs = [(decode_fields(f.header)["stream"], f.body) for f in frames if f.kind == LOG]
    assert logs == [("stdout", b"hello\n"), ("stderr", b"oops\n")]
    assert frames[-1].body == b"1"


def test_numpy_values_and_anything_with_tolist_become_json(ready: Line) -> None:
    reply = json.loads(ready.call({"do": "numpy"})[-1].body)

    assert reply == {"array": [0, 1, 2], "scalar": 0.5, "flag": True, "unit": [1, 2]}


def test_bytes_are_a_binary_result(ready: Line) -> None:
    reply = ready.call({"do": "bytes"})[-1]

    assert (decode_fields(reply.header)["content_type"], reply.body) == ("binary", b"\x00\xff")


@pytest.mark.parametrize(("do", "words"), [("nan", "not JSON compliant"), ("object", "has no JSON form")])
def test_a_result_without_json_form_is_a_clear_error(ready: Line, do: str, words: str) -> None:
    error = ready.call({"do": do})[-1]

    assert error.kind == ERROR
    assert words in decode_fields(error.header)["message"]


def test_exit_is_answered_and_ends_the_worker(ready: Line) -> None:
    fields = decode_fields(ready.call({"do": "exit"})[-1].header)

    assert fields["type"] == "SystemExit"
    with pytest.raises(EOFError):
        ready.next()


def test_the_memory_limit_is_an_out_of_memory_error_and_ends_the_worker(line: Line) -> None:
    line.hello(memory=128 * 1024 * 1024)

    assert decode_fields(line.call({"do": "memory"})[-1].header)["type"] == "OutOfMemoryError"
    with pytest.raises(EOFError):
        line.next()


def test_a_second_hello_is_answered_at_once_with_its_lease(ready: Line) -> None:
    fields = decode_fields(ready.hello(lease="lease-2").header)

    assert fields["lease"] == "lease-2"
    assert "modules" not in fields


def test_ready_names_the_modules_that_loading_imported(line: Line) -> None:
    assert "numpy" in decode_fields(line.hello().header)["modules"].split(",")


def test_a_failing_load_is_a_loading_error_with_its_trace(line: Line) -> None:
    (line.directory / "src" / "echo.py").write_text("import no_such_module\ndef apply(i): return i\n")
    error = line.hello()
    fields = decode_fields(error.header)

    assert (error.kind, error.call, fields["type"]) == (ERROR, NO_CALL, "LoadingError")
    assert fields["message"] == "ModuleNotFoundError: No module named 'no_such_module'"
    assert b"import no_such_module" in error.body


def test_cancel_of_a_call_that_is_over_is_ignored(ready: Line) -> None:
    ready.call(1)
    ready.send(CANCEL, b"c" * 16)

    assert ready.call(2)[-1].body == b"2"


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n\r\n" * 3, encode(STOP), b""])
def test_garbage_stop_and_the_end_of_the_stream_end_the_worker(ready: Line, data: bytes) -> None:
    ready.connection.sendall(data)
    ready.connection.shutdown(socket.SHUT_WR)

    with pytest.raises(EOFError):
        ready.next()
    assert ready.process.wait(10) in (0, 1)
