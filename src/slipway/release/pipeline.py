"""The steps from a commit to a version that is proven to load; nothing of it is in the store yet."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from slipway.errors import BuildFailed, CapacityError
from slipway.registry import environments, secrets
from slipway.registry.files import Files
from slipway.registry.store import Store
from slipway.release import diagnosis, uv
from slipway.release.build_log import BuildLog
from slipway.release.environments import Environments
from slipway.release.hosts import Hosts
from slipway.release.interpreters import Interpreters
from slipway.release.manifest import Manifest, read_manifest
from slipway.release.model_files import fetch_required, read_model_manifest
from slipway.release.models import Models
from slipway.release.preinstalled import with_client
from slipway.release.publish import Publication
from slipway.release.requirements import read_requirements
from slipway.release.source import Sources
from slipway.release.trees import make_read_only, remove_tree
from slipway.settings import Settings
from slipway.types import Algorithm, Build, Environment, Start, StartMode, Version

STARTS: Final[dict[StartMode, str]] = {
    "loaded": "forked with its model loaded",
    "environment": "forked from its environment's zygote",
    "fresh": "as fresh processes",
}


class Built(msgspec.Struct, frozen=True):
    """What the steps made."""

    version: Version
    environment: Environment
    on_push: Publication | None
    seconds: dict[str, float]  # by step

    def summary(self, total: float, version: Version) -> str:
        """The log's last line."""
        steps = ", ".join(f"{name} {seconds:.1f}" for name, seconds in self.seconds.items())
        published = f", published as {version.semantic_version}" if version.semantic_version else ""
        return f"built {version.commit} in {total:.1f} s: {steps}{published}"


class Pipeline:
    """Check out, lock, make the environment, fetch models, compile, check."""

    def __init__(self, store: Store, settings: Settings, sources: Sources, files: Files, hosts: Hosts) -> None:
        self._store, self._settings, self._sources, self._hosts = store, settings, sources, hosts
        self._interpreters = Interpreters(settings.interpreters)
        self._environments = Environments(settings, hosts)
        self._files, self._models = files, Models(files)

    async def build(self, build: Build, algorithm: Algorithm, log: BuildLog) -> Built:
        """Raises BuildFailed where the commit is at fault, CapacityError where trying again may help.

        The version takes the build's id, so that a build that is run again finds what it left and starts over.
        """
        steps = _Steps(log)
        directory = self.directory(build)
        with steps.step("source"):
            manifest = await self._check_out(build, algorithm, directory)
            steps.note(f"{algorithm.owner}/{algorithm.name} {build.commit}")
        environment = await self._environment(algorithm.owner, manifest, directory, steps)
        if manifest.models:
            with steps.step("models"):
                sizes = [await self._models.fetch(n, m, directory, algorithm.owner) for n, m in manifest.models.items()]
                steps.note(f"{len(sizes)}, {sum(sizes):,} bytes")
        if (required := read_model_manifest(directory)).required_files:
            with steps.step("model files"):
                size = await fetch_required(required, directory, algorithm.owner, self._files, steps.detail)
                steps.note(f"{len(required.required_files)} required, {size:,} bytes fetched")
        with steps.step("compile"):
            await self._compile(directory, environment, log)
            steps.note("source to bytecode")
        version = _version(build, algorithm, manifest, directory, await self._as_trusted(environment))
        version = msgspec.structs.replace(version, secrets=await self._has_secrets(algorithm))
        with steps.step("check"):
            start = await self._check(version, manifest, environment, log)
            steps.note("loads" + (" and answers its sample input" if manifest.sample_input else ""))
        version = msgspec.structs.replace(version, start=start)
        log.write(f"starts {STARTS[start.mode]}: {start.reason}")
        return Built(version, environment, manifest.on_push, steps.seconds)

    def directory(self, build: Build) -> Path:
        """Where the build's version lies."""
        return self._settings.versions_directory / build.id

    def discard(self, build: Build) -> None:
        """Remove what a failed build made; environments stay, which others may share."""
        remove_tree(self.directory(build))

    async def _check_out(self, build: Build, algorithm: Algorithm, directory: Path) -> Manifest:
        await asyncio.to_thread(self.discard, build)
        await self._sources.check_out(algorithm.owner, algorithm.name, build.commit, directory)
        return read_manifest(directory, algorithm.name, self._settings)

    async def _environment(self, owner: str, manifest: Manifest, directory: Path, steps: _Steps) -> Environment:
        file = with_client(directory, manifest.requirements, steps.detail)
        requirements = read_requirements(directory, file)
        interpreter = await self._interpreters.choose(manifest.python)
        with steps.step("lock"):
            lock = await self._environments.lock(owner, requirements, interpreter, manifest.hardware, steps.detail)
            packages = sum(1 for line in lock.text.splitlines() if line[:1].isalnum())
            steps.note(f"{packages} packages{', reused' if lock.reused else ''}, Python {interpreter.version_text}")
        with steps.step("environment"):
            environment, made = await self._environments.ensure(
                owner, lock.text, requirements.options, interpreter, manifest.hardware, steps.detail
            )
            steps.note(f"{environment.digest[:12]}… {'made' if made else 'reused'}")
        return environment

    async def _as_trusted(self, environment: Environment) -> Environment:
        """With an administrator's word on it, so that the check starts from the zygote that calls will start from."""
        async with self._store.read() as connection:
            known = await environments.get(connection, environment.digest)
        return known or environment

    async def _has_secrets(self, algorithm: Algorithm) -> bool:
        async with self._store.read() as connection:
            return bool(await secrets.list_for(connection, algorithm.id))

    async def _compile(self, directory: Path, environment: Environment, log: BuildLog) -> None:
        command = uv.bytecode_command(Path(environment.interpreter), [directory])
        surroundings = uv.environment(self._settings)
        await self._hosts.run(command, directory, surroundings, timeout_seconds=300.0, output=log.write)
        await asyncio.to_thread(make_read_only, directory)

    async def _check(self, version: Version, manifest: Manifest, environment: Environment, log: BuildLog) -> Start:
        sample = manifest.sample_input.encode() if manifest.sample_input else None
        checked = await self._hosts.check(version, sample, cuda=environment.hardware == "cuda")
        if checked.no_room and checked.failure is not None:
            raise CapacityError(checked.failure.message)
        for line in checked.output.splitlines():
            log.write(f"           {line}")
        if checked.failure is not None:
            log.write(checked.failure.stack_trace.replace(f"{version.directory}/", ""))
            raise BuildFailed(diagnosis.explain_check(checked.failure, version.directory, sample is not None))
        return checked.start


class _Steps:
    """Times the steps and writes a line for each."""

    def __init__(self, log: BuildLog) -> None:
        self._log = log
        self._note = ""
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        self._note = ""
        try:
            yield
        except BaseException:
            self._note = "failed"
            raise
        finally:
            self.seconds[name] = time.monotonic() - started
            self._log.write(f"[{self.seconds[name]:6.2f} s] {name} {self._note}".rstrip())

    def note(self, text: str) -> None:
        """What the step's line says."""
        self._note = text

    def detail(self, line: str) -> None:
        """A line of a step under way."""
        self._log.write(f"           {line}")


def _version(
    build: Build, algorithm: Algorithm, manifest: Manifest, directory: Path, environment: Environment
) -> Version:
    return Version(
        id=build.id,
        algorithm_id=algorithm.id,
        owner=algorithm.owner,
        algorithm=algorithm.name,
        commit=build.commit,
        entry=manifest.entry,
        directory=str(directory),
        environment=environment.digest,
        interpreter=environment.interpreter,
        trusted=environment.trusted,
        resources=manifest.resources,
        scaling=manifest.scaling,
        sample_input=manifest.sample_input,
        created_at=build.started_at,  # the order in which commits came, not in which builds ended
    )
