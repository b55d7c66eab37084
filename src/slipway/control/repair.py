"""Mends what a crash may leave half done."""

from __future__ import annotations

import logging

from slipway.control.context import Context
from slipway.control.environments import python_wanted
from slipway.errors import SlipwayError
from slipway.registry import algorithms
from slipway.types import Algorithm

logger = logging.getLogger(__name__)


async def ensure_repository(context: Context, algorithm: Algorithm) -> None:
    """Make an algorithm's repository unless it is there."""
    if not context.builds.sources.exists(algorithm.owner, algorithm.name):
        python = await python_wanted(context, algorithm.settings)
        await context.builds.sources.create(algorithm.owner, algorithm.name, python)


async def make_missing_repositories(context: Context) -> None:
    """Once, at start: a crash may have come between an algorithm and its repository."""
    async with context.store.read() as connection:
        known = await algorithms.list_for(connection)
    for algorithm in known:
        try:
            await ensure_repository(context, algorithm)
        except (SlipwayError, OSError) as error:
            logger.error("the repository of %s/%s cannot be made: %s", algorithm.owner, algorithm.name, error)
