"""Languages and environments."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from slipway.access.principals import Principal
from slipway.control.authentication import administrator, anyone
from slipway.control.context import Ctx
from slipway.control.rendering import utc
from slipway.errors import NotFound
from slipway.registry import environments
from slipway.types import Environment

router = APIRouter(prefix="/v1/algorithm-environments", tags=["environments"])


class Trust(BaseModel):
    """Whether all owners share the environment's zygote."""

    trusted: bool


@router.get("/edge/languages")
async def languages(principal: Principal = anyone()) -> list[dict[str, str]]:
    """The languages that run here."""
    return [{"name": "python", "display_name": "Python", "configuration": "{}"}]


@router.get("/edge/languages/{language}/environments")
async def list_environments(language: str, context: Ctx, principal: Principal = anyone()) -> dict[str, Any]:
    """The environments that were built for a language."""
    if language != "python":
        raise NotFound(f"no language is called {language}: python is")
    async with context.store.read() as connection:
        found = await environments.list_all(connection)
    return {"environments": [_render(environment) for environment in found]}


@router.put("/edge/environments/{digest}")
async def set_trust(digest: str, body: Trust, context: Ctx, principal: Principal = administrator()) -> dict[str, Any]:
    """Trust an environment, or no longer."""
    async with context.store.begin() as connection:
        environment = await environments.set_trusted(connection, digest, body.trusted)
    await context.event(principal, "environment.trust", digest, trusted=str(body.trusted).lower())
    return _render(environment)


def _render(environment: Environment) -> dict[str, Any]:
    return {
        "id": environment.digest,
        "environment_specification_id": environment.digest,
        "display_name": f"Python {environment.interpreter_version}",
        "description": ", ".join(line for line in environment.lock.splitlines() if line and line[0].isalnum())[:500],
        "language": environment.language,
        "machine_type": environment.hardware.upper(),
        "trusted": environment.trusted,
        "created_at": utc(environment.created_at),
    }
