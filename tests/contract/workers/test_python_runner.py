"""What authors of Python algorithms can rely on beyond the protocol."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.wire.frames import READY, REPLY, decode_fields
from tests.conditions import eventually
from tests.contract.workers.lines import Line, worker
from tests.contract.workers.runtimes import RUNTIMES


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """A worker before its hello."""
    with worker(RUNTIMES[0], tmp_path) as line:
        yield line


def load(line: Line, source: str) -> Line:
    """Load that source."""
    line.runtime.write(line.directory, source)
    frame = line.hello()
    assert frame.kind == READY, frame
    return line


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("numpy.arange(3)", [0, 1, 2]),
        ("numpy.float64(0.5)", 0.5),
        ("numpy.float32(0.5)", 0.5),
        ("{'flag': numpy.bool_(True), 'nested': [numpy.int8(3)]}", {"flag": True, "nested": [3]}),
        ("numpy.array(['2026-01-02'], dtype='datetime64[ns]')", ["2026-01-02T00:00:00.000000000"]),
        ("{numpy.int64(1): 'one', 'two': numpy.zeros((1, 2))}", {"1": "one", "two": [[0.0, 0.0]]}),
        ("DataFrame()", [{"a": 1}]),
        ("Tensor()", [1, 2]),
        ("{1, 2}", [1, 2]),
        ("(1, 2)", [1, 2]),
        ("datetime.date(2026, 1, 2)", "2026-01-02"),
        ("decimal.Decimal('1.50')", "1.50"),
        ("pathlib.Path('/a')", "/a"),
        ("Point(1, 2)", {"x": 1, "y": 2}),
        ("{'a': map(str, [1])}", {"a": ["1"]}),
        ("['\\ud800']", ["\ud800"]),
        ("None", None),
    ],
)
def test_what_has_a_plain_form_becomes_json(line: Line, expression: str, result: object) -> None:
    load(
        line,
        f"""
import collections, dataclasses, datetime, decimal, pathlib
import numpy

@dataclasses.dataclass
class Point:
    x: int
    y: int

class DataFrame:
    def to_dict(self, orient):
        assert orient == "records"
        return [{{"a": numpy.int64(1)}}]

class Tensor:
    def tolist(self):
        return [1, 2]

def apply(input):
    return {expression}
""",
    )

    assert line.result(None) == result


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("object()", "apply returned a object, which has no JSON form"),
        ("{'scores': [1.0, float('nan')]}", 'apply returned NaN at ["scores"][1], which JSON cannot carry'),
        ("[-float('inf')]", "apply returned -Infinity at [0]"),
        ("{'a': b'x'}", "bytes have no place inside JSON"),
        ("{(1, 2): 3}", "a key of a dictionary is the tuple (1, 2)"),
        ("CIRCLE", "contains itself"),
        ("1j", "apply returned a complex, which has no JSON form"),
    ],
)
def test_what_has_none_is_an_error_that_says_where(line: Line, expression: str, message: str) -> None:
    load(line, f"CIRCLE = []\nCIRCLE.append(CIRCLE)\n\ndef apply(input):\n    return {expression}\n")
    error = line.call(None)[-1]
    fields = decode_fields(error.header)

    assert fields["type"] == "AlgorithmError"
    assert message in fields["message"]
    assert error.body == b""


def test_text_with_half_a_character_stays_valid_utf8(line: Line) -> None:
    load(line, "def apply(input):\n    return 'a\\ud800'\n")

    assert line.call(None)[-1].body == b"a?"


def test_ready_names_the_environments_modules_only(line: Line) -> None:
    line.runtime.write(line.directory, "import numpy, sibling\n\ndef apply(input):\n    return input\n")
    (line.directory / "src" / "sibling.py").write_text("")
    modules = decode_fields(line.hello().header)["modules"].split(",")

    assert "numpy" in modules
    assert not {"sibling", "echo", "json", "slipway"} & set(modules)


def test_siblings_and_packages_of_the_repository_can_be_imported(line: Line) -> None:
    (line.directory / "package").mkdir()
    (line.directory / "package" / "__init__.py").write_text("NAME = 'package'\n")
    (line.directory / "src" / "sibling.py").write_text("NAME = 'sibling'\n")
    (line.directory / "data.txt").write_text("data")
    source = (
        "import package, sibling\n\ndef apply(input):\n    return [package.NAME, sibling.NAME, open('data.txt').read()]"
    )

    assert load(line, source).result(None) == ["package", "sibling", "data"]


def test_models_are_found_by_name(line: Line) -> None:
    (line.directory / "models").mkdir()
    (line.directory / "models" / "words").write_text("weights")
    source = "import slipway\n\ndef apply(input):\n    return open(slipway.model('words')).read()\n"

    assert load(line, source).call(None)[-1].body == b"weights"


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("def load():\n    return {'a': 1}\n\ndef apply(input, state):\n    return [input, state]\n", ["x", {"a": 1}]),
        ("def load():\n    return {'a': 1}\n\ndef apply(input):\n    return input\n", "x"),
        ("def load():\n    return {}\n\ndef apply(input, state=3):\n    return [input, state]\n", ["x", 3]),
        ("import numpy\n\ndef load():\n    return numpy.ones(2)\n\ndef apply(input, ones):\n    return ones\n", [1, 1]),
        ("async def apply(input):\n    return [input]\n", ["x"]),
        ("async def load():\n    return 5\n\nasync def apply(input, five):\n    return five\n", 5),
        ("def apply(input):\n    yield 1\n    yield 2\n", [1, 2]),
        ("class Model:\n    def __call__(self, input):\n        return [input]\n\napply = Model()\n", ["x"]),
        ("apply = len\n", 1),
    ],
)
def test_apply_and_load_come_in_several_shapes(line: Line, source: str, result: object) -> None:
    reply = load(line, source).call("x")[-1]

    assert reply.kind == REPLY
    value = json.loads(reply.body) if decode_fields(reply.header)["content_type"] == "json" else reply.body.decode()
    assert value == result


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def aply(input):\n    pass\n", "AttributeError: src/echo.py defines no function apply(input)"),
        ("import no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("def apply(input)\n", "SyntaxError: expected ':' (echo.py, line 1)"),
        ("raise SystemExit(4)\n", "SystemExit: 4"),
    ],
)
def test_why_a_version_does_not_load(line: Line, source: str, message: str) -> None:
    line.runtime.write(line.directory, source)

    assert decode_fields(line.hello().header)["message"] == message


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        ("ParsingError('bad')", "ParsingError", "bad"),
        ("Custom('own')", "ThirdPartyCredentialError", "own"),
        ("TimeoutError('slow')", "AlgorithmError", "TimeoutError: slow"),
        ("slipway.UnsupportedError('no')", "UnsupportedError", "no"),
        ("Mute()", "AlgorithmError", "Mute: the error's text cannot be read"),
        ("ValueError()", "AlgorithmError", "ValueError"),
    ],
)
def test_an_errors_class_decides_its_type(line: Line, raised: str, kind: str, message: str) -> None:
    load(
        line,
        f"""
import slipway

class ParsingError(Exception):
    pass

class Custom(Exception):
    error_type = "ThirdPartyCredentialError"

class Mute(Exception):
    def __str__(self):
        raise RuntimeError

def apply(input):
    raise {raised}
""",
    )

    assert line.failure(None) == (kind, message)


def test_other_threads_and_forked_children_do_not_disturb_the_stream(line: Line) -> None:
    load(
        line,
        """
import multiprocessing, sys, threading

def shout():
    for _ in range(2000):
        print("x" * 100)

def apply(input):
    threads = [threading.Thread(target=shout) for _ in range(4)]
    child = multiprocessing.get_context("fork").Process(target=shout)
    for one in (*threads, child):
        one.start()
    for one in (*threads, child):
        one.join()
    return child.exitcode
""",
    )

    assert [line.result(None) for _ in range(3)] == [0, 0, 0]


def test_child_processes_print_to_the_log_and_hold_nothing_open(line: Line, tmp_path: Path) -> None:
    load(
        line,
        """
import os, subprocess, sys

def apply(input):
    sys.stdout.buffer.write(b"bytes\\n")
    subprocess.run(["echo", "from a child"], stdout=sys.stdout, check=True)
    listing = subprocess.run(["ls", "-l", "/proc/self/fd"], capture_output=True, text=True, close_fds=False).stdout
    return ["socket" in listing, sys.stdin.read()]
""",
    )
    frames = line.call(None)

    assert json.loads(frames[-1].body) == [False, ""]
    assert frames[1].body == b"bytes\n"
    assert eventually(lambda: "from a child" in (tmp_path / "log").read_text())


def test_an_author_cannot_be_hindered_by_the_platforms_names(line: Line) -> None:
    """Modules of the runner are named so that a repository's own of the same names come first."""
    for name in ("worker", "values", "output", "process", "sdk"):
        (line.directory / "src" / f"{name}.py").write_text(f"NAME = {name!r}\n")
    source = "import worker, values, output, process, sdk\n\ndef apply(input):\n    return [worker.NAME, sdk.NAME]\n"

    assert load(line, source).result(None) == ["worker", "sdk"]
