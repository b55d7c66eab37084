"""The platform's frozen records: what processes hand to each other. No behaviour lives here."""

from __future__ import annotations

from typing import Literal

import msgspec

Callability = Literal["public", "private"]
Language = Literal["python"]
ContentType = Literal["json", "text", "binary", "void"]
BuildStatus = Literal["in-progress", "succeeded", "failed"]
StartMode = Literal["loaded", "environment", "fresh"]
JobState = Literal["queued", "running", "succeeded", "failed"]


class Account(msgspec.Struct, frozen=True, kw_only=True):
    """A user or an organization; owns algorithms, data and keys."""

    id: str
    name: str
    kind: Literal["user", "organization"] = "user"
    admin: bool = False  # may manage any account
    email: str = ""
    organizations: frozenset[str] = frozenset()  # names of those in which the user may do everything
    roles: frozenset[str] = frozenset()  # `organization/role` where it is less than that
    created_at: float  # Unix seconds, UTC; so is every `_at`


class Permissions(msgspec.Struct, frozen=True, kw_only=True):
    """What a restricted key may do of what its account may. Accounts, keys and the platform: never."""

    allow_data: bool = False
    allow_data_write: bool = False
    allow_algo: bool = False
    allow_algo_management: bool = False
    algo_acl: tuple[str, ...] | None = None  # `algo://owner/name/version`, `*` for any part; None: every algorithm


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """An API key. Only its SHA-256 is ever stored."""

    id: str
    account_id: str
    sha256: bytes  # 32 bytes
    label: str = ""
    prefix: str  # the first seven characters, to recognise it by
    permissions: Permissions | None = None  # None: all that the account may do
    created_at: float
    revoked_at: float | None = None


class Resources(msgspec.Struct, frozen=True, kw_only=True):
    """What one replica may use."""

    cpu: float = 1.0
    memory_bytes: int = 2 * 2**30
    gpu: float = 0.0


class Scaling(msgspec.Struct, frozen=True, kw_only=True):
    """How a version's replicas and queue behave."""

    min_replicas: int = 0
    max_replicas: int = 4
    concurrency: int = 1  # calls that one replica takes at once
    max_batch: int = 32  # calls that one `apply_batch` is given
    max_delay_ms: float = 0.0  # how long a call may wait for company while a replica is idle
    idle_seconds: float = 300.0  # without a call, after which a replica is stopped
    queue_limit: int = 1000  # calls that may wait for the version
    timeout_seconds: float = 300.0  # a call's limit where the caller names none
    load_seconds: float = 120.0  # time that load() may take
    idempotent: bool = False  # a call may run twice: it is tried once more where its worker ended before answering


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """How a version's replicas start, as its build has found: forked with the model loaded, forked from its
    environment's zygote and loaded then, or as fresh processes."""

    mode: StartMode = "environment"
    reason: str = "it was built before this was tried"
    load_seconds: float = 0.0  # that import and `load()` took; 0: not measured
    memory_bytes: int = 0  # that one takes which has loaded it, beyond its zygote; 0: not measured


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """One built commit of an algorithm, immutable but for its publication. All that starting a replica needs."""

    id: str
    algorithm_id: str
    owner: str
    algorithm: str  # the name without its owner
    commit: str  # full hash
    semantic_version: str | None = None  # set once published
    callability: Callability | None = None  # None until published: only the owner may call it, by its hash
    language: Language = "python"
    entry: str  # source file with `apply`, relative to `directory`
    directory: str  # absolute path of the built artefact
    environment: str  # digest
    interpreter: str  # absolute path of the environment's interpreter
    trusted: bool = False  # the environment is trusted by an administrator: one zygote for all owners
    secrets: bool = False  # the algorithm has some, which its workers ask for
    resources: Resources = Resources()
    scaling: Scaling = Scaling()
    start: Start = Start()
    release_notes: str = ""
    sample_input: str = ""
    sample_output: str = ""
    created_at: float
    published_at: float | None = None


class Algorithm(msgspec.Struct, frozen=True, kw_only=True):
    """A callable unit, `owner/name`."""

    id: str
    account_id: str
    owner: str
    name: str
    label: str = ""
    summary: str = ""
    tagline: str = ""
    settings: dict[str, str | bool | int] = {}  # as given by the management API, kept for its clients
    created_at: float


class Secret(msgspec.Struct, frozen=True, kw_only=True):
    """A value that an algorithm needs and nobody may read; sealed as `access.secrets` does it."""

    id: str
    algorithm_id: str
    short_name: str
    description: str
    secret_key: str  # the name of the environment variable that it is to be
    sealed: bytes
    created_at: float
    updated_at: float


class PolicyText(msgspec.Struct, frozen=True, kw_only=True):
    """The policies, in Cedar, that an organization has written for what it owns."""

    account_id: str
    owner: str  # the organization's name
    text: str
    updated_at: float


class Reservation(msgspec.Struct, frozen=True, kw_only=True):
    """Replicas that an administrator wants kept for an algorithm, or for one of its callers."""

    id: str
    algorithm_id: str
    owner: str
    algorithm: str  # the name without its owner
    calling_user: str  # empty: for everyone's calls
    version_type: str
    version_identifier: str  # commit hash or semantic version; empty: whatever `version_type` says
    num_slots: int
    created_at: float


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """One version's share of an algorithm's traffic."""

    version_id: str
    weight: int = 100
    name: str = "live"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """What is live for an algorithm: written by release, read by the gateways."""

    algorithm_id: str
    arms: tuple[Arm, ...]


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """Locked dependencies on one interpreter build, shared by many versions."""

    digest: str  # SHA-256 over lock, interpreter build, platform and hardware, in hex
    language: Language = "python"
    interpreter: str  # absolute path inside the environment
    interpreter_version: str  # "3.11.7"
    lock: str  # the resolved requirements, pinned
    hardware: Literal["cpu", "cuda"] = "cpu"
    trusted: bool = False
    created_at: float


class Build(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to turn a commit into a version."""

    id: str
    algorithm_id: str
    commit: str
    status: BuildStatus
    reason: str = ""  # of a failure, on one line
    version_id: str | None = None
    started_at: float
    finished_at: float | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Durable work: claimed under a lease, retried until its attempts are used up."""

    id: str
    kind: str
    idempotency_key: str
    state: JobState
    payload: dict[str, str]
    lane: str = ""  # jobs that share something scarce, such as one version's replicas
    lane_limit: int = 0  # how many of the lane a runner has at a time; 0: any number
    attempts: int
    excused: int = 0  # of these attempts, those that were cut short for no fault of the job
    max_attempts: int
    lease_until: float | None = None
    deadline_at: float | None = None
    error: str = ""
    created_at: float
    finished_at: float | None = None


class AlgorithmFailure(msgspec.Struct, frozen=True, kw_only=True):
    """An error of user code, flat: it may not unpickle, so it is never sent as an object."""

    error_type: str  # one of the common API's error types
    message: str
    stack_trace: str = ""


class AsyncCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call with `output=void` as it was admitted: all that running it needs but its input."""

    request_id: str
    caller: str  # account
    key_id: str = ""
    root_id: str = ""  # of the call tree, where another call made this one
    parent_id: str = ""
    origin: str = ""  # the account that called the root; empty: the caller
    depth: int = 0  # in that tree
    algorithm: str  # owner/name
    version: str  # semantic version, or commit hash
    version_id: str
    gateway: str = ""  # that admitted it
    timeout: float  # seconds
    stdout: bool = False  # whether the caller asked for, and may see, what the algorithm prints
    content_type: str  # of the input: json, text or binary
    input_size: int
    at_once: int = 1  # how many asynchronous calls of the version may run at a time


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How an asynchronous call ended; its result is kept apart."""

    status: int = 200
    failure: AlgorithmFailure | None = None
    result_type: str = ""  # json, text or binary
    result_size: int = 0
    result_file: str = ""  # where it is too large for the store
    printed: bytes = b""
    replica: str = ""
    cold_start: bool = False
    duration_us: int = 0
    queue_us: int = 0
    cpu_us: int = 0


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the store's change log: `kind` and `id` name what to read again."""

    revision: int
    kind: Literal["account", "key", "algorithm", "version", "route", "reservation", "policy"]
    id: str


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What gateways follow: everything at first, then whatever a change named, in commit order.

    `removed` holds (kind, id) pairs. A snapshot with `full` replaces all that was known.
    """

    revision: int
    full: bool = False
    accounts: tuple[Account, ...] = ()
    keys: tuple[Key, ...] = ()
    algorithms: tuple[Algorithm, ...] = ()
    versions: tuple[Version, ...] = ()
    routes: tuple[Route, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    policies: tuple[PolicyText, ...] = ()
    removed: tuple[tuple[str, str], ...] = ()
