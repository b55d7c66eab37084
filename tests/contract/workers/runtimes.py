"""The languages that workers exist in, each with the same algorithm. A new language adds its own entry to RUNTIMES.

The algorithm answers `{"do": WHAT}`: `raise` an error of the language's own with the text `no such fruit` in a function
`pick`, `input` an InputError `too small` of the SDK, `exit` the process with 3, `print` hello to stdout and oops to
stderr, `print-much` 300,000 times x, `die` after printing `last words` 1,000 times, `memory` without end, `nan`,
`bytes` 0 and 255, `text` ü, `nothing`; `ask` POSTs the body `question` to `/v1/algo/ann/other`, `ask-twice` does so
from two threads at once, and each returns what came: status and body, as text. `meet` returns once two calls that meet
are there, `meet-print` then prints what the input has as `say`, `meet-raise` then raises `no such fruit`. Everything
else it returns as it is. While it loads it prints `loading`.

Generators: `count` gives 0 and so on, as many as the input has as `to`, and prints each number before it; `break` gives
1 and raises `no such fruit`; `endless` counts without end, and when it is closed adds one to what `closed` returns;
`long` gives one item of 300,000 bytes; `ask-each` asks `question` twice, and gives what each returns.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

PYTHON = """
import os
import sys
import threading

from concurrent.futures import ThreadPoolExecutor

import slipway
from slipway.sdk import platform

print("loading")
closed = []
barrier = threading.Barrier(2)


def count(to):
    for number in range(to):
        print(number)
        yield number


def break_off():
    yield 1
    pick()


def endless():
    number = 0
    try:
        while True:
            yield number
            number += 1
    finally:
        closed.append(number)


def ask(question):
    answer = platform.request("POST", "/v1/algo/ann/other", question.encode(), "text/plain")
    return [answer.status, answer.body.decode()]


def pick():
    raise KeyError("no such fruit")


def apply(input):
    kind = input.get("do") if isinstance(input, dict) else None
    if kind == "raise":
        pick()
    elif kind == "input":
        raise slipway.InputError("too small")
    elif kind == "exit":
        sys.exit(3)
    elif kind == "print":
        print("hello")
        print("oops", file=sys.stderr)
    elif kind == "print-much":
        print("x" * 300_000)
    elif kind == "die":
        print("last words\\n" * 1000)
        os._exit(9)
    elif kind == "memory":
        blocks = []
        while True:
            blocks.append(bytearray(1024 * 1024))
    elif kind == "nan":
        return float("nan")
    elif kind == "bytes":
        return b"\\x00\\xff"
    elif kind == "text":
        return "ü"
    elif kind == "nothing":
        return None
    elif kind == "ask":
        return ask("question")
    elif kind == "ask-twice":
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(ask, ["first", "second"]))
    elif kind == "meet":
        barrier.wait()
    elif kind == "meet-print":
        barrier.wait()
        print(input["say"])
    elif kind == "meet-raise":
        barrier.wait()
        pick()
    elif kind == "count":
        return count(input["to"])
    elif kind == "break":
        return break_off()
    elif kind == "endless":
        return endless()
    elif kind == "closed":
        return len(closed)
    elif kind == "long":
        return (b"x" * 300_000 for _ in range(1))
    elif kind == "ask-each":
        return (ask("question") for _ in range(2))
    else:
        return input
"""


class Runtime(NamedTuple):
    """One language."""

    name: str
    command: tuple[str, ...]
    entry: str
    source: str
    broken: str  # a source that cannot be loaded
    trace: str  # what the trace of `raise` must hold

    def write(self, directory: Path, source: str | None = None) -> None:
        """A version's directory."""
        file = directory / self.entry
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.source if source is None else source)


RUNTIMES = (
    Runtime(
        name="python",
        command=(sys.executable, "-m", "slipway.workers.runtimes.python.worker"),
        entry="src/echo.py",
        source=PYTHON,
        broken="print('loading')\nraise ValueError('no model')\n",
        trace="in pick\n    raise KeyError",
    ),
)
