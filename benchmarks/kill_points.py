"""kill -9 of a random process at 100 random moments, while files are uploaded, versions published, backups taken, and
calls made that outlive their request. What was acknowledged must be there at the end, whole and once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from benchmarks.harness import Measure, Report, arguments
from slipway.testing import Platform, descendants

SLOW_ECHO = "import time\n\n\ndef apply(input):\n    time.sleep(0.05)\n    return input\n"
OWNER = "bench"
_PROCESSES = ("gateway", "control", "host", "observer", "worker", "backup", "supervisor")
_SETTLED_SECONDS = 120.0

# What a client sees of a platform that is being killed, and answers by trying again.
_BROKEN = (httpx.TransportError, RuntimeError, subprocess.SubprocessError)


class Activity:
    """Something a user does again and again, in a thread, until told to stop; it remembers what was acknowledged."""

    name = ""

    def __init__(self, platform: Platform, key: str) -> None:
        self.platform, self.key = platform, key
        self.acknowledged = 0
        self.attempts = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._repeat)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Let the attempt that is going on end."""
        self._stopping.set()
        self._thread.join()

    def attempt(self) -> None:
        """Do it once; raises one of the errors that a killed platform causes."""
        raise NotImplementedError

    def violations(self) -> Iterator[str]:
        """What is not as it was acknowledged, now that the platform runs undisturbed."""
        raise NotImplementedError

    def _repeat(self) -> None:
        while not self._stopping.is_set():
            self.attempts += 1
            try:
                self.attempt()
            except _BROKEN:
                time.sleep(0.02)
            else:
                self.acknowledged += 1


class Uploads(Activity):
    """Replaces a few files over and over; each content names itself by the digest in front of it."""

    name = "uploads"

    def __init__(self, platform: Platform, key: str) -> None:
        super().__init__(platform, key)
        self._tried: dict[str, list[bytes]] = {
            f"file{number}": [] for number in range(3)
        }  # since the last acknowledged

    def attempt(self) -> None:
        """Write one file, read one."""
        name = random.choice(list(self._tried))
        body = os.urandom(random.choice([10, 100_000, 3_000_000]))
        content = hashlib.sha256(body).digest() + body
        self._tried[name].append(content[:32])
        self.platform.request("PUT", f"/v1/data/{OWNER}/files/{name}", self.key, content=content)
        self._tried[name] = [content[:32]]
        read = self.platform.request("GET", f"/v1/data/{OWNER}/files/{name}", self.key).content
        if read != content:
            raise AssertionError(f"{name} is not what was just written")

    def violations(self) -> Iterator[str]:
        """Files that are torn, or older than the last acknowledged write; names that nobody gave."""
        listing = self.platform.request("GET", f"/v1/data/{OWNER}/files", self.key).json()
        for entry in listing["files"]:
            name = entry["filename"]
            content = self.platform.request("GET", f"/v1/data/{OWNER}/files/{name}", self.key).content
            if hashlib.sha256(content[32:]).digest() != content[:32]:
                yield f"{name} is torn"
            if content[:32] not in self._tried.get(name, []):
                yield f"{name} is not what was written last"


class Publishes(Activity):
    """Pushes a version that answers with a number of its own, and publishes it."""

    name = "publishes"

    def __init__(self, platform: Platform, key: str) -> None:
        super().__init__(platform, key)
        platform.algorithm(OWNER, "numbered", key)
        self._published: dict[str, int] = {}  # semantic version → what it must answer

    def attempt(self) -> None:
        """Push and publish by hash."""
        number = self.attempts
        source = f"def apply(input):\n    return {number}\n"
        commit, _ = self.platform.push(OWNER, "numbered", self.key, {"src/numbered.py": source})
        path = f"/v1/algorithms/{OWNER}/numbered/versions"
        body = {"version_info": {"git_hash": commit, "version_type": "revision"}}
        reply = self.platform.request("POST", path, self.key, json=body).json()
        self._published[reply["version_info"]["semantic_version"]] = number

    def violations(self) -> Iterator[str]:
        """Published versions that are not listed, or listed ones that do not answer as they must."""
        listed = {version for version, _ in _all_versions(self.platform, self.key)}
        for version in self._published.keys() - listed:
            yield f"numbered/{version} was published and is gone"
        for version in sorted(listed):
            answer = self.platform.request("POST", f"/v1/algo/{OWNER}/numbered/{version}", self.key, json=1).json()
            if "result" not in answer or answer["result"] != self._published.get(version, answer["result"]):
                yield f"numbered/{version} answers {answer}"


class AsynchronousCalls(Activity):
    """Calls whose results are fetched later."""

    name = "asynchronous_calls"

    def __init__(self, platform: Platform, key: str) -> None:
        super().__init__(platform, key)
        self._accepted: dict[str, int] = {}  # request id → its input, which is its result

    def attempt(self) -> None:
        """Hand one over."""
        number = self.attempts
        path = f"/v1/algo/{OWNER}/echo?output=void"
        reply = self.platform.request("POST", path, self.key, json=number).json()
        if "error" in reply:
            raise RuntimeError(reply["error"]["message"])
        self._accepted[reply["request_id"]] = number
        time.sleep(0.02)

    def violations(self) -> Iterator[str]:
        """Accepted calls that have no result, or not theirs."""
        for identity, number in self._accepted.items():
            found = self._ended(identity)
            if found.get("status") != "succeeded" or found.get("result") != number:
                yield f"call {identity} of {number}: {found}"

    def _ended(self, identity: str) -> dict[str, Any]:
        deadline = time.monotonic() + _SETTLED_SECONDS
        while True:
            reply = self.platform.request("GET", f"/v1/requests/{identity}", self.key)
            found: dict[str, Any] = reply.json()
            if found["status"] in ("succeeded", "failed") or time.monotonic() > deadline:
                return found
            time.sleep(0.1)


class Backups(Activity):
    """Takes backups; every one that is there must be whole."""

    name = "backups"

    def __init__(self, platform: Platform, key: str, directory: Path) -> None:
        super().__init__(platform, key)
        self._directory = directory
        directory.mkdir()
        self.process: subprocess.Popen[bytes] | None = None

    def attempt(self) -> None:
        """Take one."""
        command = [sys.executable, "-m", "slipway.cli.main", "backup", str(self._target(self.attempts))]
        command += ["--data", str(self.platform.data)]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if self.process.wait():
            raise RuntimeError("the backup failed")
        # Only the newest is kept: a hundred would fill the disk.
        for old in self._directory.iterdir():
            if old != self._target(self.attempts) and not old.name.startswith("."):
                shutil.rmtree(old) if old.is_dir() else old.unlink()

    def violations(self) -> Iterator[str]:
        """Backups that cannot be restored, or whose ledger does not verify."""
        for backup in sorted(self._directory.iterdir()):
            if backup.name.startswith("."):
                continue  # what a killed backup left, by a name that says so
            target = self._directory.parent / f"restored-{backup.name}"
            for verb in (["restore", str(backup)], ["audit", "verify"]):
                done = subprocess.run(
                    [sys.executable, "-m", "slipway.cli.main", *verb, "--data", str(target)],
                    capture_output=True,
                    text=True,
                )
                if done.returncode:
                    yield f"{backup.name}: {verb[0]} says {done.stdout}{done.stderr}"

    def _target(self, number: int) -> Path:
        return self._directory / f"backup-{number}"


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__ or "")
    report = Report(options.json)
    points = 10 if options.quick else 100
    seed = random.randrange(10**6)
    random.seed(seed)
    report.add(Measure(name="seed", value=seed, unit=""))
    with tempfile.TemporaryDirectory() as directory:
        platform = Platform(Path(directory) / "data").start()
        try:
            run(report, platform, points, Path(directory))
        finally:
            platform.stop()


def run(report: Report, platform: Platform, points: int, directory: Path) -> None:
    """Disturb for that many points, then look."""
    key = platform.account(OWNER)
    platform.deploy(OWNER, "echo", key, SLOW_ECHO)
    platform.publish(OWNER, "echo", key)
    platform.request("POST", f"/v1/data/{OWNER}", key, json={"name": "files"})
    backups = Backups(platform, key, directory / "backups")
    activities = [Uploads(platform, key), Publishes(platform, key), AsynchronousCalls(platform, key), backups]
    for activity in activities:
        activity.start()
    killed = _kill(platform, backups, points)
    for activity in activities:
        activity.stop()
    _wait_until_ready(platform)
    for name in _PROCESSES:
        report.add(Measure(name=f"killed_{name}", value=killed.count(name), unit="times"))
    for activity in activities:
        found = list(activity.violations())
        for violation in found[:5]:
            print(f"  {activity.name}: {violation}", file=sys.stderr)
        report.add(Measure(name=f"{activity.name}_acknowledged", value=activity.acknowledged, unit=""))
        report.add(Measure(name=f"{activity.name}_tried", value=activity.attempts, unit=""))
        report.add(Measure(name=f"{activity.name}_violations", value=len(found), unit="", target="0", met=not found))


def _kill(platform: Platform, backups: Backups, points: int) -> list[str]:
    """Kill something at each of so many moments; what it was."""
    killed: list[str] = []
    while len(killed) < points:
        time.sleep(random.uniform(0.05, 1.0))
        name = random.choice(_PROCESSES)
        pids = _victims(platform, backups, name)
        if pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(random.choice(pids), signal.SIGKILL)
                killed.append(name)
        if name == "supervisor":
            platform.stop(signal.SIGKILL)
            platform.start()
    return killed


def _victims(platform: Platform, backups: Backups, name: str) -> list[int]:
    if name == "supervisor":
        return [platform.pid]
    if name == "backup":
        return [backups.process.pid] if backups.process is not None and backups.process.poll() is None else []
    processes = platform.processes()
    if name == "worker":
        return [pid for host in processes.get("host", []) for pid in descendants(host)]
    return processes.get(name, [])


def _all_versions(platform: Platform, key: str) -> Iterator[tuple[str, str]]:
    """Semantic version and hash of every published version."""
    marker = ""
    while True:
        query = f"?limit=50&published=true{marker}"
        page = platform.request("GET", f"/v1/algorithms/{OWNER}/numbered/versions{query}", key).json()
        for found in page["results"]:
            yield found["version_info"]["semantic_version"], found["version_info"]["git_hash"]
        if not page.get("marker"):
            return
        marker = f"&marker={page['marker']}"


def _wait_until_ready(platform: Platform) -> None:
    deadline = time.monotonic() + _SETTLED_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{platform.url}/health/ready").status_code == 200:
                return
        time.sleep(0.1)


if __name__ == "__main__":
    main()
