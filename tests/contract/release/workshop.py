"""A real store, real repositories, a real host and real uv, in one data directory and without a network."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from slipway.journal.records import EventRecord
from slipway.registry import accounts, algorithms, builds, jobs, routes, versions
from slipway.registry.store import Store
from slipway.release.build import JOB_KIND, Builds
from slipway.release.hosts import Hosts
from slipway.settings import Settings
from slipway.types import Algorithm, Build, Job, Route, Version

OWNER = "ann"
MANIFEST = '[algorithm]\nname = "{name}"\n'


class Workshop:
    """Everything that builds need, and shorthands for what tests do with it."""

    def __init__(self, settings: Settings, store: Store, hosts: Hosts, host: HostProcess) -> None:
        self.settings, self.store, self.hosts, self.host = settings, store, hosts, host
        self.events: list[EventRecord] = []
        self.builds = Builds(store, settings, hosts, self.events.append)
        self.sources = self.builds.sources

    async def algorithm(self, name: str = "echo", owner: str = OWNER) -> Algorithm:
        """An algorithm with the template in its repository."""
        async with self.store.begin() as connection:
            known = {account.name: account for account in await accounts.list_all(connection)}
            account = known.get(owner) or await accounts.create(connection, name=owner)
            algorithm = await algorithms.create(connection, account=account, name=name)
        await self.sources.create(owner, name)
        return algorithm

    async def commit(self, files: Mapping[str, str | None], name: str = "echo") -> str:
        """A commit on main on top of what is there; None removes a file."""
        stream = [
            b"commit refs/heads/main\ncommitter Ann <ann@example.com> now\ndata 6\nchange\nfrom refs/heads/main^0\n"
        ]
        for path, text in files.items():
            if text is None:
                stream.append(f"D {path}\n".encode())
            else:
                content = text.encode()
                stream.append(b"M 100644 inline %s\ndata %d\n%s\n" % (path.encode(), len(content), content))
        directory = self.sources.path(OWNER, name)
        await self.sources.git.run(
            "fast-import", "--quiet", "--date-format=now", directory=directory, stdin=b"".join(stream)
        )
        return await self.sources.head(OWNER, name) or ""

    async def claim(self) -> Job | None:
        """The next job."""
        async with self.store.begin() as connection:
            return await jobs.claim(connection, [JOB_KIND], 60)

    async def run_jobs(self) -> None:
        """Run jobs one after another until none is left."""
        while (job := await self.claim()) is not None:
            await self.builds.run(job)
            async with self.store.begin() as connection:
                await jobs.finish(connection, job)

    async def build(self, commit: str, name: str = "echo") -> Build:
        """Build a commit to the end."""
        build = await self.builds.request(OWNER, name, commit, OWNER)
        await self.run_jobs()
        async with self.store.read() as connection:
            return await builds.get(connection, build.id)

    async def built(self, files: Mapping[str, str | None], name: str = "echo") -> Build:
        """Commit and build."""
        return await self.build(await self.commit(files, name), name)

    async def version(self, build: Build) -> Version:
        """What a build made."""
        assert build.version_id is not None, build.reason
        async with self.store.read() as connection:
            return await versions.by_id(connection, build.version_id)

    async def route(self, algorithm: Algorithm) -> Route | None:
        """What is live."""
        async with self.store.read() as connection:
            return await routes.get(connection, algorithm.id)

    async def log(self, build: Build) -> str:
        """A build's log."""
        return await self.builds.log_text(build.id)


class HostProcess:
    """A real host that can be killed and started again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.start()

    def start(self) -> None:
        """Start it; whoever connects waits until it listens."""
        command = [sys.executable, "-m", "tests.contract.release.host_process", str(self._settings.root)]
        self._process = subprocess.Popen(command, start_new_session=True)

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        self._process.send_signal(number)
        self._process.wait(20)


@asynccontextmanager
async def open_workshop(data: Path, **options: object) -> AsyncIterator[Workshop]:
    """A workshop on `data`, with a host of its own."""
    settings = Settings(data=str(data), offline=True, **options)  # type: ignore[arg-type]
    settings.run_directory.mkdir(parents=True, exist_ok=True)
    host = HostProcess(settings)
    hosts = Hosts(settings.host_socket)
    hosts.start()
    store = await Store.open(settings.store)
    try:
        yield Workshop(settings, store, hosts, host)
    finally:
        hosts.stop()
        host.end()
        await store.close()
