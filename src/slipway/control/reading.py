"""Journals as lines of JSON: read in threads, a bounded piece at a time, so that a reader can leave at any time."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from anyio import CapacityLimiter, to_thread

from slipway.journal.payloads import Payloads
from slipway.journal.reader import AuditFilter, follow
from slipway.journal.records import CallRecord, Entry, Record
from slipway.journal.render import as_dict
from slipway.types import Account

_QUIET_SECONDS = 1.0  # after which an empty line shows that the connection is still good

Sight = Callable[[Record], "Visibility"]


class Visibility(msgspec.Struct, frozen=True):
    """What somebody may see of a record."""

    record: bool
    printed: bool = False  # what the algorithm printed is its owner's business only


class Reading(msgspec.Struct, frozen=True):
    """What is to be read, and how much of it is shown."""

    wanted: AuditFilter
    following: bool
    sight: Sight
    printed_only: bool = False  # calls that printed something
    verb: str = ""  # events of this verb only


async def lines(directory: Path, reading: Reading) -> AsyncIterator[str]:
    """The records that are wanted, one a line; for ever when following, with empty lines now and then."""
    # A limit of this stream's own: however many follow, none waits for the threads of another.
    limiter = CapacityLimiter(1)
    pieces = _pieces(directory, reading)
    sent = time.monotonic()
    while (found := await to_thread.run_sync(next, pieces, None, limiter=limiter)) is not None:
        if found or time.monotonic() - sent > _QUIET_SECONDS:
            sent = time.monotonic()
            yield "".join(json.dumps(record) + "\n" for record in found) or "\n"


def everything(_record: Record) -> Visibility:
    """All is shown."""
    return Visibility(True, True)


def own(account: Account) -> Sight:
    """An account's own calls and those to its algorithms, what it did and what was done to what it owns.

    Members of an organization see what concerns it as their own.
    """
    names = {account.name, *account.organizations}

    def sight(record: Record) -> Visibility:
        if account.admin:
            return Visibility(True, True)
        if isinstance(record, CallRecord):
            owns = _owner(record.algorithm) in names
            return Visibility(owns or account.name in (record.caller, record.origin), owns)
        return Visibility(record.actor == account.name or _owner(record.resource) in names)

    return sight


def _owner(resource: str) -> str:
    """`ann` of `ann/echo`, `data://ann/files/one` or `ann`."""
    return resource.removeprefix("data://").partition("/")[0]


def _pieces(directory: Path, reading: Reading) -> Iterator[list[dict[str, Any]]]:
    """What each few hundred records hold of what is wanted: often nothing."""
    payloads = Payloads(directory, reading.wanted.since)
    for entries in follow(directory, reading.wanted.since):
        yield [found for entry in entries if (found := _shown(entry, reading, payloads)) is not None]
        if not entries and not reading.following:
            return


def _shown(entry: Entry, reading: Reading, payloads: Payloads) -> dict[str, Any] | None:
    visibility = reading.sight(entry.record)
    if not visibility.record or not reading.wanted.passes(entry):
        return None
    if reading.verb and getattr(entry.record, "verb", "") != reading.verb:
        return None
    found = as_dict(entry, payloads.find(entry))
    if reading.printed_only and not found.get("stdout"):
        return None
    if not visibility.printed:
        found.pop("stdout", None)
    return found
