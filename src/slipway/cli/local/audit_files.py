"""The audit read from the journal's own files, with the platform up or down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.errors import DataDirectoryUnusable, StartupError
from slipway.journal.render import AuditFilter, audit
from slipway.settings import Settings, load_settings

if TYPE_CHECKING:
    from slipway.journal.verify import ChainReport


def entries_of(data: Path, since: float, caller: str, algorithm: str, follow: bool) -> Iterator[dict[str, Any]]:
    """The records below a data directory, in time order; without end if `follow`. Raises StartupError."""
    settings = _settings(data)
    wanted = AuditFilter(since=since, caller=caller, algorithm=algorithm)
    for batch in audit(settings.journal_directory, wanted, follow):
        yield from batch


def verify_files(data: Path | None) -> list[ChainReport]:
    """One report for each writer below a data directory. Raises StartupError."""
    # Signatures need the server's dependencies; reading does not.
    try:
        from slipway.journal.verify import verify
    except ImportError as error:
        missing = f"the server is not installed ({error.name} is missing)"
        raise StartupError(f"{missing}: pip install 'slipway[server]'") from error
    settings = _settings(data)
    return verify(settings.journal_directory, settings.root / "ledger.pub")


def _settings(data: Path | None) -> Settings:
    settings = load_settings({"data": str(data) if data else None})
    try:
        if settings.root.is_dir():
            next(settings.root.iterdir(), None)
            return settings
    except PermissionError as error:
        raise DataDirectoryUnusable(f"the data directory {settings.root} belongs to another user") from error
    raise DataDirectoryUnusable(f"there is no data directory {settings.root}")
