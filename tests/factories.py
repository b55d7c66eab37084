"""Records with sensible values, for tests that care about one or two of their fields."""

from __future__ import annotations

from typing import Any

from slipway.ids import new_id
from slipway.types import Account, Algorithm, Version


def make_version(**changes: Any) -> Version:
    """A built, unpublished version of `ann/echo`."""
    values: dict[str, Any] = {
        "id": new_id(),
        "algorithm_id": "algorithm-1",
        "owner": "ann",
        "algorithm": "echo",
        "commit": "a" * 40,
        "entry": "src/echo.py",
        "directory": "/nowhere",
        "environment": "e" * 64,
        "interpreter": "/usr/bin/python3",
        "created_at": 1.0,
    }
    return Version(**{**values, **changes})


def make_algorithm(**changes: Any) -> Algorithm:
    """The algorithm `ann/echo`."""
    values: dict[str, Any] = {
        "id": "algorithm-1",
        "account_id": "account-ann",
        "owner": "ann",
        "name": "echo",
        "created_at": 1.0,
    }
    return Algorithm(**{**values, **changes})


def make_account(name: str = "ann", **changes: Any) -> Account:
    """A user."""
    return Account(**{"id": f"account-{name}", "name": name, "created_at": 1.0, **changes})
