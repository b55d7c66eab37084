"""Who may read hosted data beside its owner: a directory's read ACL, as the common API writes it.

| ACL | readers, beside the owner |
|---|---|
| `[]` | none; algorithms that the owner calls read as the owner |
| `["algo://.my/*"]`, the default | algorithms of the data's owner, whoever calls them |
| `["algo://OWNER/NAME"]`, `["algo://OWNER/*"]` | that algorithm, those algorithms |
| `["user://*"]` | everyone with a key |
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from slipway.access.principals import Principal
from slipway.errors import InputError

Acl = tuple[str, ...]

DEFAULT: Acl = ("algo://.my/*",)
EVERYONE = "user://*"
_ENTRY = re.compile(r"algo://(\.my|[^/\s]+)/(\*|[^/\s]+)")
_MOST_ENTRIES = 100


def parse_acl(entries: object) -> Acl:
    """The ACL that a request gives as a list of entries; raises InputError."""
    if not isinstance(entries, list) or len(entries) > _MOST_ENTRIES:
        raise InputError(f'acl: send {{"read": [ENTRY, …]}} with {_MOST_ENTRIES} entries at most')
    for entry in entries:
        if not isinstance(entry, str) or not (entry == EVERYONE or _ENTRY.fullmatch(entry)):
            raise InputError(f"acl: {str(entry)[:100]!r} is none of user://*, algo://.my/*, algo://OWNER/NAME")
    return tuple(entries)


def admits(acl: Iterable[str], owner: str, principal: Principal) -> bool:
    """Whether what `owner` shares in this way may be read by somebody else."""
    return any(entry == EVERYONE or _names(entry, owner, principal.algorithm) for entry in acl)


def _names(entry: str, owner: str, algorithm: str) -> bool:
    match = _ENTRY.fullmatch(entry)
    if match is None or not algorithm:
        return False
    who, what = match.groups()
    account, _, name = algorithm.partition("/")
    return account == (owner if who == ".my" else who) and what in ("*", name)
