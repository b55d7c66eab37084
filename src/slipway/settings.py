"""The platform's settings: one typed object, from `server.toml`, the environment (`SLIPWAY_…`) and the command line."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from slipway.errors import SettingsError


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting with its default. `docs/reference/settings.md` explains each; a test compares the two."""

    data: str = ""  # the data directory; see `default_data`
    host: str = "127.0.0.1"  # address to listen on
    port: int = 8080  # 0 lets the kernel choose
    gateways: int = 1  # gateway processes that share the listening socket
    public_url: str = ""  # how users reach the platform; default http://host:port
    log_level: Literal["debug", "info", "warning", "error"] = "info"  # of what the platform's processes print
    admin_key: str = ""  # the admin account's key at first start; default: a random one
    store_url: str = ""  # SQLAlchemy URL; default: SQLite in the data directory
    cors_origins: tuple[str, ...] = ()  # origins that browsers may call from; "*" for all
    body_limit_bytes: int = 10 * 2**20  # of one call; larger inputs go through hosted data
    reply_limit_bytes: int = 64 * 2**20
    waiting_limit_bytes: int = 256 * 2**20  # of the bodies of all calls that wait in one gateway
    key_concurrency: int = 0  # calls of one key that one gateway has in flight; 0: any number
    account_concurrency: int = 1000  # the same of all keys of one account
    call_timeout_seconds: float = 300.0  # where neither caller nor version says otherwise
    call_timeout_max_seconds: float = 3000.0
    drain_seconds: float = 30.0  # how long calls in flight may take at shutdown
    async_concurrency: int = 32  # asynchronous calls that run at once, of all versions
    request_retention_seconds: float = 7 * 24 * 3600.0  # how long their inputs and results are kept
    build_timeout_seconds: float = 1800.0
    build_concurrency: int = 2
    payload_policy: Literal["none", "digest", "sample", "full"] = "full"  # what is kept of inputs and results
    payload_limit_bytes: int = 4096  # longer payloads are kept as digests only
    payload_sample_rate: float = 0.01  # under the policy `sample`
    journal_segment_bytes: int = 64 * 2**20
    journal_keep_days: float = 0.0  # older segments are dropped by `slipway gc`; 0: never
    payload_keep_days: float = 0.0  # older inputs and results are erased by `slipway gc`; 0: never
    keep_versions: int = 10  # unpublished ones of each algorithm that `slipway gc` leaves, however old
    keep_days: float = 30.0  # unpublished versions, ended jobs and logs younger than this stay too
    index_url: str = ""  # package index in place of the default
    extra_index_urls: tuple[str, ...] = ()
    find_links: str = ""  # folder of wheels
    offline: bool = False  # resolve and install from `find_links` and the cache only
    interpreters: tuple[str, ...] = ()  # Python interpreters beside those that are found
    max_replicas: int = 4  # for versions that do not say
    idle_seconds: float = 300.0  # for versions that do not say
    queue_limit: int = 1000  # for versions that do not say
    memory_bytes: int = 2 * 2**30  # for versions that do not say
    host_memory_bytes: int = 0  # that all workers may take; 0: the machine's, or the control group's, less a reserve
    sandbox: Literal["auto", "none", "process", "namespaces"] = "auto"  # auto: the strongest that this machine has
    production: bool = False  # start only where other people's code is kept apart by namespaces at least
    sandbox_tmp_bytes: int = 256 * 2**20  # that a worker may keep in files
    sandbox_processes: int = 512  # that a worker may start, threads included
    zygote_idle_seconds: float = 900.0  # how long zygotes and templates are kept without a worker

    @property
    def root(self) -> Path:
        """The data directory."""
        return Path(self.data or default_data()).expanduser().resolve()

    @property
    def store(self) -> str:
        """The store's SQLAlchemy URL."""
        return self.store_url or f"sqlite+aiosqlite:///{self.root / 'store.db'}"

    @property
    def run_directory(self) -> Path:
        """Sockets, the lock and pid file of the running platform; mode 0700."""
        return self.root / "run"

    @property
    def journal_directory(self) -> Path:
        """One directory for each writer."""
        return self.root / "journal"

    @property
    def files_directory(self) -> Path:
        """Hosted data."""
        return self.root / "files"

    @property
    def requests_directory(self) -> Path:
        """Large inputs and results of asynchronous calls."""
        return self.root / "requests"

    @property
    def git_directory(self) -> Path:
        """Bare repositories, `OWNER/NAME.git`."""
        return self.root / "git"

    @property
    def environments_directory(self) -> Path:
        """Environments by digest."""
        return self.root / "environments"

    @property
    def versions_directory(self) -> Path:
        """Built artefacts by version id."""
        return self.root / "versions"

    @property
    def builds_directory(self) -> Path:
        """Build logs by build id."""
        return self.root / "builds"

    @property
    def runtimes_directory(self) -> Path:
        """Copies of the runners and the SDK, readable by every worker."""
        return self.root / "runtimes"

    @property
    def logs_directory(self) -> Path:
        """What the platform's processes print."""
        return self.root / "logs"

    @property
    def admin_key_file(self) -> Path:
        """Where the first start keeps the admin account's key; mode 0600."""
        return self.root / "admin.key"

    @property
    def secrets_key_file(self) -> Path:
        """The master key that algorithms' secrets are sealed with; mode 0600."""
        return self.root / "secrets.key"

    @property
    def control_socket(self) -> Path:
        """Control's public HTTP: what gateways forward."""
        return self.run_directory / "control.sock"

    @property
    def passing_socket(self) -> Path:
        """Where gateways pass clients' connections on to control."""
        return self.run_directory / "passing.sock"

    @property
    def internal_socket(self) -> Path:
        """Control's internal HTTP: the gateways' feed, git hooks."""
        return self.run_directory / "internal.sock"

    @property
    def host_socket(self) -> Path:
        """The host's SEQPACKET socket."""
        return self.run_directory / "host.sock"

    def gateway_socket(self, name: str) -> Path:
        """Where the other gateways hand calls to the gateway of that name."""
        return self.run_directory / f"{name}.sock"


def default_data() -> str:
    """`/var/lib/slipway` for root, whose home workers cannot read; `~/.local/share/slipway` for everyone else."""
    return "/var/lib/slipway" if os.geteuid() == 0 else "~/.local/share/slipway"


def load_settings(options: Mapping[str, Any], environ: Mapping[str, str] = os.environ) -> Settings:
    """Defaults, then `server.toml` in the data directory, then `SLIPWAY_…`, then `options` that are not None.

    Raises SettingsError naming the source of a wrong name or value.
    """
    given = {name: value for name, value in options.items() if value is not None}
    from_environment = _from_environment(environ)
    root = Settings(data=str(given.get("data") or from_environment.get("data") or "")).root
    file = root / "server.toml"
    values = {**_from_file(file), **from_environment, **given}
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{error} (from {file}, SLIPWAY_… or the command line)") from error


def _from_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from error


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in msgspec.structs.fields(Settings):
        text = environ.get(f"SLIPWAY_{field.name.upper()}")
        if text is None:
            continue
        is_list = isinstance(field.default, tuple)
        values[field.name] = [part for part in text.split(",") if part] if is_list else text
    return values
