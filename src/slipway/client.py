"""A typed client of the platform's HTTP API, for scripts, notebooks and the command line.

with Client() as client:
    client.call("ann/hello", "world").result
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from types import TracebackType
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from slipway.connection import AlgorithmFailed, ClientError, Connection
from slipway.credentials import find_credentials
from slipway.event_stream import CONTENT_TYPE, read_events
from slipway.hosted_data import HostedData
from slipway.resources import (
    AccountInfo,
    AlgorithmInfo,
    Answer,
    BuildInfo,
    CallResult,
    Execution,
    KeyInfo,
    Page,
    Policies,
    RequestInfo,
    TriedCase,
)
from slipway.types import Callability

__all__ = ["AlgorithmFailed", "Client", "ClientError"]

T = TypeVar("T")


class Client:
    """The platform at `api`, seen with `key`; both as `slipway.credentials` finds them where they are not given.

    Every method raises ClientError; `timeout` (seconds) is for one request.
    """

    def __init__(self, api: str | None = None, key: str | None = None, timeout: float = 300.0) -> None:
        self._connection = Connection(find_credentials(api, key), timeout)
        self.data = HostedData(self._connection)

    @property
    def api(self) -> str:
        """The platform's address."""
        return self._connection.api

    @property
    def key(self) -> str:
        """The key in use."""
        return self._connection.key

    def __enter__(self) -> Client:
        """The client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    # --- accounts and keys ---

    def whoami(self) -> AccountInfo:
        """The account that the key belongs to."""
        return self._connection.decoded(AccountInfo, "GET", "/v1/whoami")

    def accounts(self) -> list[AccountInfo]:
        """All accounts; for administrators."""
        return self._results(AccountInfo, "/v1/users")

    def create_account(self, username: str, email: str = "") -> AccountInfo:
        """Make a user; for administrators."""
        body = {"username": username, "email": email}
        return self._connection.decoded(AccountInfo, "POST", "/v1/users", json=body)

    def keys(self, username: str) -> list[KeyInfo]:
        """A user's keys."""
        return self._results(KeyInfo, f"/v1/users/{_part(username)}/keys")

    def create_key(self, username: str, label: str = "") -> KeyInfo:
        """Make a key; its text is in `key`, now and never again."""
        return self._connection.decoded(KeyInfo, "POST", f"/v1/users/{_part(username)}/keys", json={"label": label})

    def revoke_key(self, username: str, key_id: str) -> KeyInfo:
        """Have a key refused from now on."""
        return self._connection.decoded(KeyInfo, "DELETE", f"/v1/users/{_part(username)}/keys/{_part(key_id)}")

    # --- organizations' policies ---

    def policies(self, organization: str) -> str:
        """An organization's own policies, in Cedar; empty where it has none."""
        return self._connection.decoded(Policies, "GET", _policies(organization)).text

    def put_policies(self, organization: str, text: str) -> None:
        """Have these in force, in place of the earlier ones."""
        self._connection.decoded(Policies, "PUT", _policies(organization), json={"text": text})

    def drop_policies(self, organization: str) -> None:
        """Have none in force."""
        self._connection.request("DELETE", _policies(organization))

    def try_policies(self, organization: str, cases: list[dict[str, str]], text: str | None = None) -> list[TriedCase]:
        """What policies say to cases of `account`, `action`, `resource` and `expect`; those in force without `text`."""
        body = {"cases": cases, "text": text}
        return self._connection.decoded(list[TriedCase], "POST", f"{_policies(organization)}/test", json=body)

    def why(self, key_id: str, action: str, resource: str) -> Answer:
        """Whether a key may do that, and which policies say so."""
        question = {"key": key_id, "action": action, "resource": resource}
        return self._connection.decoded(Answer, "GET", "/v1/why", params=question)

    # --- algorithms, versions, builds ---

    def algorithms(self, owner: str = "") -> list[AlgorithmInfo]:
        """An account's algorithms; without one, all that the key may manage."""
        return self._results(AlgorithmInfo, f"/v1/algorithms/{_part(owner)}" if owner else "/v1/algorithms")

    def algorithm(self, algorithm: str) -> AlgorithmInfo:
        """One algorithm, `owner/name`, as of its newest version."""
        return self._connection.decoded(AlgorithmInfo, "GET", _path(algorithm))

    def create_algorithm(self, algorithm: str, label: str = "", tagline: str = "", summary: str = "") -> AlgorithmInfo:
        """Make an algorithm, with a repository that holds a template."""
        owner, _, name = algorithm.partition("/")
        details = {"label": label or name, "tagline": tagline, "summary": summary}
        body = {"name": name, "details": details}
        return self._connection.decoded(AlgorithmInfo, "POST", f"/v1/algorithms/{_part(owner)}", json=body)

    def versions(self, algorithm: str, limit: int = 50, published: bool | None = None) -> list[AlgorithmInfo]:
        """The newest versions first."""
        wanted = {} if published is None else {"published": str(published).lower()}
        return self._results(AlgorithmInfo, f"{_path(algorithm)}/versions", {"limit": str(limit), **wanted})

    def execution(self, algorithm: str, version: str) -> Execution:
        """What a version, by commit hash or number, runs in, how it starts and why so, and what it may take."""
        path = f"{_path(algorithm)}/versions/{_part(version)}/execution"
        return self._connection.decoded(Execution, "GET", path)

    def publish(
        self,
        algorithm: str,
        commit: str = "",
        version_type: str = "",
        callability: Callability | None = None,
        release_notes: str = "",
    ) -> AlgorithmInfo:
        """Publish a built commit, the newest one without `commit`."""
        described = {"git_hash": commit, "version_type": version_type, "release_notes": release_notes}
        body = {
            "version_info": {name: value for name, value in described.items() if value},
            "settings": {"algorithm_callability": callability} if callability else {},
        }
        return self._connection.decoded(AlgorithmInfo, "POST", f"{_path(algorithm)}/versions", json=body)

    def builds(self, algorithm: str, limit: int = 50) -> list[BuildInfo]:
        """The newest builds first."""
        return self._results(BuildInfo, f"{_path(algorithm)}/builds", {"limit": str(limit)})

    def build(self, algorithm: str, build_id: str) -> BuildInfo:
        """One build."""
        return self._connection.decoded(BuildInfo, "GET", f"{_path(algorithm)}/builds/{_part(build_id)}")

    def build_log(self, algorithm: str, build_id: str) -> Iterator[str]:
        """A build's log line by line, until the build has ended."""
        path = f"{_path(algorithm)}/builds/{_part(build_id)}/logs"
        with self._connection.stream("GET", path, params={"follow": "true"}, timeout=None) as response:
            yield from response.iter_lines()

    # --- calls ---

    def call(
        self,
        algorithm: str,
        input: object = None,
        timeout: float | None = None,
        stdout: bool = False,
    ) -> CallResult:
        """Call `owner/name[/version]` with a JSON value, text or bytes. Raises AlgorithmFailed for its own errors."""
        content_type, body = _encoded(input)
        options = {"timeout": _number(timeout), "stdout": "true" if stdout else ""}
        reply = self._connection.decoded(
            dict[str, Any],
            "POST",
            f"/v1/algo/{quote(algorithm)}",
            content=body,
            headers={"Content-Type": content_type},
            params={name: value for name, value in options.items() if value},
        )
        return call_result(reply)

    def stream(self, algorithm: str, input: object = None, timeout: float | None = None) -> Iterator[Any]:
        """The items that `owner/name[/version]` yields, as they come; the one result of an algorithm that yields none.

        Raises AlgorithmFailed for its own errors, also behind items. To stop reading is to cancel the call.
        """
        content_type, body = _encoded(input)
        headers = {"Content-Type": content_type, "Accept": CONTENT_TYPE}
        wanted = {"timeout": _number(timeout)} if timeout else {}
        path = f"/v1/algo/{quote(algorithm)}"
        with self._connection.stream("POST", path, content=body, headers=headers, params=wanted) as response:
            if not response.headers.get("Content-Type", "").startswith(CONTENT_TYPE):
                # An outcome before the first item, or a platform that streams nothing.
                yield call_result(json.loads(response.read())).result
                return
            for event in read_events(response.iter_bytes()):
                if event.name == "error":
                    call_result(event.data)
                elif not event.name:
                    yield event.data

    def call_raw(self, algorithm: str, content: bytes, content_type: str, timeout: float | None = None) -> bytes:
        """The bare bytes that a call is answered with. An error of the algorithm raises AlgorithmFailed."""
        wanted = {"output": "raw", **({"timeout": _number(timeout)} if timeout else {})}
        headers = {"Content-Type": content_type}
        path = f"/v1/algo/{quote(algorithm)}"
        response = self._connection.request("POST", path, content=content, headers=headers, params=wanted)
        # An error comes in its envelope, without what a bare result is marked with.
        if "X-Request-Id" not in response.headers:
            call_result(response.json())
        return response.content

    def call_async(
        self, algorithm: str, input: object = None, timeout: float | None = None, stdout: bool = False
    ) -> str:
        """Have `owner/name[/version]` called whatever becomes of this process; the request id to ask for the result."""
        content_type, body = _encoded(input)
        options = {"output": "void", "timeout": _number(timeout), "stdout": "true" if stdout else ""}
        reply = self._connection.decoded(
            dict[str, Any],
            "POST",
            f"/v1/algo/{quote(algorithm)}",
            content=body,
            headers={"Content-Type": content_type},
            params={name: value for name, value in options.items() if value},
        )
        return str(reply["request_id"])

    def request(self, request_id: str) -> RequestInfo:
        """How an asynchronous call stands."""
        return self._connection.decoded(RequestInfo, "GET", f"/v1/requests/{_part(request_id)}")

    def result(self, request_id: str) -> CallResult | None:
        """The result of an asynchronous call; None while there is none. Raises AlgorithmFailed for its own errors."""
        found = self.request(request_id)
        return call_result(found.as_reply()) if found.ended else None

    # --- what happened ---

    def logs(self, algorithm: str, since: float = 0.0, follow: bool = False) -> Iterator[dict[str, Any]]:
        """What an algorithm printed, one record for each call that printed something."""
        return self._records(f"{_path(algorithm)}/logs", {"since": str(since), "follow": str(follow).lower()})

    def audit(
        self, since: float = 0.0, caller: str = "", algorithm: str = "", follow: bool = False
    ) -> Iterator[dict[str, Any]]:
        """The records of calls and events that the key may see, in time order; without end if `follow`."""
        wanted = {"since": str(since), "caller": caller, "algorithm": algorithm, "follow": str(follow).lower()}
        return self._records("/v1/audit", wanted)

    def status(self) -> dict[str, Any]:
        """The platform's state; for administrators."""
        return self._connection.decoded(dict[str, Any], "GET", "/v1/status")

    def _records(self, path: str, wanted: dict[str, str]) -> Iterator[dict[str, Any]]:
        with self._connection.stream("GET", path, params=wanted, timeout=None) as response:
            for line in response.iter_lines():
                if line:
                    yield json.loads(line)

    def _results(self, kind: type[T], path: str, wanted: dict[str, str] | None = None) -> list[T]:
        page = self._connection.decoded(Page, "GET", path, params=wanted)
        return [msgspec.convert(result, kind) for result in page.results]


def _encoded(value: object) -> tuple[str, bytes]:
    if isinstance(value, (bytes, bytearray)):
        return "application/octet-stream", bytes(value)
    if isinstance(value, str):
        return "text/plain", value.encode()
    return "application/json", json.dumps(value).encode()


def call_result(reply: dict[str, Any]) -> CallResult:
    """A call's result as its reply has it. Raises AlgorithmFailed where that is an error."""
    if (error := reply.get("error")) is not None:
        message, kind = str(error.get("message", error)), str(error.get("error_type", ""))
        raise AlgorithmFailed(message, 200, kind, str(error.get("stacktrace") or ""))
    metadata = reply["metadata"]
    result = reply["result"]
    if metadata["content_type"] == "binary":
        result = base64.b64decode(result)
    return CallResult(
        result=result,
        content_type=metadata["content_type"],
        duration=metadata["duration"],
        request_id=reply["request_id"],
        stdout=metadata.get("stdout"),
    )


def _policies(organization: str) -> str:
    return f"/v1/organizations/{_part(organization)}/policies"


def _path(algorithm: str) -> str:
    owner, slash, name = algorithm.partition("/")
    if not slash or not owner or not name:
        raise ClientError(f"{algorithm!r} is no algorithm: write it as OWNER/NAME")
    return f"/v1/algorithms/{_part(owner)}/{_part(name)}"


def _part(text: str) -> str:
    return quote(text, safe="")


def _number(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:g}"
