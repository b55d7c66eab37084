"""Removing algorithms and accounts. What the journal tells of them stays; nothing else does.

Gateways know of it before the reply leaves. Calls that run go on to their end: their replicas have the version in
memory, and its built files are left for `slipway gc`.
"""

from __future__ import annotations

from slipway.access.principals import Principal
from slipway.control.context import Context
from slipway.registry import accounts, algorithms
from slipway.registry.files import DataPath
from slipway.types import Account, Algorithm


async def remove_algorithm(context: Context, principal: Principal, algorithm: Algorithm) -> None:
    """Remove an algorithm with its versions, builds, routes, repository and own data."""
    # The repository first: were it removed after the row, a new algorithm of that name could get the old one.
    await context.builds.sources.delete(algorithm.owner, algorithm.name)
    async with context.store.begin() as connection:
        await algorithms.delete(connection, algorithm.id)
    await _remove_data(context, DataPath(algorithm.owner, algorithm=algorithm.name))
    await context.event(principal, "algorithm.delete", f"{algorithm.owner}/{algorithm.name}", algorithm=algorithm.id)


async def remove_account(context: Context, principal: Principal, account: Account) -> None:
    """Remove an account with its keys, memberships, algorithms and hosted data; its name is never given again."""
    async with context.store.read() as connection:
        owned = await algorithms.list_for(connection, account.name)
    async with context.store.begin() as connection:
        await accounts.delete(connection, account.id)
    for algorithm in owned:
        await context.builds.sources.delete(algorithm.owner, algorithm.name)
        await _remove_data(context, DataPath(algorithm.owner, algorithm=algorithm.name))
    await _remove_data(context, DataPath(account.name))
    await context.event(principal, f"{'account' if account.kind == 'user' else 'organization'}.delete", account.name)


async def _remove_data(context: Context, root: DataPath) -> None:
    if await context.files.exists(root):
        await context.files.delete(root, force=True)
