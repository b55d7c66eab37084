"""What a benchmark printed, kept with the machine and the versions that it ran with."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.harness import Measure

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "docs" / "benchmarks"
_PEERS = ROOT / ".cache" / "peers"
_PACKAGES = {"nvidia_pytriton": "pytriton"}  # whose peer has another name
_OWN = ("uvicorn", "uvloop", "scikit-learn")


@dataclass(kw_only=True)
class Figures:
    """One run of one benchmark."""

    name: str
    quick: bool
    seconds: int  # that it took
    date: str
    machine: str
    load: float  # of the machine over the minute before, which should be near nothing
    versions: dict[str, str]
    measures: list[dict[str, Any]]

    @property
    def all(self) -> list[Measure]:
        """The measures."""
        return [Measure(**fields) for fields in self.measures]

    def keep(self) -> None:
        """Write them down, in place of earlier ones."""
        KEPT.mkdir(parents=True, exist_ok=True)
        (KEPT / f"{self.name}.json").write_text(json.dumps(asdict(self), indent=1) + "\n")


def load_figures(names: Iterable[str]) -> list[Figures]:
    """Those that are kept, in the order of the names."""
    files = [KEPT / f"{name}.json" for name in names]
    return [Figures(**json.loads(file.read_text())) for file in files if file.exists()]


def surroundings() -> dict[str, Any]:
    """Date, machine, load and versions, as they are now."""
    return {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": _machine(),
        "load": round(os.getloadavg()[0], 1),
        "versions": {
            "Slipway": version("slipway"),
            "Python": platform.python_version(),
            **{name: version(name) for name in _OWN},
            **_peer_versions(),
        },
    }


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
    return f"{os.cpu_count()} cores ({model}), {memory:.0f} GiB"


def _peer_versions() -> dict[str, str]:
    """Of each peer whose environment is there."""
    found = {}
    for folder in sorted(_PEERS.glob("*/lib/python*/site-packages/*.dist-info")):
        package, _, number = folder.name.removesuffix(".dist-info").rpartition("-")
        peer = _PACKAGES.get(package, package)
        if folder.parents[3].name == peer:
            found[peer] = number
    return found
