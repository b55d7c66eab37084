"""Runs benchmarks one after another and writes docs/benchmarks.md: `python -m benchmarks [--quick] [NAME…]`.

What each printed is kept below docs/benchmarks, so that the page can be written again from that (`--render`), and a
benchmark run by itself replaces its own figures only. The texts between the figures are in benchmarks/notes.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import asdict

from benchmarks.figures import ROOT, Figures, load_figures, surroundings
from benchmarks.harness import Measure
from benchmarks.page import write_page

NAMES = (
    "overhead",
    "predict",
    "coldstart",
    "density",
    "burst",
    "recovery",
    "memory",
    "push",
    "asynchronous",
    "transfers",
    "sandboxes",
)


def main() -> int:
    """Run, keep, write; 1 where a benchmark could not be run to its end, whose earlier figures stay."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all where none is named")
    parser.add_argument("--quick", action="store_true", help="shorter runs of the same")
    parser.add_argument("--render", action="store_true", help="only write the page from what is kept")
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    broken = [] if options.render else [n for n in options.names or NAMES if not run(n, options.quick)]
    write_page(load_figures(NAMES))
    for name in broken:
        print(f"benchmarks.{name} did not end as it should; see above", file=sys.stderr)
    return int(bool(broken))


def run(name: str, quick: bool) -> bool:
    """Run one as a process of its own and keep what it printed; whether it ended well."""
    print(f"--- {name}", flush=True)
    command = [sys.executable, "-m", f"benchmarks.{name}", "--json", *(["--quick"] if quick else [])]
    began, around, measures = time.monotonic(), surroundings(), []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            measures.append(Measure(**json.loads(line)))
            print(line, end="", flush=True)
    if process.returncode:
        return False
    seconds = round(time.monotonic() - began)
    Figures(name=name, quick=quick, seconds=seconds, measures=[asdict(m) for m in measures], **around).keep()
    return True


if __name__ == "__main__":
    sys.exit(main())
