"""Users. There are no passwords: what the classic clients send beside a name must be empty."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, Field

from slipway.access.decisions import Action
from slipway.access.principals import Principal
from slipway.control.algorithms import NewAlgorithm, add_algorithm
from slipway.control.authentication import administrator, anyone, may
from slipway.control.context import Ctx
from slipway.control.removal import remove_account
from slipway.control.rendering import page
from slipway.errors import InputError
from slipway.registry import accounts
from slipway.registry.names import NAME_SCHEMA
from slipway.types import Account

router = APIRouter(prefix="/v1", tags=["accounts"])

Limit = Annotated[int, Query(ge=1, le=1000)]
Text = Annotated[str, Field(max_length=320)]
_KEPT = ("fullname", "company_name", "company_role")
_HELLO = "Hello"


class ChangedUser(BaseModel, extra="forbid"):
    """What to change of a user; what is left out, or null, stays. What only the platform sets may stand there too."""

    email: Text | None = None
    fullname: Text | None = None
    company_name: Text | None = None
    company_role: Text | None = None
    username: str | None = None  # stays as it is
    id: str | None = None
    self_link: str | None = None
    resource_type: str | None = None


class NewUser(ChangedUser):
    """A user to make."""

    username: str = Field(json_schema_extra=NAME_SCHEMA)
    passwordHash: Literal[""] | None = None
    shouldCreateHello: bool = False  # with an algorithm that answers `hello INPUT`


@router.post("/users", status_code=201)
async def create_user(body: NewUser, context: Ctx, principal: Principal = administrator()) -> dict[str, Any]:
    """Make a user."""
    profile = _described(body)
    async with context.store.begin() as connection:
        account = await accounts.create(connection, name=body.username, email=body.email or "", profile=profile)
    await context.event(principal, "account.create", account.name)
    if body.shouldCreateHello:
        await add_algorithm(context, account.name, NewAlgorithm(name=_HELLO))
        await context.event(principal, "algorithm.create", f"{account.name}/{_HELLO}")
    return {**render_account(account), **_shown(profile)}


@router.get("/users")
async def list_users(
    request: Request,
    context: Ctx,
    limit: Limit = 1000,
    marker: Annotated[str | None, Query(max_length=100)] = None,
    principal: Principal = administrator(),
) -> dict[str, Any]:
    """All users."""
    async with context.store.read() as connection:
        found, following = await accounts.page(connection, "user", limit, marker)
        profiles = await accounts.profiles(connection, [account.id for account in found])
    results = [{**render_account(account), **_shown(profiles[account.id])} for account in found]
    return page(results, following, request)


@router.get("/whoami")
async def whoami(principal: Principal = anyone()) -> dict[str, Any]:
    """The account of the key that asks."""
    return render_account(principal.account)


@router.get("/users/{user}")
async def get_user(user: str, context: Ctx, principal: Principal = may(Action.ACCOUNT, "account")) -> dict[str, Any]:
    """One user."""
    async with context.store.read() as connection:
        account = await accounts.get_user(connection, user)
        return {**render_account(account), **_shown(await accounts.profile(connection, account.id))}


@router.put("/users/{user}")
async def update_user(
    user: str, body: ChangedUser, context: Ctx, principal: Principal = may(Action.ACCOUNT, "account")
) -> dict[str, Any]:
    """Change how a user is described."""
    async with context.store.begin() as connection:
        account = await accounts.get_user(connection, user)
        if body.username not in (None, "", user):
            raise InputError("username: a user keeps their name")
        profile = {**await accounts.profile(connection, account.id), **_described(body)}
        await accounts.update_profile(connection, account.id, email=body.email, profile=profile)
        account = await accounts.get_user(connection, user)
    await context.event(principal, "account.update", user)
    return {**render_account(account), **_shown(profile)}


@router.delete("/users/{user}", status_code=204)
async def delete_user(user: str, context: Ctx, principal: Principal = administrator()) -> None:
    """Remove a user with their keys, algorithms and data. Their name is never given again."""
    if user == principal.account.name:
        raise InputError("an administrator cannot remove themselves")
    async with context.store.read() as connection:
        account = await accounts.get_user(connection, user)
    await remove_account(context, principal, account)


def render_account(account: Account) -> dict[str, Any]:
    """An account as the API shows it."""
    return {
        "id": account.id,
        "username": account.name,
        "email": account.email,
        "kind": account.kind,
        "admin": account.admin,
        "organizations": sorted(account.organizations),
        "roles": sorted(account.roles),
        "created_at": account.created_at,
        "self_link": f"/v1/users/{account.name}",
        "resource_type": "user",
    }


def _described(body: ChangedUser) -> dict[str, str]:
    return {name: value for name in _KEPT if (value := getattr(body, name)) is not None}


def _shown(profile: accounts.Profile) -> dict[str, str]:
    return {name: profile.get(name, "") for name in _KEPT}
