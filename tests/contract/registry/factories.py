"""Rows that the tests start from."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.ids import new_id
from slipway.registry import accounts, algorithms, environments, versions
from slipway.types import Algorithm, Environment, Version

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def an_environment(digest: str = "e" * 64) -> Environment:
    """An environment's record."""
    return Environment(
        digest=digest,
        interpreter=f"/environments/{digest}/bin/python",
        interpreter_version="3.11.7",
        lock="numpy==2.0.0\n",
        created_at=time.time(),
    )


def a_version(algorithm: Algorithm, **fields: Any) -> Version:
    """A version's record, as a build would make it."""
    environment = an_environment()
    values: dict[str, Any] = {
        "id": new_id(),
        "commit": COMMIT,
        "entry": "src/echo.py",
        "directory": "/versions/1",
        "environment": environment.digest,
        "interpreter": environment.interpreter,
        "created_at": time.time(),
    }
    names: dict[str, Any] = {"algorithm_id": algorithm.id, "owner": algorithm.owner, "algorithm": algorithm.name}
    return Version(**names, **{**values, **fields})


async def make_algorithm(connection: AsyncConnection, owner: str = "jpublic", name: str = "echo") -> Algorithm:
    """An account, its algorithm and the environment of `a_version`."""
    account = await accounts.create(connection, name=owner)
    await environments.add(connection, an_environment())
    return await algorithms.create(connection, account=account, name=name)


async def make_version(connection: AsyncConnection, algorithm: Algorithm, **fields: Any) -> Version:
    """A version in the store."""
    return await versions.add(connection, a_version(algorithm, **fields))
