"""What the routes work with: one object, made at start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request

from slipway.access.decisions import Action, Resource, authorize
from slipway.access.principals import Principal
from slipway.control.feeds import Feeds
from slipway.errors import AuthenticationError, PermissionDenied
from slipway.journal.writer import JournalWriter
from slipway.registry.files import Files
from slipway.registry.store import Store
from slipway.release.build import Builds
from slipway.release.hosts import Hosts
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
        self.feeds = Feeds(store)
        self._wake_jobs = wake_jobs

    async def request_build(self, owner: str, name: str, commit: str, actor: str) -> Build:
        """Ask for a commit's build, and have its job begin at once."""
        build = await self.builds.request(owner, name, commit, actor)
        self._wake_jobs()
        return build

    def allow(self, principal: Principal | None, action: Action, resource: Resource, name: str = "") -> Principal:
        """The principal, if it may; a refusal is recorded. Raises AuthenticationError, PermissionDenied."""
        try:
            authorize(principal, action, resource)
        except PermissionDenied as error:
            assert principal is not None
            self.event(
                principal, action.value, name or f"{resource.kind}/{resource.owner}", "refused", reason=str(error)
            )
            raise
        if principal is None:
            raise AuthenticationError("send `Authorization: Simple KEY` with an API key of this platform")
        return principal

    def event(self, principal: Principal, verb: str, resource: str, outcome: str = "done", **detail: str) -> None:
        """Record what somebody did or was refused."""
        self.journal.event(principal.account.name, verb, resource, outcome, key=principal.key_id, **detail)


def get_context(request: Request) -> Context:
    """The context of the application that serves the request."""
    context: Context = request.app.state.context
    return context


Ctx = Annotated[Context, Depends(get_context)]
