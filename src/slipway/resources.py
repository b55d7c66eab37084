"""What the HTTP API answers, as records. Unknown fields are passed over: a newer platform may send more."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from slipway.types import BuildStatus, ContentType, Resources, Scaling, Start


class AccountInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An account."""

    id: str
    username: str
    email: str = ""
    kind: Literal["user", "organization"] = "user"
    admin: bool = False


class KeyInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An API key, without what it opens unless it was just made."""

    id: str
    label: str = ""
    prefix: str = ""
    created_at: float = 0.0  # Unix seconds
    revoked_at: float | None = None
    key: str = ""  # the whole text, only in the reply to its making


class Policies(msgspec.Struct, frozen=True, kw_only=True):
    """What an organization has written."""

    text: str = ""
    updated_at: str | None = None  # ISO 8601, UTC


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Whether something is allowed, and the names of the policies that made it so; none where none permits it."""

    allowed: bool
    policies: list[str] = []


class TriedCase(Answer, frozen=True, kw_only=True):
    """What policies say to a case, and whether that was expected."""

    account: str
    action: str
    resource: str
    expect: str
    passed: bool


class VersionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A version's own part of an algorithm; all empty where nothing was built yet."""

    semantic_version: str | None = None  # None until published
    git_hash: str = ""
    version_uuid: str = ""
    release_notes: str = ""
    sample_input: str = ""
    sample_output: str = ""
    environment: str = ""
    created_at: str | None = None  # ISO 8601, UTC
    published_at: str | None = None


class EnvironmentInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What versions run in."""

    digest: str
    interpreter_version: str = ""
    hardware: str = "cpu"
    trusted: bool = False  # by an administrator: all owners share one zygote


class Execution(msgspec.Struct, frozen=True, kw_only=True):
    """A version, what it runs in, how its replicas start and why so, and what they may take."""

    semantic_version: str | None = None  # None until published
    git_hash: str
    version_uuid: str
    entry: str = ""  # source file with `apply`
    language: str = ""
    start: Start = Start()
    environment: EnvironmentInfo
    resources: Resources = Resources()
    scaling: Scaling = Scaling()
    sample_input: str = ""
    created_at: str | None = None  # ISO 8601, UTC
    published_at: str | None = None


class BuildInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to turn a commit into a version."""

    build_id: str
    status: BuildStatus
    commit_sha: str
    reason: str = ""  # of a failure, on one line
    version_uuid: str | None = None
    started_at: str | None = None
    finished_at: str | None = None


class RequestInfo(msgspec.Struct, frozen=True, kw_only=True):
    """How an asynchronous call stands. `result` and `error` are as a call's own reply has them."""

    request_id: str
    status: Literal["queued", "running", "succeeded", "failed"]
    result: Any = None
    error: dict[str, Any] | None = None
    metadata: dict[str, Any] = {}

    @property
    def ended(self) -> bool:
        """Whether it has its outcome."""
        return self.status in ("succeeded", "failed")

    def as_reply(self) -> dict[str, Any]:
        """What a call that waited would have been answered with."""
        outcome = {"error": self.error} if self.error is not None else {"result": self.result}
        return {**outcome, "metadata": self.metadata, "request_id": self.request_id}


class AlgorithmInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An algorithm, as of one version."""

    id: str
    name: str
    details: dict[str, str] = {}
    settings: dict[str, Any] = {}
    version_info: VersionInfo = VersionInfo()
    build: BuildInfo | None = None
    self_link: str = ""

    @property
    def path(self) -> str:
        """`owner/name`."""
        return self.self_link.removeprefix("/v1/algorithms/") or self.name

    @property
    def callability(self) -> str:
        """`public` or `private`."""
        return str(self.settings.get("algorithm_callability", "private"))


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a listing; `marker` asks for the next one."""

    results: list[Any]
    marker: str | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A file or directory of hosted data."""

    name: str
    directory: bool = False
    size: int = 0
    last_modified: str = ""


class Upload(msgspec.Struct, frozen=True, kw_only=True):
    """What was written."""

    result: str  # its data:// address
    sha256: str = ""
    size: int = 0


class CallResult(msgspec.Struct, frozen=True, kw_only=True):
    """An answered call."""

    result: Any  # JSON value, text, or bytes
    content_type: ContentType
    duration: float  # seconds, inside the platform
    request_id: str
    stdout: str | None = None
