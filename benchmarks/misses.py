"""Which calls were cold, by the journal; and which of these found no zygote of their environment."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from dataclasses import dataclass, replace

from benchmarks import machine
from slipway.ids import id_text
from slipway.journal.reader import read_all
from slipway.journal.records import CallRecord
from slipway.testing import Platform


@dataclass(frozen=True)
class Call:
    """What is on record of one."""

    cold: bool  # it waited for a worker to be started
    version: str  # its id
    arrived: float  # Unix seconds
    ended: float


def calls_on_record(platform: Platform, since: float) -> dict[str, Call]:
    """By request id, of calls that ended since then.

    The journal calls the first call of a worker cold; those that came while that one waited have waited with it.
    """
    found, starts = {}, defaultdict(list)
    for entry in read_all(platform.data / "journal", since):
        record = entry.record
        if isinstance(record, CallRecord):
            arrived = record.time - (record.queue_us + record.duration_us) / 1e6
            call = Call(record.cold_start, record.version_id, arrived, record.time)
            found[id_text(record.call_id)] = call
            if call.cold:
                starts[call.version].append(call)
    return {request: _with_its_start(call, starts[call.version]) for request, call in found.items()}


def _with_its_start(call: Call, starts: list[Call]) -> Call:
    waited = any(start.arrived <= call.arrived <= start.ended for start in starts)
    return replace(call, cold=call.cold or waited)


@dataclass(kw_only=True)
class _Zygote:
    environment: str
    born: float  # Unix seconds
    gone: float = math.inf


class Watch:
    """Looks again and again which zygotes there are; `versions` has each version's environment."""

    def __init__(self, platform: Platform, versions: dict[str, str]) -> None:
        (self._host,) = platform.processes()["host"]
        self._versions = versions
        self._alive: dict[int, _Zygote] = {}
        self._all: list[_Zygote] = []
        self.look()

    def look(self) -> None:
        """Note those that are new, and those that are gone."""
        now = machine.zygotes(self._host)
        for pid in self._alive.keys() - now.keys():
            self._alive.pop(pid).gone = time.time()
        for pid in now.keys() - self._alive.keys():
            self._alive[pid] = _Zygote(environment=now[pid], born=machine.born(pid))
            self._all.append(self._alive[pid])

    def missed(self, calls: dict[str, Call]) -> set[str]:
        """Request ids of the cold calls that arrived while no zygote of their environment was ready.

        One is ready when the first cold call after its birth has ended. `calls` are all since the first look.
        """
        cold: dict[str, list[tuple[str, Call]]] = defaultdict(list)  # by environment
        for request, call in calls.items():
            if call.cold:
                cold[self._versions[call.version]].append((request, call))
        missed = set()
        for environment, those in cold.items():
            spans = self._ready(environment, [call.ended for _, call in those])
            missed |= {
                request for request, call in those if not any(begin <= call.arrived <= end for begin, end in spans)
            }
        return missed

    def _ready(self, environment: str, ends: list[float]) -> list[tuple[float, float]]:
        """From when to when each zygote of the environment was ready."""
        zygotes = [zygote for zygote in self._all if zygote.environment == environment]
        return [(min((e for e in ends if e >= zygote.born), default=math.inf), zygote.gone) for zygote in zygotes]
