"""What the routes work with: one object, made at start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request

from slipway.access.decisions import Action, Authorizer, Resource
from slipway.access.principals import Principal
from slipway.access.secrets import SecretBox
from slipway.control.asynchronous.files import RequestFiles
from slipway.control.feeds import Feeds
from slipway.control.refusals import Refusals
from slipway.control.stopping import Stopping
from slipway.errors import CapacityError, PermissionDenied
from slipway.journal.records import new_event
from slipway.journal.writer import JournalWriter
from slipway.registry import builds as builds_table
from slipway.registry import policies
from slipway.registry.files import Files
from slipway.registry.store import Store
from slipway.release.build import Builds
from slipway.release.hosts import Hosts
from slipway.release.interpreters import Interpreters
from slipway.settings import Settings
from slipway.types import Build


class Context:
    """The parts of control, and the two things every route does: ask for permission, leave an event."""

    def __init__(
        self,
        settings: Settings,
        store: Store,
        journal: JournalWriter,
        hosts: Hosts,
        builds: Builds,
        files: Files,
        wake_jobs: Callable[[], None],
    ) -> None:
        self.settings, self.store, self.journal = settings, store, journal
        self.hosts, self.builds, self.files = hosts, builds, files
        self.request_files = RequestFiles(settings.requests_directory)
        self.feeds = Feeds(store)
        self.refusals = Refusals(journal)
        self.stopping = Stopping()
        self.authorizer = Authorizer()
        self.secret_box = SecretBox(settings.secrets_key_file)
        self.interpreters = Interpreters(settings.interpreters)
        self.wake_jobs = wake_jobs

    async def allow(self, principal: Principal, action: Action, resource: Resource, name: str = "") -> Principal:
        """The principal, if it may; a refusal is recorded. Raises PermissionDenied, DiskFull."""
        try:
            self.authorizer.authorize(principal, action, resource)
        except PermissionDenied as error:
            await self.event(principal, action.value, name or resource.owner or resource.kind, "refused", str(error))
            raise
        return principal

    async def event(
        self, principal: Principal, verb: str, resource: str, outcome: str = "done", reason: str = "", **detail: str
    ) -> None:
        """Record what somebody did or was refused; it is on disk when this returns. Raises DiskFull."""
        known = {"key": principal.key_id, "reason": reason, **detail}
        detail = {name: value for name, value in known.items() if value}
        await self.journal.write(new_event(principal.account.name, verb, resource, outcome, detail))

    async def request_build(self, owner: str, name: str, commit: str, actor: str) -> Build:
        """Ask for a commit's build, and have its job begin at once."""
        build = await self.builds.request(owner, name, commit, actor)
        self.wake_jobs()
        return build

    async def ended(self, build: Build) -> Build:
        """The build, once it is no longer in progress. Raises CapacityError when this process stops before."""
        async for _ in self.stopping.until(self.builds.follow(build.id)):
            pass
        async with self.store.read() as connection:
            found = await builds_table.get(connection, build.id)
        if found.status == "in-progress":
            raise CapacityError("the platform is being restarted and goes on with the build then: ask again")
        return found


async def load_policies(context: Context) -> None:
    """Have those in force that organizations have written."""
    async with context.store.read() as connection:
        for written in await policies.list_all(connection):
            context.authorizer.book.put(written.owner, written.text)


def get_context(request: Request) -> Context:
    """The context of the application that serves the request."""
    context: Context = request.app.state.context
    return context


Ctx = Annotated[Context, Depends(get_context)]
