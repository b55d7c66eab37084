"""Languages, environments, and the template that a new algorithm begins from."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Response
from pydantic import BaseModel

from slipway.access.principals import Principal
from slipway.control.authentication import administrator, anyone
from slipway.control.context import Context, Ctx
from slipway.control.rendering import utc
from slipway.errors import NotFound
from slipway.registry import environments
from slipway.release import template
from slipway.release.offers import Offer, is_python, offers, python_for
from slipway.types import Environment

router = APIRouter(prefix="/v1/algorithm-environments", tags=["environments"])

_GZIP = "application/gzip"
_ARCHIVE: dict[int | str, dict[str, Any]] = {
    200: {"content": {_GZIP: {"schema": {"type": "string", "format": "binary"}}}, "description": "a tar.gz"}
}
_TEMPLATE_NAME = "hello"


class Trust(BaseModel):
    """Whether all owners share the environment's zygote."""

    trusted: bool


class Language(BaseModel):
    """A language that runs here."""

    name: str
    display_name: str
    configuration: str


@router.get("/edge/languages")
async def languages(principal: Principal = anyone()) -> list[Language]:
    """The languages that run here."""
    return [Language(name="python", display_name="Python", configuration="{}")]


@router.get("/edge/languages/{language}/environments")
async def list_environments(language: str, context: Ctx, principal: Principal = anyone()) -> dict[str, Any]:
    """What a new algorithm of a language can ask for, then the environments that were built."""
    if not is_python(language):
        raise NotFound(f"no language is called {language[:100]}: python is")
    async with context.store.read() as connection:
        built = await environments.list_all(connection)
    offered = offers(await context.interpreters.find())
    return {"environments": [*map(_render_offer, offered), *map(_render, built)]}


@router.get("/edge/environment-specifications/{environment_id}/template", response_class=Response, responses=_ARCHIVE)
async def get_template(environment_id: str, context: Ctx, principal: Principal = anyone()) -> Response:
    """The template of a new algorithm in that environment, as its repository would hold it."""
    async with context.store.read() as connection:
        built = await environments.get(connection, environment_id)
    offered = {offer.id: offer.python for offer in offers(await context.interpreters.find())}
    if built is None and environment_id not in offered:
        raise NotFound("there is no such environment")
    python = await python_wanted(context, {"algorithm_environment": environment_id})
    archive = await asyncio.to_thread(template.archive, principal.account.name, _TEMPLATE_NAME, python)
    headers = {"Content-Disposition": 'attachment; filename="template.tar.gz"'}
    return Response(archive, media_type=_GZIP, headers=headers)


@router.put("/edge/environments/{digest}")
async def set_trust(digest: str, body: Trust, context: Ctx, principal: Principal = administrator()) -> dict[str, Any]:
    """Trust an environment, or no longer."""
    async with context.store.begin() as connection:
        environment = await environments.set_trusted(connection, digest, body.trusted)
    await context.event(principal, "environment.trust", digest, trusted=str(body.trusted).lower())
    return _render(environment)


async def python_wanted(context: Context, settings: Mapping[str, str | bool | int]) -> str:
    """The Python that an algorithm's settings ask for; empty where any will do. Raises InputError."""
    async with context.store.read() as connection:
        built = await environments.list_all(connection)
    versions = {environment.digest: environment.interpreter_version for environment in built}
    return python_for(settings, offers(await context.interpreters.find()), versions)


def _render_offer(offer: Offer) -> dict[str, Any]:
    return {
        "id": offer.id,
        "environment_specification_id": offer.id,
        "display_name": f"Python {offer.python}",
        "description": f"Python {offer.python}, with what requirements.txt names",
        "language": "python",
        "machine_type": "CPU",
        "trusted": False,
        "created_at": utc(0.0),
    }


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
