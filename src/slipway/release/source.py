"""The algorithms' source: one bare git repository each, `OWNER/NAME.git`."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path

from slipway.errors import AlreadyExists, NoSuchAlgorithm, NoSuchVersion
from slipway.ids import new_id
from slipway.registry.names import check_account_name, check_algorithm_name
from slipway.release import template
from slipway.release.git import DEFAULT_BRANCH, Git, end, is_commit
from slipway.release.layout import lay_out


class Sources:
    """Makes, reads and removes repositories below `directory` (settings.git_directory)."""

    def __init__(self, directory: Path) -> None:
        self.git = Git(directory)
        self.git.prepare()

    def path(self, owner: str, name: str) -> Path:
        """Where the repository lies; raises InputError for names that no account or algorithm may have."""
        return self.git.directory / check_account_name(owner) / f"{check_algorithm_name(name)}.git"

    def exists(self, owner: str, name: str) -> bool:
        """Whether there is such a repository."""
        return (self.path(owner, name) / "HEAD").is_file()

    async def create(self, owner: str, name: str, python: str = "") -> str:
        """A repository with the template, for that Python if one is named, as its first commit; returns its hash.

        Raises AlreadyExists.
        """
        path = self.path(owner, name)
        unfinished = self.git.directory / ".home" / f"new-{new_id()}"
        try:
            await self.git.run("init", "--quiet", "--bare", f"--initial-branch={DEFAULT_BRANCH}", str(unfinished))
            first = template.first_commit(owner, name, DEFAULT_BRANCH, python)
            await self.git.run("fast-import", "--quiet", "--date-format=now", directory=unfinished, stdin=first)
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.rename(path)
        except OSError as error:
            raise AlreadyExists(f"the repository {owner}/{name} exists already") from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return await self.head(owner, name) or ""

    async def default_branch(self, owner: str, name: str) -> str:
        """The branch whose pushes are built."""
        reference = await self._ask(owner, name, "symbolic-ref", "--short", "HEAD")
        return reference or DEFAULT_BRANCH

    async def head(self, owner: str, name: str) -> str | None:
        """The default branch's commit; None while it has none. Raises NoSuchAlgorithm."""
        return await self._ask(owner, name, "rev-parse", "--verify", "--quiet", "HEAD^{commit}") or None

    async def has_commit(self, owner: str, name: str, commit: str) -> bool:
        """Whether that full hash is a commit of the repository."""
        if not is_commit(commit):
            return False
        return await self._ask(owner, name, "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}") == commit

    async def files(self, owner: str, name: str, commit: str) -> list[str]:
        """The paths in a commit. Raises NoSuchVersion."""
        await self._check(owner, name, commit)
        listed = await self.git.run("ls-tree", "-r", "-z", "--name-only", commit, directory=self.path(owner, name))
        return [path.decode(errors="surrogateescape") for path in listed.split(b"\0") if path]

    async def read(self, owner: str, name: str, commit: str, file: str) -> bytes:
        """One file of a commit. Raises NoSuchVersion, SlipwayError where there is no such file."""
        await self._check(owner, name, commit)
        return await self.git.run("cat-file", "blob", f"{commit}:{file}", directory=self.path(owner, name))

    async def check_out(self, owner: str, name: str, commit: str, target: Path) -> None:
        """Write a commit's files below `target`, which must not exist. Raises NoSuchVersion, BuildFailed."""
        await self._check(owner, name, commit)
        with tempfile.TemporaryFile(dir=self.git.directory / ".home") as archive:
            process = await asyncio.create_subprocess_exec(
                "git",
                *("archive", "--format=tar", commit),
                cwd=self.path(owner, name),
                env=self.git.environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=archive,
                stderr=asyncio.subprocess.DEVNULL,
            )
            try:
                await process.wait()
            finally:
                await end(process)
            archive.seek(0)
            await asyncio.to_thread(lay_out, archive, target)

    async def delete(self, owner: str, name: str) -> None:
        """Remove the repository; one that is not there is no error."""
        doomed = self.git.directory / ".home" / f"removed-{new_id()}"
        try:
            self.path(owner, name).rename(doomed)
        except FileNotFoundError:
            return
        await asyncio.to_thread(shutil.rmtree, doomed, ignore_errors=True)

    async def _ask(self, owner: str, name: str, *arguments: str) -> str:
        path = self.path(owner, name)
        if not self.exists(owner, name):
            raise NoSuchAlgorithm("No such algorithm")
        process = await asyncio.create_subprocess_exec(
            "git",
            *arguments,
            cwd=path,
            env=self.git.environment(),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        output, _ = await process.communicate()
        return output.decode().strip() if process.returncode == 0 else ""

    async def _check(self, owner: str, name: str, commit: str) -> None:
        if not await self.has_commit(owner, name, commit):
            raise NoSuchVersion(f"the repository has no commit {commit[:100]}")
