"""Organizations and their members. A member may do with what is the organization's whatever its owner may."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from slipway.access.decisions import Action
from slipway.access.principals import Principal
from slipway.control.authentication import administrator, anyone, may
from slipway.control.context import Ctx
from slipway.control.removal import remove_account
from slipway.control.rendering import page, utc
from slipway.errors import InputError, NotFound
from slipway.registry import accounts, members
from slipway.registry.names import NAME_SCHEMA
from slipway.types import Account

router = APIRouter(prefix="/v1", tags=["organizations"])

Limit = Annotated[int, Query(ge=1, le=1000)]
Text = Annotated[str, Field(max_length=320)]
_KEPT = ("org_label", "org_contact_name", "org_url")
# The classic clients look an organization's type up by name. Here all types are alike.
_TYPES = {name: str(uuid.uuid5(uuid.NAMESPACE_URL, f"slipway:{name}")) for name in ("basic", "legacy", "pro")}
Role = Literal["member", "admin", "publisher", "developer", "caller", "auditor", "billing"]
_EMPTY: dict[int | str, dict[str, Any]] = {200: {"description": "Done; there is no content", "content": {}}}


class OrganizationType(BaseModel):
    """A type of organization."""

    id: str
    name: str


class Description(BaseModel):
    """What there is to say of an organization; what is left out, or null, stays."""

    org_label: Text | None = None
    org_contact_name: Text | None = None
    org_email: Text | None = None
    org_url: Text | None = None
    type_id: str | None = Field(None, json_schema_extra={"enum": [*_TYPES, *_TYPES.values(), None]})


class NewOrganization(Description):
    """An organization to make."""

    org_name: str = Field(json_schema_extra=NAME_SCHEMA)


class ChangedOrganization(Description):
    """What to change of one. Its name stays: an `org_name`, if there is one, must be the name."""

    org_name: str | None = None


class Membership(BaseModel):
    """In which role a user is a member."""

    role: Role = "member"


@router.get("/organization/types")
async def organization_types(principal: Principal = anyone()) -> list[OrganizationType]:
    """The types that an organization can have."""
    return [OrganizationType(id=identity, name=name) for name, identity in _TYPES.items()]


@router.post("/organizations", status_code=201)
async def create(body: NewOrganization, context: Ctx, principal: Principal = administrator()) -> dict[str, Any]:
    """Make an organization."""
    profile = {"type_id": _type(body.type_id) or _TYPES["basic"], **_described(body)}
    async with context.store.begin() as connection:
        account = await accounts.create(
            connection, name=body.org_name, email=body.org_email or "", kind="organization", profile=profile
        )
    await context.event(principal, "organization.create", account.name)
    return render(account, profile)


@router.get("/organizations")
async def list_all(
    request: Request,
    context: Ctx,
    limit: Limit = 1000,
    marker: Annotated[str | None, Query(max_length=100)] = None,
    principal: Principal = administrator(),
) -> dict[str, Any]:
    """All organizations."""
    async with context.store.read() as connection:
        found, following = await accounts.page(connection, "organization", limit, marker)
        profiles = await accounts.profiles(connection, [account.id for account in found])
    return page([render(account, profiles[account.id]) for account in found], following, request)


@router.get("/organizations/{organization}")
async def get(
    organization: str, context: Ctx, principal: Principal = may(Action.INSPECT, "organization")
) -> dict[str, Any]:
    """One organization."""
    async with context.store.read() as connection:
        account = await accounts.get_organization(connection, organization)
        return render(account, await accounts.profile(connection, account.id))


@router.put("/organizations/{organization}", status_code=204)
async def update(
    organization: str,
    body: ChangedOrganization,
    context: Ctx,
    principal: Principal = may(Action.ACCOUNT, "organization"),
) -> None:
    """Change how an organization is described."""
    changed = _described(body)
    if kind := _type(body.type_id):
        changed["type_id"] = kind
    async with context.store.begin() as connection:
        account = await accounts.get_organization(connection, organization)
        if body.org_name not in (None, "", organization):
            raise InputError("org_name: an organization keeps its name")
        profile = {**await accounts.profile(connection, account.id), **changed}
        await accounts.update_profile(connection, account.id, email=body.org_email, profile=profile)
    await context.event(principal, "organization.update", organization)


@router.delete("/organizations/{organization}", status_code=204)
async def delete(organization: str, context: Ctx, principal: Principal = administrator()) -> None:
    """Remove an organization with its algorithms, keys and data. Its name is never given again."""
    async with context.store.read() as connection:
        account = await accounts.get_organization(connection, organization)
    await remove_account(context, principal, account)


@router.get("/organizations/{organization}/members")
async def list_members(
    organization: str, request: Request, context: Ctx, principal: Principal = may(Action.INSPECT, "organization")
) -> dict[str, Any]:
    """An organization's members."""
    async with context.store.read() as connection:
        account = await accounts.get_organization(connection, organization)
        found = await members.list_for(connection, account.id)
    return page([_render_member(member) for member in found], None, request)


@router.get("/organizations/{organization}/members/{member}")
async def get_member(
    organization: str, member: str, context: Ctx, principal: Principal = may(Action.INSPECT, "organization")
) -> dict[str, Any]:
    """One member."""
    async with context.store.read() as connection:
        account = await accounts.get_organization(connection, organization)
        for found in await members.list_for(connection, account.id):
            if found.username == member:
                return _render_member(found)
    raise NotFound(f"{member[:200]} is no member of {organization}")


@router.put("/organizations/{organization}/members/{member}", response_class=Response, responses=_EMPTY)
async def add_member(
    organization: str,
    member: str,
    context: Ctx,
    body: Membership | None = None,
    principal: Principal = may(Action.ACCOUNT, "organization"),
) -> Response:
    """Make a user a member, who may do everything there unless the role says less; nothing changes where it is one."""
    role = body.role if body else members.MEMBER
    async with context.store.begin() as connection:
        account = await accounts.get_organization(connection, organization)
        added = await members.add(connection, account, await accounts.get_user(connection, member), role)
    if added:
        await context.event(principal, "organization.member.add", organization, member=member, role=role)
    return Response(status_code=200)


@router.delete("/organizations/{organization}/members/{member}", status_code=204)
async def remove_member(
    organization: str, member: str, context: Ctx, principal: Principal = may(Action.ACCOUNT, "organization")
) -> None:
    """No member any longer; nothing changes where it is none."""
    async with context.store.begin() as connection:
        account = await accounts.get_organization(connection, organization)
        removed = await members.remove(connection, account, await accounts.get_user(connection, member))
    if removed:
        await context.event(principal, "organization.member.remove", organization, member=member)


def render(account: Account, profile: accounts.Profile) -> dict[str, Any]:
    """An organization as the API shows it."""
    return {
        "id": account.id,
        "org_name": account.name,
        "org_email": account.email,
        **{name: profile.get(name, "") for name in _KEPT},
        "type_id": profile.get("type_id", _TYPES["basic"]),
        "org_created_at": utc(account.created_at),
        "self_link": f"/v1/organizations/{account.name}",
        "resource_type": "organization",
    }


def _render_member(member: members.Member) -> dict[str, Any]:
    return {
        "username": member.username,
        "role": member.role,
        "created_at": utc(member.created_at),
        "user_link": f"/v1/users/{member.username}",
        "resource_type": "organization_member",
    }


def _described(body: Description) -> dict[str, str]:
    return {name: value for name in _KEPT if (value := getattr(body, name)) is not None}


def _type(wanted: str | None) -> str | None:
    """The type's id, whether that or its name was sent. Raises InputError."""
    if wanted is None or wanted in _TYPES.values():
        return wanted
    if wanted not in _TYPES:
        raise InputError(f"type_id: there is no type {wanted[:100]!r} of organizations")
    return _TYPES[wanted]
