"""The databases' errors in the platform's words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from slipway.errors import (
    CapacityError,
    DataDirectoryInUse,
    DataDirectoryUnusable,
    DiskFull,
    InputError,
    SettingsError,
    SlipwayError,
    StartupError,
)

_FULL = ("disk is full", "No space left")
_NUL = ("unsupported Unicode escape sequence", "0x00")  # PostgreSQL cannot keep it
_LOCKED = "database is locked"


@contextmanager
def serving() -> Iterator[None]:
    """What goes wrong with the database itself, while serving, is a lack of capacity, or text that it cannot hold."""
    try:
        yield
    except NoConnectionFree as error:
        raise CapacityError("the store is busy: too many requests wait for it") from error
    except DBAPIError as error:
        failure = _while_serving(error)
        if failure is None:
            raise
        raise failure from error


@contextmanager
def opening(url: URL) -> Iterator[None]:
    """Whatever keeps the store from opening is a StartupError of one line that names it, without its password."""
    try:
        yield
    except SlipwayError:
        raise
    except Exception as error:
        # The drivers raise classes of their own here, and PostgreSQL's is not installed everywhere.
        raise _at_start(url, error) from error


def _while_serving(error: DBAPIError) -> SlipwayError | None:
    text = str(error.orig)
    if any(words in text for words in _FULL):
        return DiskFull("the disk that holds the store is full")
    if _LOCKED in text:
        return CapacityError("the store is busy")
    if any(words in text for words in _NUL):
        return InputError("text may not hold the character NUL")
    if error.connection_invalidated:
        return CapacityError("the store cannot be reached")
    return None


def _at_start(url: URL, error: Exception) -> StartupError:
    reason = _one_line(error)
    if url.get_backend_name() != "sqlite":
        return SettingsError(f"the store {url.render_as_string(hide_password=True)} cannot be opened: {reason}")
    if _LOCKED in reason:
        return DataDirectoryInUse(f"the store {url.database} is locked by another program")
    return DataDirectoryUnusable(f"the store {url.database} cannot be opened: {reason}")


def _one_line(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    text = " ".join(str(cause).split()) or type(cause).__name__
    return text if not isinstance(error, SQLAlchemyError) else text[:300]
