"""The languages that workers exist in, each with the same algorithm. A new language adds its own entry to RUNTIMES.

The algorithm answers `{"do": WHAT}`: `raise` an error of the language's own with the text `no such fruit` in a function
`pick`, `input` an InputError `too small` of the SDK, `exit` the process with 3, `print` hello to stdout and oops to
stderr, `print-much` 300,000 times x, `die` after printing `last words` 1,000 times, `memory` without end, `nan`,
`bytes` 0 and 255, `text` ü, `nothing`; `ask` POSTs the body `question` to `/v1/algo/ann/other`, `ask-twice` does so
from two threads at once, and each returns what came: status and body, as text. Everything else it returns as it is.
While it loads it prints `loading`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

PYTHON = """
import os
import sys

from concurrent.futures import ThreadPoolExecutor

import slipway
from slipway.sdk import platform

print("loading")


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
