"""The one error tree. Every class carries a stable code, an HTTP status, and a docstring with cause and remedy.

    SlipwayError
    ├── UsageError                    the caller's request is at fault
    │   ├── ParsingError              400
    │   ├── InputError                400
    │   ├── BadMarker                 400
    │   ├── AuthenticationError       401
    │   ├── PermissionDenied          403
    │   ├── NotFound                  404
    │   │   ├── NoSuchAccount, NoSuchAlgorithm, NoSuchVersion, NoSuchBuild, NoSuchData, NoSuchRequest
    │   │   │   └── NoSuchOrganization  (below NoSuchAccount)
    │   ├── AlreadyExists             409
    │   ├── AlreadyPublished          409
    │   ├── TooLarge                  413
    │   ├── RangeNotSatisfiable       416
    │   ├── LimitExceeded             429
    │   └── CallerGone                499
    ├── BuildFailed                   a commit cannot become a version
    ├── CapacityError                 503
    │   ├── QueueFull                 503
    │   └── DiskFull                  503
    ├── DeadlineExceeded              504
    └── StartupError                  the platform cannot start: one line, exit code 2
        ├── PortTaken, DataDirectoryInUse, DataDirectoryUnusable, SettingsError
        └── NewerFormat, JournalDamaged, BackupDamaged

What user code raises never appears here: it crosses processes as an `AlgorithmFailure` record (see types.py).
"""

from __future__ import annotations

from typing import ClassVar


class SlipwayError(Exception):
    """Something failed inside the platform. The log of the process named in the message says more."""

    status: ClassVar[int] = 500
    code: ClassVar[int] = 5000  # the management API's numeric code
    error_type: ClassVar[str] = "SystemError"  # the common API's name for it
    retry_after_seconds: ClassVar[int | None] = None


class UsageError(SlipwayError):
    """The request cannot be served as it is. The message says what to change."""

    status = 400
    code = 5001


class ParsingError(UsageError):
    """The request's body is not what its content type says. Send valid JSON, or another content type."""

    error_type = "ParsingError"


class InputError(UsageError):
    """A parameter is missing or out of range. The message names it."""

    error_type = "InputError"


class BadMarker(UsageError):
    """The paging marker is unknown. Use the `marker` or `next_link` of the previous page."""

    code = 5002


class AuthenticationError(UsageError):
    """The API key is missing, unknown or revoked. Send `Authorization: Simple KEY` with a key of this platform."""

    status = 401
    code = 2002
    error_type = "AuthenticationError"


class PermissionDenied(UsageError):
    """The key is good but may not do this. Ask the owner of the resource, or use a key of that account."""

    status = 403
    code = 2001
    error_type = "PermissionError"


class NotFound(UsageError):
    """There is no such thing under that name, or it is not visible to this key."""

    status = 404
    code = 1000
    error_type = "EntityNotFoundError"


class NoSuchAccount(NotFound):
    """No account has that name."""


class NoSuchOrganization(NoSuchAccount):
    """No organization has that name, or you are not one of its members."""

    code = 3100


class NoSuchAlgorithm(NotFound):
    """No algorithm has that name. `slipway algorithms` lists those that you may see."""


class NoSuchVersion(NotFound):
    """The algorithm has no such version. `slipway versions OWNER/NAME` lists those it has."""


class NoSuchBuild(NotFound):
    """The algorithm has no such build. `slipway builds OWNER/NAME` lists those it has."""


class NoSuchData(NotFound):
    """There is no file or directory at that data path."""


class NoSuchRequest(NotFound):
    """No asynchronous call has that request id, or its result was kept for as long as results are and is gone."""


class AlreadyExists(UsageError):
    """Something already has that name. Choose another, or update what is there."""

    status = 409
    code = 1002


class AlreadyPublished(UsageError):
    """That commit is published already. Push a new commit to publish again."""

    status = 409
    code = 1007


class TooLarge(UsageError):
    """The body is larger than the limit. Upload it to hosted data and pass its `data://` address."""

    status = 413
    error_type = "TooLargeError"


class RangeNotSatisfiable(UsageError):
    """The file ends before the range that was asked for. Ask for its size first."""

    status = 416


class LimitExceeded(UsageError):
    """A rate or concurrency limit was reached. Wait as long as `Retry-After` says."""

    status = 429
    retry_after_seconds = 1


class CallerGone(UsageError):
    """The caller closed its connection before the reply. Only records show it."""

    status = 499


class BuildFailed(SlipwayError):
    """The commit could not be built. The message says why in one line; the build log has the rest."""

    status = 422
    code = 1008


class CapacityError(SlipwayError):
    """No worker can take the call right now. Try again after `Retry-After` seconds."""

    status = 503
    code = 5003
    retry_after_seconds = 1


class QueueFull(CapacityError):
    """Too many calls wait for this version already. Slow down, or raise its `max_replicas` or `queue_limit`."""


class DiskFull(CapacityError):
    """The platform's disk is full, so no call can be recorded; it recovers by itself once there is space."""

    retry_after_seconds = 5


class DeadlineExceeded(SlipwayError):
    """The call's time was over before a worker took it. Raise `timeout`, or the version's replicas."""

    status = 504
    code = 5004
    error_type = "TimeoutError"


class StartupError(SlipwayError):
    """The platform cannot start. The message says why, on one line."""


class PortTaken(StartupError):
    """Another program listens on that port. Stop it, or choose another with `--port`."""


class DataDirectoryInUse(StartupError):
    """Another platform runs on that data directory. `slipway down` stops it; `--data` chooses another."""


class DataDirectoryUnusable(StartupError):
    """The data directory cannot be written. Check its owner, its mode and the space left."""


class SandboxUnavailable(StartupError):
    """This machine lacks what the sandboxes that were asked for need. `slipway doctor` says what it has."""


class SettingsError(StartupError):
    """A setting has a wrong name or value. The message says where it was read from."""


class NewerFormat(StartupError):
    """The store or journal was written by a newer Slipway. Upgrade this one; nothing was changed."""


class BackupDamaged(StartupError):
    """The archive is no whole backup, or not what its manifest says; nothing was written. Use another one."""


class JournalDamaged(StartupError):
    """A journal was changed or damaged on disk; nothing was touched. Restore it from a backup.

    `slipway audit verify` says what is wrong and where.
    """
