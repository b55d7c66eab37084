"""Which names accounts and algorithms may have."""

from __future__ import annotations

import re
from typing import Any

from slipway.errors import InputError

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,127}")
NAME_SCHEMA: dict[str, Any] = {"pattern": rf"^{_NAME.pattern}$"}  # JSON Schema's form of it

# What follows an owner or an algorithm in the API's paths could not be told from a name.
_RESERVED_ACCOUNTS = frozenset(
    "algorithms algorithm-environments api connector console data docs git health keys openapi organization"
    " organizations scms secret-provider static status types users v1 v2 versions".split()
)
_RESERVED_ALGORITHMS = frozenset("builds compile errors logs scm secrets source version versions".split())


def check_account_name(name: str) -> str:
    """The name itself; raises InputError where an account may not have it."""
    return _check("account", name, _RESERVED_ACCOUNTS)


def check_algorithm_name(name: str) -> str:
    """The name itself; raises InputError where an algorithm may not have it."""
    return _check("algorithm", name, _RESERVED_ALGORITHMS)


def _check(what: str, name: str, reserved: frozenset[str]) -> str:
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{name[:200]!r} cannot name an {what}: use a letter, then up to 127 letters, digits, '_' and '-'"
        )
    if name.lower() in reserved:
        raise InputError(f"{name!r} cannot name an {what}: the word is reserved for the platform's own addresses")
    return name
