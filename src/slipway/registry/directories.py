"""Read ACLs of directories of hosted data: a directory without one of its own is read as its parent is."""

from __future__ import annotations

from sqlalchemy import delete, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.registry import schema
from slipway.registry.paths import DataPath
from slipway.registry.rows import insert_new

Acl = tuple[str, ...]
_table = schema.directories


async def acl_of(connection: AsyncConnection, path: DataPath, default: Acl) -> Acl:
    """The ACL of a directory, given or inherited; `default` where neither it nor one above has any."""
    above = [path]
    while above[-1].parts:
        above.append(above[-1].parent)
    rows = await connection.execute(select(_table).where(_table.c.path.in_([str(each) for each in above])))
    found: dict[str, Acl] = {row.path: row.read_acl for row in rows}
    return next((found[str(each)] for each in above if str(each) in found), default)


async def acls_within(connection: AsyncConnection, path: DataPath) -> dict[str, Acl]:
    """The ACLs that were given to what lies in a directory, by name; what has none inherits."""
    start = f"{path}/"
    rows = await connection.execute(select(_table).where(_table.c.path.startswith(start, autoescape=True)))
    named = {row.path[len(start) :]: row.read_acl for row in rows}
    return {name: acl for name, acl in named.items() if "/" not in name}


async def set_acl(connection: AsyncConnection, path: DataPath, acl: Acl) -> None:
    """Give a directory an ACL, in place of the one it had."""
    await connection.execute(delete(_table).where(_table.c.path == str(path)))
    await insert_new(connection, _table, {"path": str(path), "read_acl": acl})


async def forget(connection: AsyncConnection, path: DataPath) -> None:
    """Nothing is said any more of a directory, and of those below it: they are gone."""
    below = _table.c.path.startswith(f"{path}/", autoescape=True)
    await connection.execute(delete(_table).where(or_(_table.c.path == str(path), below)))
