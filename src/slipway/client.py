"""A typed HTTP client of the platform: what the command line and notebooks use. Synchronous."""

from __future__ import annotations

import json
import os
import stat
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

import httpx
import msgspec

DEFAULT_ADDRESS = "http://127.0.0.1:8080"
_CHUNK = 256 * 1024
_CONNECT_SECONDS = 10.0

Json = dict[str, Any]
Progress = Callable[[int], None]  # takes the bytes sent so far


class ClientError(Exception):
    """The platform refused, or cannot be reached. `status` is its HTTP status, 0 without a reply."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class AlgorithmFailed(ClientError):
    """The algorithm itself answered with an error."""

    def __init__(self, message: str, error_type: str, stack_trace: str) -> None:
        super().__init__(f"{error_type}: {message}", 200)
        self.error_type, self.stack_trace = error_type, stack_trace


class Login(msgspec.Struct, frozen=True):
    """Where the platform is, and the key to use there."""

    address: str
    key: str


def config_file() -> Path:
    """Where `slipway login` keeps address and key; mode 0600."""
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(home).expanduser() / "slipway" / "config.toml"


def find_login(address: str | None = None, key: str | None = None, environ: Mapping[str, str] = os.environ) -> Login:
    """What is given, else `SLIPWAY_API` and `SLIPWAY_API_KEY`, else `ALGORITHMIA_…`, else what `slipway login` kept.

    Raises ClientError where there is no key.
    """
    kept = _kept()
    found_address = (
        address
        or environ.get("SLIPWAY_API")
        or environ.get("ALGORITHMIA_API")
        or kept.get("address")
        or DEFAULT_ADDRESS
    )
    found_key = key or environ.get("SLIPWAY_API_KEY") or environ.get("ALGORITHMIA_API_KEY") or kept.get("key")
    if not found_key:
        raise ClientError("no API key: use `slipway login`, or set SLIPWAY_API_KEY")
    return Login(found_address.rstrip("/"), found_key)


def keep_login(login: Login) -> Path:
    """Remember address and key for this user."""
    file = config_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, stat.S_IRUSR | stat.S_IWUSR)
    with os.fdopen(descriptor, "w") as out:
        out.write(f"address = {json.dumps(login.address)}\nkey = {json.dumps(login.key)}\n")
    return file


class Client:
    """One platform, by one key. A context manager. Every method raises ClientError."""

    def __init__(self, login: Login) -> None:
        self.login = login
        self._http = httpx.Client(
            base_url=login.address,
            headers={"Authorization": f"Simple {login.key}"},
            timeout=httpx.Timeout(None, connect=_CONNECT_SECONDS),
        )

    def __enter__(self) -> Client:
        """Ready for use."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connections."""
        self._http.close()

    # --- calls ------------------------------------------------------------------------------------------------------

    def call(
        self, target: str, body: bytes, content_type: str, *, timeout: float | None = None, stdout: bool = False
    ) -> Json:
        """Call `owner/name[/version]`; the reply's `result`, `metadata` and `request_id`.

        Raises AlgorithmFailed where the algorithm answers with an error.
        """
        query = {"timeout": str(timeout)} if timeout else {}
        if stdout:
            query["stdout"] = "true"
        reply = self._json(
            "POST", f"/v1/algo/{target}", content=body, params=query, headers={"Content-Type": content_type}
        )
        if "error" in reply:
            error = reply["error"]
            raise AlgorithmFailed(error["message"], error["error_type"], error.get("stacktrace", ""))
        return reply

    def call_raw(self, target: str, body: bytes, content_type: str, *, timeout: float | None = None) -> bytes:
        """Call with `output=raw`: the bare result."""
        query = {"output": "raw", **({"timeout": str(timeout)} if timeout else {})}
        headers = {"Content-Type": content_type}
        return self._send("POST", f"/v1/algo/{target}", content=body, params=query, headers=headers).content

    # --- accounts ---------------------------------------------------------------------------------------------------

    def whoami(self) -> Json:
        """The account of the key."""
        return self._json("GET", "/v1/whoami")

    def create_user(self, name: str, email: str = "") -> Json:
        """Make a user; administrators only."""
        return self._json("POST", "/v1/users", json={"username": name, "email": email})

    def users(self) -> list[Json]:
        """All users; administrators only."""
        return self._results("/v1/users")

    def create_key(self, user: str, label: str = "") -> Json:
        """Make a key; its text is in this reply only, as `key`."""
        return self._json("POST", f"/v1/users/{user}/keys", json={"label": label})

    def keys(self, user: str) -> list[Json]:
        """A user's keys."""
        return self._results(f"/v1/users/{user}/keys")

    def revoke_key(self, user: str, key_id: str) -> Json:
        """Revoke a key."""
        return self._json("DELETE", f"/v1/users/{user}/keys/{key_id}")

    # --- algorithms -------------------------------------------------------------------------------------------------

    def algorithms(self) -> list[Json]:
        """The key's own algorithms."""
        return self._results("/v1/algorithms")

    def ensure_algorithm(self, owner: str, name: str) -> bool:
        """Make the algorithm unless it is there; whether it was made."""
        body = {"name": name, "details": {"label": name}, "settings": {"language": "python"}}
        reply = self._http_send("POST", f"/v1/algorithms/{owner}", json=body)
        if reply.status_code == 409:
            return False
        self._check(reply)
        return True

    def publish(self, owner: str, name: str, **wanted: str) -> Json:
        """Publish: `callability`, `version_type`, `release_notes`, `git_hash`, `sample_input`, `sample_output`."""
        callability = wanted.pop("callability", None)
        settings = {"algorithm_callability": callability} if callability else {}
        body = {"settings": settings, "version_info": wanted}
        return self._json("POST", f"/v1/algorithms/{owner}/{name}/versions", json=body)

    def versions(self, owner: str, name: str) -> list[Json]:
        """Versions, newest first."""
        return self._results(f"/v1/algorithms/{owner}/{name}/versions")

    def builds(self, owner: str, name: str) -> list[Json]:
        """Builds, newest first."""
        return self._results(f"/v1/algorithms/{owner}/{name}/builds")

    def build_log(self, owner: str, name: str, build: str) -> Iterator[str]:
        """A build's log, line by line, until the build has ended."""
        return self._lines(f"/v1/algorithms/{owner}/{name}/builds/{build}/logs", follow="true")

    def logs(self, owner: str, name: str, *, since: float = 0.0, follow: bool = False) -> Iterator[Json]:
        """What the algorithm printed: the records of the calls that printed."""
        path = f"/v1/algorithms/{owner}/{name}/logs"
        return (json.loads(line) for line in self._lines(path, since=since, follow=follow) if line)

    def audit(
        self, *, since: float = 0.0, caller: str = "", algorithm: str = "", follow: bool = False
    ) -> Iterator[Json]:
        """Records that the key may see."""
        lines = self._lines("/v1/audit", since=since, caller=caller, algorithm=algorithm, follow=follow)
        return (json.loads(line) for line in lines if line)

    def status(self) -> Json:
        """The platform's state; administrators only."""
        return self._json("GET", "/v1/status")

    # --- data -------------------------------------------------------------------------------------------------------

    def ensure_directory(self, owner: str, name: str) -> None:
        """Make `data://owner/name` unless it is there."""
        self._json("POST", f"/v1/data/{owner}", json={"name": name})

    def upload(self, path: str, file: BinaryIO, progress: Progress | None = None) -> Json:
        """Write `owner/directory/file`; the reply's `sha256` is the platform's own count."""

        def chunks() -> Iterator[bytes]:
            sent = 0
            while chunk := file.read(_CHUNK):
                sent += len(chunk)
                yield chunk
                if progress is not None:
                    progress(sent)

        return self._json("PUT", f"/v1/data/{path}", content=chunks())

    def download(self, path: str) -> bytes:
        """A hosted file's bytes."""
        return self._send("GET", f"/v1/data/{path}").content

    # --- requests ---------------------------------------------------------------------------------------------------

    def _results(self, path: str) -> list[Json]:
        """All pages of a listing."""
        found: list[Json] = []
        marker = None
        while True:
            page = self._json("GET", path, params={"marker": marker} if marker else {})
            found += page["results"]
            marker = page.get("marker")
            if not marker:
                return found

    def _lines(self, path: str, **query: str | float | bool) -> Iterator[str]:
        params = {name: str(value).lower() if isinstance(value, bool) else value for name, value in query.items()}
        try:
            with self._http.stream("GET", path, params=params) as reply:
                if reply.is_error:
                    reply.read()
                self._check(reply)
                yield from reply.iter_lines()
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _json(self, method: str, path: str, **options: Any) -> Json:  # noqa: ANN401 - httpx's own options
        reply: Json = self._send(method, path, **options).json()
        return reply

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401
        reply = self._http_send(method, path, **options)
        self._check(reply)
        return reply

    def _http_send(self, method: str, path: str, **options: Any) -> httpx.Response:  # noqa: ANN401
        try:
            return self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise self._unreachable(error) from error

    def _unreachable(self, error: httpx.TransportError) -> ClientError:
        return ClientError(f"no platform answers at {self.login.address}: {error}")

    @staticmethod
    def _check(reply: httpx.Response) -> None:
        if not reply.is_error:
            return
        try:
            error = reply.json()["error"]
            message = error if isinstance(error, str) else error["message"]
        except (ValueError, KeyError, TypeError):
            message = reply.text[:500] or reply.reason_phrase
        raise ClientError(message, reply.status_code)


def _kept() -> dict[str, str]:
    try:
        return {name: str(value) for name, value in tomllib.loads(config_file().read_text()).items()}
    except (OSError, tomllib.TOMLDecodeError):
        return {}
