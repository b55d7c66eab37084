"""Clears away what nobody needs, by the settings' policy, with the platform up or down.

Rows go first, in one transaction; directories go once no row names them, so that whatever is cut off is found again by
the next run and nothing is ever named that is not there.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec

from slipway.ids import new_id
from slipway.journal.pruning import VERB, old_payloads, prunable
from slipway.journal.reader import Cursor
from slipway.observe.observer import usage_path
from slipway.observe.usage import UsageStore, read_usage
from slipway.operations import leftovers
from slipway.operations.exclusive import alone, note
from slipway.operations.running import is_running, versions_in_use
from slipway.registry import garbage
from slipway.registry.store import Store
from slipway.release.trees import remove_tree
from slipway.settings import Settings

_DAY = 86400.0
_TOLD_SECONDS = 1.5  # gateways hear within this of what a tool changed in the store


class Item(msgspec.Struct, frozen=True):
    """Something that goes."""

    kind: str
    name: str
    size: int = 0  # bytes on disk


class Cleared(msgspec.Struct, frozen=True, kw_only=True):
    """What went, or would."""

    dry_run: bool
    items: list[Item]

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(item.size for item in self.items)


async def clear(settings: Settings, *, dry_run: bool) -> Cleared:
    """Remove what the policy says. Raises StartupError, CapacityError, OSError; what is left goes the next time."""
    with alone(settings):
        store = await Store.open(settings.store)
        try:
            clearing = _Clearing(settings, store, dry_run)
            await clearing.run()
        finally:
            await store.close()
        cleared = Cleared(dry_run=dry_run, items=clearing.items)
        if not dry_run:
            kinds = {item.kind for item in cleared.items}
            counts = {kind: str(sum(item.kind == kind for item in cleared.items)) for kind in sorted(kinds)}
            await note(settings, "gc", str(settings.root), bytes=str(cleared.size), **counts)
    return cleared


class _Clearing:
    def __init__(self, settings: Settings, store: Store, dry_run: bool) -> None:
        self._settings, self._store, self._dry_run = settings, store, dry_run
        self._before = time.time() - settings.keep_days * _DAY
        self.items: list[Item] = []

    async def run(self) -> None:
        """In this order: what is named less afterwards can go in the same run."""
        doomed = await self._versions()
        await self._version_directories(doomed)
        await self._environments(doomed)
        await self._rows()
        await self._journals()
        await self._files()

    async def _versions(self) -> set[str]:
        used = await versions_in_use(self._settings)
        called = {row.version for row in read_usage(usage_path(self._settings), self._before)}
        async with self._store.begin() as connection:
            found = await garbage.unneeded_versions(connection, self._settings.keep_versions, self._before)
            old = [one for one in found if one.id not in used and one.commit not in called]
            if not self._dry_run:
                await garbage.remove_versions(connection, [one.id for one in old])
        for one in old:
            size = leftovers.size(self._settings.versions_directory / one.id)
            self.items.append(Item("version", f"{one.algorithm} {one.commit}", size))
        return {one.id for one in old}

    async def _version_directories(self, doomed: set[str]) -> None:
        if doomed and not self._dry_run and is_running(self._settings):
            await asyncio.sleep(_TOLD_SECONDS)
        # A call may have come just before the gateways heard: its replica keeps its files until the next time.
        used = await versions_in_use(self._settings)
        async with self._store.read() as connection:
            known = await garbage.known_versions(connection)
        for directory in leftovers.directories(self._settings.versions_directory):
            if directory.name in known | used:
                continue
            if directory.name not in doomed:
                if not leftovers.is_older(directory, leftovers.GRACE_SECONDS):
                    continue
                self.items.append(Item("unfinished version", directory.name, leftovers.size(directory)))
            await self._remove(directory)

    async def _environments(self, doomed: set[str]) -> None:
        trash: list[Path] = []
        async with self._store.begin() as connection:
            await garbage.lock_builds(connection)
            if await garbage.building(connection):
                return  # it may be about to name one
            needed = await garbage.needed_environments(connection, besides=doomed)
            old = [
                directory
                for directory in leftovers.directories(self._settings.environments_directory)
                if leftovers.is_digest(directory.name)
                and directory.name not in needed
                and leftovers.is_older(directory, leftovers.GRACE_SECONDS)
            ]
            self.items += [Item("environment", one.name, leftovers.size(one)) for one in old]
            if not self._dry_run:
                trash = [_put_away(one) for one in old]
                await garbage.remove_environments(connection, [one.name for one in old])
        for directory in trash:
            await asyncio.to_thread(remove_tree, directory)

    async def _rows(self) -> None:
        async with self._store.begin() as connection:
            if jobs := await garbage.ended_jobs(connection, self._before):
                self.items.append(Item("jobs", str(jobs)))
            if not self._dry_run:
                await garbage.remove_ended_jobs(connection, self._before)
                await garbage.forget_changes(connection)

    async def _journals(self) -> None:
        directory, days = self._settings.journal_directory, self._settings.journal_keep_days
        for one in prunable(directory, time.time() - days * _DAY, self._counted()) if days else ():
            size = sum(leftovers.size(path) for path in one.paths)
            self.items.append(Item("journal", f"{one.writer} up to frame {one.sequence}", size))
            if not self._dry_run:
                await note(self._settings, VERB, f"journal/{one.writer}", **one.detail())
                one.remove()
        days = self._settings.payload_keep_days
        for path in old_payloads(directory, time.time() - days * _DAY) if days else ():
            await self._file("payloads", path)

    async def _files(self) -> None:
        async with self._store.read() as connection:
            building = await garbage.building(connection)
        for kind, path in leftovers.find(self._settings, self._before):
            if path.stem not in building:
                await self._file(kind, path)

    async def _file(self, kind: str, path: Path) -> None:
        self.items.append(Item(kind, str(path.relative_to(self._settings.root)), leftovers.size(path)))
        await self._remove(path)

    async def _remove(self, path: Path) -> None:
        if self._dry_run:
            return
        if path.is_dir():
            await asyncio.to_thread(remove_tree, path)
        else:
            path.unlink(missing_ok=True)

    def _counted(self) -> dict[str, Cursor]:
        path = usage_path(self._settings)
        if not path.exists():
            return {}
        usage = UsageStore(path, read_only=True)
        try:
            return usage.cursors()
        finally:
            usage.close()


def _put_away(directory: Path) -> Path:
    """Under another name at once, so that nobody finds half of it."""
    doomed = directory.parent / "building" / f"removed-{new_id()}"
    doomed.parent.mkdir(exist_ok=True)
    directory.chmod(0o755)  # some systems refuse to move what may not be written
    return directory.rename(doomed)
