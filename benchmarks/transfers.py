"""200 uploads, then 200 downloads, of 50 MB at once, while echo is called 1,000 times a second.

Elsewhere the transfers' clients would be other machines. Here they run at the lowest priority, in a session of their
own (Linux weighs sessions against each other: sched(7)), first behind a network of 2 Gbit/s, then as fast as they can:
one process in Python that wants a whole processor, of which such a machine has two. Echo's latency beside them is
compared with echo's alone, in the same run.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.harness import Measure, Report, arguments, at_most
from benchmarks.open_loop import Calls, OpenLoop, Target
from slipway.testing import Platform

ECHO = "def apply(input):\n    return input\n"
RATE = 1000  # calls a second
_NETWORK = 250_000_000  # bytes a second that all clients have together
_UNPACED = 0
_CHUNK = 1 << 18


@dataclass(frozen=True, kw_only=True)
class Transfers:
    """All uploads, or all downloads, at once."""

    verb: str
    files: int
    size: int  # bytes of each
    network: int  # bytes a second of all together; 0: as fast as they can

    def run(self, platform: Platform, key: str) -> tuple[float, int]:
        """Do them in a process of the lowest priority; bytes a second, and how many files were not as they should."""
        command = [sys.executable, "-m", "benchmarks.transfers", self.verb, platform.url, key]
        command += [str(self.files), str(self.size), str(self.network)]
        began = time.monotonic()
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, start_new_session=True)
        return self.files * self.size / (time.monotonic() - began), json.loads(done.stdout)["wrong"]


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__ or "")
    report = Report(options.json)
    files, size = (40, 10_000_000) if options.quick else (200, 50_000_000)
    with tempfile.TemporaryDirectory() as directory, Platform(Path(directory) / "data") as platform:
        key = platform.account("bench")
        platform.deploy("bench", "echo", key, ECHO, scaling="min_replicas = 1")
        platform.publish("bench", "echo", key)
        platform.request("POST", "/v1/data/bench", key, json={"name": "files"})
        time.sleep(2)
        targets = [Target("/v1/algo/bench/echo")]
        measure(report, platform, key, lambda: OpenLoop(platform.url, key, RATE, targets), (files, size))


def measure(
    report: Report, platform: Platform, key: str, echo: Callable[[], OpenLoop], transferred: tuple[int, int]
) -> None:
    """Echo alone, beside the uploads, beside the downloads; memory at last."""
    before = {name: _memory(platform, name, "VmRSS") for name in ("control", "gateway")}
    alone = _alone(echo)
    _add(report, "echo_alone", alone)
    files, size = transferred
    for network, how in ((_NETWORK, ""), (_UNPACED, "_unpaced")):
        for verb in ("upload", "download"):
            load = echo()
            transfers = Transfers(verb=verb, files=files, size=size, network=network)
            rate, wrong = transfers.run(platform, key)
            _add(report, f"echo_beside_{verb}s{how}", load.stop(), alone if network else None)
            report.add(Measure(name=f"{verb}s{how}", value=rate / 1e6, unit="MB/s"))
            report.add(at_most(f"{verb}s{how}_wrong", wrong, "files", 0))
    for name, resident in before.items():
        peak = _memory(platform, name, "VmHWM")
        report.add(Measure(name=f"{name}_memory_before", value=resident, unit="MiB"))
        report.add(at_most(f"{name}_memory_peak", peak, "MiB", 300))


def _alone(echo: Callable[[], OpenLoop]) -> Calls:
    load = echo()
    time.sleep(10)
    return load.stop()


def _add(report: Report, name: str, seen: Calls, alone: Calls | None = None) -> None:
    report.add(Measure(name=f"{name}_p50", value=seen.ms(0.5), unit="ms"))
    p99 = Measure(name=f"{name}_p99", value=seen.ms(0.99), unit="ms")
    report.add(p99 if alone is None else at_most(p99.name, p99.value, "ms", round(2 * alone.ms(0.99), 2)))
    report.add(Measure(name=f"{name}_worst", value=seen.ms(1.0), unit="ms"))
    report.add(at_most(f"{name}_wrong", seen.wrong, "calls", 0))


def _memory(platform: Platform, name: str, field: str) -> float:
    """MiB of a process, now (`VmRSS`) or at most (`VmHWM`)."""
    (pid,) = platform.processes()[name]
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


# --- the transfers' own process --------------------------------------------------------------------------------------


class _Client:
    """Moves one file a call; file number N is the common content behind its own number."""

    def __init__(self, url: str, key: str, size: int, network: float) -> None:
        self._address = urlsplit(url)
        self._headers = {"Authorization": f"Simple {key}"}
        self._common = memoryview(hashlib.shake_256(b"common").digest(_CHUNK))  # alike in both processes
        self._size = size
        self._network = network  # bytes a second; 0: no limit

    def upload(self, number: int) -> bool:
        """Whether the platform's digest of what it stored is right."""
        digest = hashlib.sha256()
        connection = self._request("PUT", number, {"Content-Length": str(self._size)})
        with contextlib.suppress(ConnectionError):  # the reply tells why it was refused
            for chunk in self._paced(number):
                digest.update(chunk)
                connection.send(chunk)
        reply = connection.getresponse().read()
        connection.close()
        return digest.hexdigest().encode() in reply or _complain(number, reply)

    def download(self, number: int) -> bool:
        """Whether every byte that comes is right."""
        connection = self._request("GET", number, {})
        response = connection.getresponse()
        right = response.status == 200
        buffer = memoryview(bytearray(_CHUNK))
        for expected in self._paced(number):
            right = right and _filled(response, buffer[: len(expected)]) and buffer[: len(expected)] == expected
        right = right and response.read() == b""
        connection.close()
        return right

    def _request(self, verb: str, number: int, headers: dict[str, str]) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self._address.hostname or "", self._address.port, timeout=600)
        connection.putrequest(verb, f"/v1/data/bench/files/{number}")
        for name, value in {**self._headers, **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        return connection

    def _paced(self, number: int) -> Iterator[memoryview]:
        """Each piece when the network has moved those before it."""
        began, moved = time.monotonic(), 0
        for chunk in self._chunks(number):
            yield chunk
            moved += len(chunk)
            if self._network:
                time.sleep(max(0.0, began + moved / self._network - time.monotonic()))

    def _chunks(self, number: int) -> list[memoryview]:
        """The file's content, in pieces."""
        first = memoryview(b"%16d" % number)
        whole, rest = divmod(self._size - len(first), _CHUNK)
        return [first, *[self._common] * whole, self._common[:rest]]


def _complain(number: int, reply: bytes) -> bool:
    print(f"file {number}: {reply[:200]!r}", file=sys.stderr)
    return False


def _filled(response: http.client.HTTPResponse, buffer: memoryview) -> bool:
    filled = 0
    while filled < len(buffer):
        count = response.readinto(buffer[filled:])
        if not count:
            return False
        filled += count
    return True


def _transfer(verb: str, url: str, key: str, files: str, size: str, network: str) -> None:
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    client = _Client(url, key, int(size), int(network) / int(files))
    work = client.upload if verb == "upload" else client.download
    with ThreadPoolExecutor(int(files)) as pool:
        right = list(pool.map(work, range(int(files))))
    print(json.dumps({"wrong": right.count(False)}))


if __name__ == "__main__":
    if len(sys.argv) > 3:
        _transfer(*sys.argv[1:])
    else:
        main()
