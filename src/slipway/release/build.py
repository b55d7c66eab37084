"""Builds: a commit becomes a version. The job's handler, what asks for it, and what follows its log."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from slipway.errors import BuildFailed, CapacityError, NoSuchBuild, NoSuchVersion, NotFound, SlipwayError
from slipway.ids import new_id_bytes
from slipway.journal.records import EventRecord
from slipway.registry import algorithms, builds, environments, jobs, versions
from slipway.registry.files import Files
from slipway.registry.store import Store
from slipway.release.build_log import BuildLog, read_log
from slipway.release.git import is_commit
from slipway.release.hosts import Hosts
from slipway.release.pipeline import Built, Pipeline
from slipway.release.publish import publish_in, superseded
from slipway.release.source import Sources
from slipway.settings import Settings
from slipway.types import Algorithm, Build, Job, Version

JOB_KIND = "build"
_MAX_ATTEMPTS = 3


class Builds:
    """Requests builds, runs them as jobs, keeps and streams their logs.

    `on_event` is given an event for every build that ends and every version that it publishes.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        hosts: Hosts,
        on_event: Callable[[EventRecord], None],
        files: Files | None = None,
    ) -> None:
        self._store, self._settings, self._on_event = store, settings, on_event
        self.sources = Sources(settings.git_directory)
        self._pipeline = Pipeline(store, settings, self.sources, files or Files(settings.files_directory), hosts)
        self._logs: dict[str, BuildLog] = {}

    async def request(self, owner: str, name: str, commit: str, actor: str) -> Build:
        """The commit's build: the one that made its version or is under way, else a new one with its job.

        Raises NoSuchAlgorithm, NoSuchVersion where the repository has no such commit.
        """
        if not is_commit(commit) or not await self.sources.has_commit(owner, name, commit):
            raise NoSuchVersion(f"{owner}/{name} has no commit {commit[:100]}")
        async with self._store.begin() as connection:
            algorithm = await algorithms.get(connection, owner, name)
            await algorithms.lock(connection, algorithm.id)
            latest = await builds.latest(connection, algorithm.id, commit)
            if latest is not None and (latest.status == "in-progress" or latest.version_id is not None):
                return latest
            build = await builds.start(connection, algorithm.id, commit)
            await self._enqueue(connection, build, actor)
        return build

    async def request_head(self, owner: str, name: str, actor: str) -> Build | None:
        """A build of the default branch's commit unless it has had one: for pushes whose hook was cut off."""
        commit = await self.sources.head(owner, name)
        if commit is None:
            return None
        async with self._store.read() as connection:
            algorithm = await algorithms.get(connection, owner, name)
            latest = await builds.latest(connection, algorithm.id, commit)
        return latest or await self.request(owner, name, commit, actor)

    async def recover(self) -> None:
        """At start: whatever is in progress has a job again, even where that had used up its attempts."""
        async with self._store.begin() as connection:
            for build in await builds.in_progress(connection):
                await self._enqueue(connection, build, "control")

    async def run(self, job: Job) -> None:
        """The job's handler. Safe to run again after a crash at any point; raises only what a retry may cure."""
        build_id = job.payload["build_id"]
        log = self._log(build_id)
        try:
            async with self._store.read() as connection:
                build = await builds.get(connection, build_id)
                algorithm = await algorithms.by_id(connection, build.algorithm_id)
            if build.status == "in-progress":
                await self._attempt(job, build, algorithm, log)
        except NotFound:
            log.write("the algorithm was deleted")
        finally:
            if not await self._in_progress(build_id):
                self._logs.pop(build_id, None)
                log.end()

    async def follow(self, build_id: str) -> AsyncIterator[str]:
        """The log's lines from the first on, until the build ends; none where there is no such build."""
        log = self._log(build_id)
        if not await self._in_progress(build_id):
            # Its file is whole; and had it been under way when `log` was taken, `run` would have ended that.
            self._logs.pop(build_id, None)
            log.end()
        async for line in log.follow():
            yield line

    async def log_text(self, build_id: str) -> str:
        """The log so far."""
        return await asyncio.to_thread(read_log, self._log_path(build_id))

    async def _attempt(self, job: Job, build: Build, algorithm: Algorithm, log: BuildLog) -> None:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._settings.build_timeout_seconds):
                built = await self._pipeline.build(build, algorithm, log)
        except TimeoutError:
            limit = self._settings.build_timeout_seconds
            await self._fail(job, build, algorithm, log, f"the build took longer than {limit:g} s")
        except BuildFailed as error:
            await self._fail(job, build, algorithm, log, str(error))
        except CapacityError as error:
            if jobs.has_attempts_left(job):
                log.write(f"{error}; trying again")
                raise
            await self._fail(job, build, algorithm, log, str(error))
        except (SlipwayError, OSError) as error:
            await self._fail(job, build, algorithm, log, f"the platform could not build it: {error}")
        else:
            version = await self._keep(build, built)
            self._tell(job, algorithm, "build", "done", build=build.id, commit=build.commit)
            if version.semantic_version is not None:
                detail = {"version": version.semantic_version, "commit": build.commit}
                self._tell(job, algorithm, "version.publish", "done", **detail)
            log.conclude(built.summary(time.monotonic() - started, version))

    async def _keep(self, build: Build, built: Built) -> Version:
        """Version, publication and the build's end appear together, or not at all."""
        async with self._store.begin() as connection:
            await environments.add(connection, built.environment)
            version = await versions.add(connection, built.version)
            if built.on_push is not None and not await self._is_superseded(connection, version):
                version = await publish_in(connection, version.id, built.on_push)
            await builds.finish(connection, build.id, "succeeded", version_id=version.id)
        return version

    async def _is_superseded(self, connection: AsyncConnection, version: Version) -> bool:
        newest, _ = await versions.page(connection, version.algorithm_id, limit=1, published=True)
        return superseded(version.id, newest)

    async def _fail(self, job: Job, build: Build, algorithm: Algorithm, log: BuildLog, reason: str) -> None:
        reason = " ".join(reason.split())[:1000]
        async with self._store.begin() as connection:
            await builds.finish(connection, build.id, "failed", reason)
        await asyncio.to_thread(self._pipeline.discard, build)
        self._tell(job, algorithm, "build", "failed", build=build.id, commit=build.commit, reason=reason)
        log.conclude(f"build of {build.commit} failed: {reason}")

    def _tell(self, job: Job, algorithm: Algorithm, verb: str, outcome: str, **detail: str) -> None:
        self._on_event(
            EventRecord(
                time=time.time(),
                event_id=new_id_bytes(),
                actor=job.payload["actor"],
                verb=verb,
                resource=f"{algorithm.owner}/{algorithm.name}",
                outcome=outcome,
                detail=detail,
            )
        )

    async def _enqueue(self, connection: AsyncConnection, build: Build, actor: str) -> Job:
        return await jobs.enqueue(
            connection,
            kind=JOB_KIND,
            idempotency_key=build.id,
            payload={"build_id": build.id, "actor": actor},
            max_attempts=_MAX_ATTEMPTS,
        )

    async def _in_progress(self, build_id: str) -> bool:
        try:
            async with self._store.read() as connection:
                return (await builds.get(connection, build_id)).status == "in-progress"
        except NoSuchBuild:
            return False

    def _log(self, build_id: str) -> BuildLog:
        return self._logs.setdefault(build_id, BuildLog(self._log_path(build_id)))

    def _log_path(self, build_id: str) -> Path:
        return self._settings.builds_directory / f"{build_id}.log"
