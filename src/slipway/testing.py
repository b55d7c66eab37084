"""A whole platform for tests and benchmarks: real processes on a data directory of their own."""

from __future__ import annotations

import base64
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

_READY_SECONDS = 60.0
_STOP_SECONDS = 60.0


class Platform:
    """`slipway up` on `data` (a new directory must not exist yet) and a free port; a context manager.

    `settings` become `SLIPWAY_…` variables. Raises RuntimeError with the platform's own words if it does not start.
    """

    def __init__(self, data: Path, **settings: object) -> None:
        self.data = data
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def admin_key(self) -> str:
        """The key of the account `admin`."""
        return (self.data / "admin.key").read_text().strip()

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> Platform:
        """Start, and wait until calls are served."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("SLIPWAY_")}
        environment.update({f"SLIPWAY_{name.upper()}": str(value) for name, value in self._settings.items()})
        command = [sys.executable, "-m", "slipway.cli.main", "up", "--data", str(self.data), "--port", str(self.port)]
        self.data.parent.mkdir(parents=True, exist_ok=True)
        with (self.data.parent / f"{self.data.name}.log").open("ab") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self._wait_until_ready()
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the platform; returns the supervisor's exit status."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.wait(_STOP_SECONDS)

    def __enter__(self) -> Platform:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def request(self, method: str, path: str, key: str | None = None, **options: Any) -> httpx.Response:  # noqa: ANN401
        """One request with a key, the admin's by default; raises for a status of 400 and above."""
        headers = {"Authorization": f"Simple {key or self.admin_key}", **options.pop("headers", {})}
        reply = httpx.request(method, f"{self.url}{path}", headers=headers, timeout=120, **options)
        if reply.is_error:
            raise RuntimeError(f"{method} {path}: {reply.status_code} {reply.text}")
        return reply

    def account(self, name: str) -> str:
        """Make a user and return a key of theirs."""
        self.request("POST", "/v1/users", json={"username": name})
        reply: dict[str, Any] = self.request("POST", f"/v1/users/{name}/keys", json={"label": "test"}).json()
        return str(reply["key"])

    def algorithm(self, owner: str, name: str, key: str) -> None:
        """Make an algorithm."""
        body = {"name": name, "details": {"label": name}, "settings": {}}
        self.request("POST", f"/v1/algorithms/{owner}", key, json=body)

    def push(self, owner: str, name: str, key: str, files: Mapping[str, str]) -> tuple[str, str]:
        """Replace the files of an algorithm's repository and push; returns the commit and what git printed."""
        with tempfile.TemporaryDirectory() as directory:
            clone = Path(directory) / "clone"
            credential = base64.b64encode(f"{owner}:{key}".encode()).decode()
            git = ["git", "-c", f"http.extraHeader=Authorization: Basic {credential}"]
            git += ["-c", f"user.name={owner}", "-c", f"user.email={owner}@example.com"]
            _run([*git, "clone", "-q", f"{self.url}/git/{owner}/{name}.git", str(clone)])
            for path, text in files.items():
                (clone / path).parent.mkdir(parents=True, exist_ok=True)
                (clone / path).write_text(text)
            _run([*git, "-C", str(clone), "add", "-A"])
            _run([*git, "-C", str(clone), "commit", "-q", "--allow-empty", "-m", "change"])
            output = _run([*git, "-C", str(clone), "push", "origin", "HEAD"])
            return _run([*git, "-C", str(clone), "rev-parse", "HEAD"]).strip(), output

    def deploy(self, owner: str, name: str, key: str, source: str, requirements: str = "", **sections: str) -> str:
        """Make, push and build an algorithm of one Python file; returns its commit. Raises if the build fails.

        `sections` are further lines of slipway.toml by section name.
        """
        self.algorithm(owner, name, key)
        manifest = f'[algorithm]\nname = "{name}"\n' + "".join(f"[{k}]\n{v}\n" for k, v in sections.items())
        files = {f"src/{name}.py": source, "requirements.txt": requirements, "slipway.toml": manifest}
        commit, output = self.push(owner, name, key, files)
        builds = self.request("GET", f"/v1/algorithms/{owner}/{name}/builds", key).json()["results"]
        build = next(build for build in builds if build["commit_sha"] == commit)
        if build["status"] != "succeeded":
            raise RuntimeError(f"the build failed:\n{output}")
        return commit

    def publish(self, owner: str, name: str, key: str, callability: str = "private") -> str:
        """Publish the newest build; returns its semantic version."""
        body = {"settings": {"algorithm_callability": callability}}
        reply: dict[str, Any] = self.request("POST", f"/v1/algorithms/{owner}/{name}/versions", key, json=body).json()
        return str(reply["version_info"]["semantic_version"])

    def processes(self) -> dict[str, list[int]]:
        """Process ids of the platform's processes by name (`control`, `host`, `gateway`, `observer`)."""
        found: dict[str, list[int]] = {}
        for pid in descendants(self.pid):
            command = _command(pid)
            if "slipway.app" in command:
                found.setdefault(command[command.index("slipway.app") + 1], []).append(pid)
        return found

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + _READY_SECONDS
        assert self._process is not None
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                if httpx.get(f"{self.url}/health/ready", timeout=2).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        words = (self.data.parent / f"{self.data.name}.log").read_text()[-2000:]
        self.stop(signal.SIGKILL)
        raise RuntimeError(f"the platform did not start:\n{words}")


def free_port() -> int:
    """A TCP port on loopback that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def descendants(pid: int) -> list[int]:
    """All living processes below `pid`, itself not included."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parts = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if parts[0] != "Z":
                children.setdefault(int(parts[1]), []).append(int(entry.name))
    found: list[int] = []
    todo = [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def _command(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []


def _run(command: list[str]) -> str:
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr
