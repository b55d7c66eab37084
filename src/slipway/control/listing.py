"""What is in a directory of hosted data, a page at a time."""

from __future__ import annotations

import base64
import binascii
from datetime import UTC, datetime
from typing import Any

from slipway.access import acl
from slipway.control.context import Context
from slipway.errors import BadMarker
from slipway.registry import directories
from slipway.registry.files import DataPath, Entry

_PAGE = 1000

Listing = dict[str, Any]


async def listing(context: Context, where: DataPath, marker: str | None, with_acl: bool) -> Listing:
    """Directories, then files, by name; `marker` where there are more. Raises NoSuchData, BadMarker."""
    found = await context.files.list(where) if await context.files.exists(where) else []
    found.sort(key=_place)
    after = _decoded(marker) if marker else None
    left = [entry for entry in found if after is None or _place(entry) > after]
    page = left[:_PAGE]
    folders: list[Listing] = [{"name": entry.name} for entry in page if entry.directory]
    result: Listing = {"folders": folders, "files": [_file(entry) for entry in page if not entry.directory]}
    if len(left) > _PAGE:
        result["marker"] = _encoded(page[-1])
    if with_acl and not where.apart:
        result["acl"], below = await _acls(context, where)
        for folder in folders:
            folder["acl"] = {"read": list(below.get(folder["name"], result["acl"]["read"]))}
    return result


async def _acls(context: Context, where: DataPath) -> tuple[dict[str, list[str]], dict[str, acl.Acl]]:
    async with context.store.read() as connection:
        own = await directories.acl_of(connection, where, acl.DEFAULT)
        return {"read": list(own)}, await directories.acls_within(connection, where)


def _place(entry: Entry) -> tuple[bool, str]:
    return not entry.directory, entry.name


def _encoded(entry: Entry) -> str:
    kind = "d" if entry.directory else "f"
    return base64.urlsafe_b64encode(f"{kind}{entry.name}".encode()).decode()


def _decoded(marker: str) -> tuple[bool, str]:
    """Where the previous page ended; what lay there may be gone since."""
    try:
        text = base64.b64decode(marker, b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise BadMarker("unknown marker: use the `marker` of the previous page") from error
    if text[:1] not in ("d", "f"):
        raise BadMarker("unknown marker: use the `marker` of the previous page")
    return text[0] == "f", text[1:]


def _file(entry: Entry) -> Listing:
    modified = datetime.fromtimestamp(entry.modified_at, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"filename": entry.name, "size": entry.size, "last_modified": modified}
