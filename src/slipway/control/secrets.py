"""Algorithms' secrets. A value is sealed when it comes in, and never given out again."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter
from pydantic import BaseModel, Field

from slipway.access.decisions import Action
from slipway.access.principals import Principal
from slipway.control.authentication import Named, anyone, itself, may_with
from slipway.control.context import Context, Ctx
from slipway.control.rendering import utc
from slipway.errors import InputError
from slipway.ids import new_id
from slipway.registry import algorithms, secrets
from slipway.types import Secret

router = APIRouter(prefix="/v1", tags=["secrets"])

_PROVIDER = "slipway"
# What an environment variable may be called, and hold.
SecretKey = Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]{0,127}$")]
SecretValue = Annotated[str, Field(min_length=1, max_length=65_536, pattern=r"^[^\u0000]+$")]
ShortName = Annotated[str, Field(max_length=200)]
Description = Annotated[str, Field(max_length=2000)]


class NewSecret(BaseModel):
    """A secret to keep for the algorithm in the path, which `owner_type` and `owner_id` may repeat."""

    secret_key: SecretKey
    secret_value: SecretValue
    short_name: ShortName = ""
    description: Description | None = None
    owner_type: Literal["algorithm"] = "algorithm"
    owner_id: str | None = None
    provider_id: Literal["slipway"] | None = None


class ChangedSecret(BaseModel):
    """What to change of a secret; what is left out, or null, stays."""

    secret_key: SecretKey | None = None
    secret_value: SecretValue | None = None
    short_name: ShortName | None = None
    description: Description | None = None


@router.get("/secret-provider")
async def secret_providers(principal: Principal = anyone()) -> list[dict[str, Any]]:
    """Where secrets are kept: in this platform's store, sealed."""
    return [
        {
            "id": _PROVIDER,
            "name": "slipway",
            "description": "The platform's store, encrypted with AES-256-GCM",
            "module_name": "slipway",
            "factory_class_name": "SecretBox",
            "interface_version": "1",
            "is_enabled": True,
            "is_default": True,
        }
    ]


@router.get("/algorithms/{algorithm_id}/secrets")
async def list_secrets(context: Ctx, named: Named = may_with(Action.MANAGE)) -> dict[str, Any]:
    """An algorithm's secrets, without their values."""
    async with context.store.read() as connection:
        found = await secrets.list_for(connection, named.algorithm.id)
    return {"results": [_render(secret) for secret in found]}


@router.post("/algorithms/{algorithm_id}/secrets", status_code=201)
async def set_secret(body: NewSecret, context: Ctx, named: Named = may_with(Action.MANAGE)) -> dict[str, Any]:
    """Keep a secret; one of the same `secret_key` gets the new value."""
    algorithm = named.algorithm
    if body.owner_id not in (None, algorithm.id):
        raise InputError("owner_id: another algorithm than the path names")
    async with context.store.begin() as connection:
        known = await secrets.by_key(connection, algorithm.id, body.secret_key)
        identity = known.id if known else new_id()
        now = time.time()
        secret = Secret(
            id=identity,
            algorithm_id=algorithm.id,
            short_name=body.short_name,
            description=(body.description or "").strip(),
            secret_key=body.secret_key,
            sealed=context.secret_box.seal(identity, body.secret_value),
            created_at=known.created_at if known else now,
            updated_at=now,
        )
        await (secrets.change if known else secrets.add)(connection, secret)
    await _tell(context, named, "secret.set", secret)
    return _render(secret)


@router.put("/algorithms/{algorithm_id}/secrets/{secret_id}")
async def change_secret(
    secret_id: str, body: ChangedSecret, context: Ctx, named: Named = may_with(Action.MANAGE)
) -> dict[str, Any]:
    """Change a secret."""
    given = body.model_dump(exclude_none=True)
    value = given.pop("secret_value", None)
    async with context.store.begin() as connection:
        secret = await secrets.get(connection, named.algorithm.id, secret_id)
        if value is not None:
            given["sealed"] = context.secret_box.seal(secret.id, value)
        secret = await secrets.change(connection, msgspec.structs.replace(secret, **given))
    await _tell(context, named, "secret.set", secret)
    return _render(secret)


@router.delete("/algorithms/{algorithm_id}/secrets/{secret_id}", status_code=204)
async def remove_secret(secret_id: str, context: Ctx, named: Named = may_with(Action.MANAGE)) -> None:
    """Forget a secret."""
    async with context.store.begin() as connection:
        secret = await secrets.get(connection, named.algorithm.id, secret_id)
        await secrets.remove(connection, secret)
    await _tell(context, named, "secret.remove", secret)


@router.get("/secrets/values", include_in_schema=False)
async def values(context: Ctx, principal: Principal = itself()) -> dict[str, str]:
    """Its secrets, for an algorithm that loads or answers a call: nobody else is told. Raises NoSuchAlgorithm."""
    owner, _, name = principal.algorithm.partition("/")
    async with context.store.read() as connection:
        algorithm = await algorithms.get(connection, owner, name)
        found = await secrets.list_for(connection, algorithm.id)
    return {secret.secret_key: context.secret_box.open(secret.id, secret.sealed) for secret in found}


async def _tell(context: Context, named: Named, verb: str, secret: Secret) -> None:
    resource = f"{named.algorithm.owner}/{named.algorithm.name}"
    await context.event(named.principal, verb, resource, secret=secret.id, secret_key=secret.secret_key)


def _render(secret: Secret) -> dict[str, Any]:
    return {
        "id": secret.id,
        "short_name": secret.short_name,
        "description": secret.description,
        "secret_key": secret.secret_key,
        "owner_type": "algorithm",
        "owner_id": secret.algorithm_id,
        "provider_id": _PROVIDER,
        "default_secret_value_id": secret.id,
        "created_at": utc(secret.created_at),
        "updated_at": utc(secret.updated_at),
        "resource_type": "secret",
    }
