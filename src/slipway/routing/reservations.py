"""Replicas that are kept warm for a version, or free for one of its callers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from slipway.errors import NotFound
from slipway.routing.table import RouteTable
from slipway.types import Reservation


class Reserved(msgspec.Struct, frozen=True, kw_only=True):
    """What all reservations of a version come to."""

    everyone: int = 0  # replicas kept warm, for whoever calls
    callers: dict[str, int] = {}  # account → replicas kept warm and left free for it, beside those


NOTHING = Reserved()


def resolved(reservations: Iterable[Reservation], table: RouteTable) -> dict[str, Reserved]:
    """By version id. Several of the same version add up; what names no version any more counts for nothing."""
    found: dict[str, Reserved] = {}
    for reservation in reservations:
        selector = reservation.version_identifier or reservation.version_type
        try:
            version = table.resolve(reservation.owner, reservation.algorithm, selector, private=True)
        except NotFound:
            continue
        found[version.id] = _with(found.get(version.id, NOTHING), reservation)
    return found


def _with(known: Reserved, reservation: Reservation) -> Reserved:
    caller, slots = reservation.calling_user, reservation.num_slots
    if not caller:
        return msgspec.structs.replace(known, everyone=known.everyone + slots)
    return msgspec.structs.replace(known, callers={**known.callers, caller: known.callers.get(caller, 0) + slots})


def held_back(reserved: Mapping[str, int], running: Mapping[str, int], caller: str = "") -> int:
    """How many idle replicas a call of `caller` must leave to others: those reserved for them and not in use by them.

    `running` is how many calls of each account the replicas have; without a caller it is what all others may not use.
    """
    return sum(max(0, slots - running.get(holder, 0)) for holder, slots in reserved.items() if holder != caller)
