"""What a restricted key may do of what its account may: the permissions that clients of the common API give a key.

| actions | need |
|---|---|
| call, result, insight | `allow_algo` |
| read (an algorithm) | `allow_algo` or `allow_algo_management` |
| inspect, manage, publish, push | `allow_algo_management` |
| data_read | `allow_data` |
| data_write | `allow_data_write` |
| account, audit, admin | a key without restrictions |

What concerns an algorithm must also fit an entry of `algo_acl`, where there is one.
"""

from __future__ import annotations

from collections.abc import Sequence

from slipway.types import Permissions

_SCHEME = "algo://"
_NEEDS = {
    "call": ("allow_algo",),
    "insight": ("allow_algo",),
    "result": ("allow_algo",),
    "read": ("allow_algo", "allow_algo_management"),
    "inspect": ("allow_algo_management",),
    "manage": ("allow_algo_management",),
    "publish": ("allow_algo_management",),
    "push": ("allow_algo_management",),
    "data_read": ("allow_data",),
    "data_write": ("allow_data_write",),
}
_ON_ALGORITHMS = frozenset(("call", "read", "inspect", "manage", "publish", "push"))


def permits(
    permissions: Permissions, action: str, account: str, owner: str, name: str = "", versions: Sequence[str] = ()
) -> bool:
    """Whether a key of `account` with these permissions may do `action` to what `owner` has under that name.

    `versions` are the names of the version in question (semantic version, commit); none: any will do. An empty
    `owner` stands for what the platform tells everyone.
    """
    if action == "read" and not owner:
        return True
    if not any(getattr(permissions, flag) for flag in _NEEDS.get(action, ())):
        return False
    if permissions.algo_acl is None or action not in _ON_ALGORITHMS:
        return True
    return any(_fits(entry, account, owner, name, versions) for entry in permissions.algo_acl)


def is_acl_entry(entry: str) -> bool:
    """Whether it is `algo://OWNER[/NAME[/VERSION]]`, where `*` stands for anything."""
    parts = entry.removeprefix(_SCHEME).split("/")
    return entry.startswith(_SCHEME) and 1 <= len(parts) <= 3 and all(parts)


def _fits(entry: str, account: str, owner: str, name: str, versions: Sequence[str]) -> bool:
    parts = entry.removeprefix(_SCHEME).split("/")
    wanted = [account if parts[0] == ".my" else parts[0], *parts[1:]]
    # What an entry leaves out is any: `algo://ann` is all of ann's, as `algo://ann/*/*` is.
    wanted += ["*"] * (3 - len(wanted))
    if wanted[0] not in ("*", owner) or wanted[1] not in ("*", name):
        return False
    return wanted[2] == "*" or not versions or wanted[2] in versions
