"""Fills a data directory with thousands of algorithms through the registry's own functions, as builds would have.

A template, an algorithm that the platform itself has built, lends its environment and its directory: hard links of
both stand for the builds' results. Every version has one of `MODELS` models of its own.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks import models
from benchmarks.open_loop import Target
from slipway.ids import new_id
from slipway.registry import accounts, algorithms, environments, keys, routes, versions
from slipway.registry.store import Store
from slipway.release.source import Sources
from slipway.settings import Settings
from slipway.types import Account, Algorithm, Arm, Environment, Resources, Route, Scaling, Version

KEY = "simDensityBenchmarkKey000000"  # of an account that owns nothing: every version is public
MODELS = 100
_VERSIONS = 10  # of each algorithm
_IDLE_SECONDS = 60.0
_AT_ONCE = 100  # algorithms in a transaction


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much there is to be."""

    algorithms: int
    owners: int
    environments: int


@dataclass(frozen=True)
class Seeded:
    """All versions."""

    targets: list[Target]  # each can be called
    environments: dict[str, str]  # digests, by version id


async def seed(data: Path, scale: Scale, template: str) -> Seeded:
    """Fill the data directory of a platform that is down; `template` is `owner/name` of what was built there."""
    settings = Settings(data=str(data))
    store = await Store.open(settings.store)
    try:
        async with store.begin() as connection:
            owner, _, name = template.partition("/")
            found, _ = await versions.page(connection, (await algorithms.get(connection, owner, name)).id)
            caller = await accounts.create(connection, name="caller")
            await keys.create(connection, caller.id, "bench", KEY)
            owners = [await accounts.create(connection, name=f"owner{n}") for n in range(scale.owners)]
            made = await _environments(connection, settings, found[0], scale.environments)
        seeder = _Seeder(settings, found[0], made)
        for first in range(0, scale.algorithms, _AT_ONCE):
            async with store.begin() as connection:
                for number in range(first, min(first + _AT_ONCE, scale.algorithms)):
                    await seeder.algorithm(connection, owners[number % len(owners)], number)
    finally:
        await store.close()
    return seeder.seeded


async def _environments(
    connection: AsyncConnection, settings: Settings, built: Version, number: int
) -> list[Environment]:
    """Copies of the built version's environment, all trusted, each with what its zygote should import."""
    original = await environments.get(connection, built.environment)
    assert original is not None
    root = settings.environments_directory
    found = []
    for copy in range(number):
        lock = f"{original.lock}# copy {copy}\n"
        digest = hashlib.sha256(lock.encode()).hexdigest()
        shutil.copytree(root / original.digest, root / digest, symlinks=True, copy_function=os.link)
        shutil.copyfile(root / f"{original.digest}.preload", root / f"{digest}.preload")
        interpreter = original.interpreter.replace(original.digest, digest)
        environment = msgspec.structs.replace(original, digest=digest, lock=lock, interpreter=interpreter)
        await environments.add(connection, environment)
        found.append(await environments.set_trusted(connection, digest, True))
    return found


class _Seeder:
    """Makes algorithms with their repositories, versions and routes."""

    def __init__(self, settings: Settings, built: Version, made: list[Environment]) -> None:
        self._settings, self._built, self._environments = settings, built, made
        self._repository = Sources(settings.git_directory).path(built.owner, built.algorithm)
        self._models = settings.root / "seed"
        self._models.mkdir()
        for number in range(MODELS):
            (self._models / str(number)).write_bytes(models.trained(number))
        self.seeded = Seeded([], {})

    async def algorithm(self, connection: AsyncConnection, owner: Account, number: int) -> None:
        """One with all of its versions; the newest is live."""
        made = await algorithms.create(connection, account=owner, name=f"iris{number}")
        repository = self._settings.git_directory / owner.name / f"{made.name}.git"
        shutil.copytree(self._repository, repository, symlinks=True, copy_function=os.link)
        built = [self._version(made, number, count) for count in range(_VERSIONS)]
        await versions.add_all(connection, built)
        await routes.set(connection, Route(algorithm_id=made.id, arms=(Arm(version_id=built[-1].id),)))

    def _version(self, algorithm: Algorithm, number: int, count: int) -> Version:
        place = number * _VERSIONS + count
        model = place % MODELS
        environment = self._environments[number % len(self._environments)]
        identity, now = new_id(), time.time()
        directory = self._settings.versions_directory / identity
        self._lay_out(directory, model)
        path = f"/v1/algo/{algorithm.owner}/{algorithm.name}/0.{count}.0"
        self.seeded.targets.append(Target(path, models.ROW, models.expected(model)))
        self.seeded.environments[identity] = environment.digest
        return msgspec.structs.replace(
            self._built,
            id=identity,
            algorithm_id=algorithm.id,
            commit=hashlib.sha1(identity.encode(), usedforsecurity=False).hexdigest(),
            semantic_version=f"0.{count}.0",
            callability="public",
            directory=str(directory),
            environment=environment.digest,
            resources=Resources(),
            scaling=Scaling(idle_seconds=_IDLE_SECONDS, max_replicas=1),
            created_at=now,
            published_at=now,
        )

    def _lay_out(self, directory: Path, model: int) -> None:
        """The built version's files under further names, and a model among them."""
        shutil.copytree(self._built.directory, directory, copy_function=os.link)
        file = directory / "models" / "classifier"
        file.parent.chmod(0o755)
        file.unlink()
        os.link(self._models / str(model), file)
