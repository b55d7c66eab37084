"""What gateways follow: everything at first, then what the changes since a revision name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar, get_args

from sqlalchemy import ColumnElement, Select, select
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.registry import accounts as accounts_table
from slipway.registry import algorithms, changes, members, policies, reservations, schema, versions
from slipway.registry.rows import chunks, fetch_all
from slipway.types import Account, Algorithm, Key, PolicyText, Reservation, Route, Snapshot, Version

T = TypeVar("T")

# Beyond this many changes everything is read again: it is one statement a table, and no slower.
_INCREMENT_LIMIT = 10_000


async def full(connection: AsyncConnection) -> Snapshot:
    """Everything that gateways hold, with one statement a table. Revoked keys are left out."""
    return Snapshot(
        revision=await changes.current(connection),
        full=True,
        accounts=tuple(
            await members.joined(connection, await fetch_all(connection, accounts_table.selection(), Account))
        ),
        keys=tuple(await fetch_all(connection, _good_keys(), Key)),
        algorithms=tuple(await fetch_all(connection, algorithms.selection(), Algorithm)),
        versions=tuple(await fetch_all(connection, versions.selection(), Version)),
        routes=tuple(await fetch_all(connection, select(schema.routes), Route)),
        reservations=tuple(await fetch_all(connection, reservations.selection(), Reservation)),
        policies=tuple(await policies.list_all(connection)),
    )


async def increment(connection: AsyncConnection, after: int) -> Snapshot:
    """What changed after a revision, as it is now; a revoked key counts as removed.

    It is full where the changes are no longer listed one by one, or where `after` is of another store's future.
    """
    revision = await changes.current(connection)
    if after > revision or after < await changes.forgotten(connection):
        return await full(connection)
    changed = await changes.since(connection, after, _INCREMENT_LIMIT)
    if len(changed) == _INCREMENT_LIMIT:
        return await full(connection)
    return await _named(connection, revision, {(change.kind, change.id): None for change in changed})


async def _named(connection: AsyncConnection, revision: int, named: Iterable[tuple[str, str]]) -> Snapshot:
    ids: dict[str, list[str]] = {kind: [] for kind in get_args(changes.ChangeKind)}
    for kind, identity in named:
        ids[kind].append(identity)
    t = schema
    accounts = await _fetch(connection, accounts_table.selection(), t.accounts.c.id, ids["account"], Account)
    accounts = await members.joined(connection, accounts)
    keys = await _fetch(connection, _good_keys(), t.keys.c.id, ids["key"], Key)
    owned = await _fetch(connection, algorithms.selection(), t.algorithms.c.id, ids["algorithm"], Algorithm)
    built = await _fetch(connection, versions.selection(), t.versions.c.id, ids["version"], Version)
    routes = await _fetch(connection, select(t.routes), t.routes.c.algorithm_id, ids["route"], Route)
    reserved = await _fetch(connection, reservations.selection(), t.reservations.c.id, ids["reservation"], Reservation)
    written = await _fetch(connection, policies.selection(), t.policies.c.account_id, ids["policy"], PolicyText)
    found = {("route", route.algorithm_id) for route in routes}
    found.update(("policy", one.account_id) for one in written)
    named_by_id = (("account", accounts), ("key", keys), ("algorithm", owned), ("version", built))
    for kind, records in (*named_by_id, ("reservation", reserved)):
        found.update((kind, record.id) for record in records)
    return Snapshot(
        revision=revision,
        accounts=tuple(accounts),
        keys=tuple(keys),
        algorithms=tuple(owned),
        versions=tuple(built),
        routes=tuple(routes),
        reservations=tuple(reserved),
        policies=tuple(written),
        removed=tuple(pair for kind in ids for pair in ((kind, i) for i in ids[kind]) if pair not in found),
    )


async def _fetch(
    connection: AsyncConnection, query: Select[Any], column: ColumnElement[str], ids: list[str], record: type[T]
) -> list[T]:
    found: list[T] = []
    for some in chunks(ids):
        found += await fetch_all(connection, query.where(column.in_(some)), record)
    return found


def _good_keys() -> Select[Any]:
    return select(schema.keys).where(schema.keys.c.revoked_at.is_(None))
