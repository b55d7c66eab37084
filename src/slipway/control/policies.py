"""Organizations' own policies, trials of them, and why something is allowed or not."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from slipway.access.decisions import Action, Resource, question
from slipway.access.policies import PolicyBook, check_policies
from slipway.access.principals import Principal
from slipway.control.authentication import anyone, may
from slipway.control.context import Context, Ctx
from slipway.control.rendering import utc
from slipway.errors import InputError, NotFound
from slipway.registry import accounts, algorithms, keys, policies, versions

router = APIRouter(prefix="/v1", tags=["policies"])

Name = Annotated[str, Field(min_length=1, max_length=300)]


class Policies(BaseModel):
    """Policies in Cedar, for all that an organization owns."""

    text: Annotated[str, Field(max_length=262_144)]


class KeptPolicies(Policies):
    """And when they were written."""

    updated_at: str | None


class Case(BaseModel):
    """A question, and the answer that is expected: may this account do that, to that?"""

    account: Name
    action: Name
    resource: Name  # `algo://OWNER/NAME[/VERSION]`, `data://OWNER/…`, `org://NAME`
    expect: Literal["allow", "deny"]


class Trial(BaseModel):
    """Cases to try with these policies, or with those that are in force."""

    text: Annotated[str, Field(max_length=262_144)] | None = None
    cases: Annotated[list[Case], Field(max_length=1000)]


class Answer(BaseModel):
    """Whether it is allowed, and by the names of which policies; none where no policy permits it."""

    allowed: bool
    policies: list[str]


class TriedCase(Case, Answer):
    """What came of a case."""

    passed: bool


@router.get("/organizations/{organization}/policies")
async def get_policies(
    organization: str, context: Ctx, principal: Principal = may(Action.INSPECT, "organization")
) -> KeptPolicies:
    """An organization's own policies; empty where it has none."""
    async with context.store.read() as connection:
        found = await policies.get(connection, await accounts.get_organization(connection, organization))
    return KeptPolicies(text=found.text if found else "", updated_at=utc(found.updated_at) if found else None)


@router.put("/organizations/{organization}/policies")
async def put_policies(
    organization: str, body: Policies, context: Ctx, principal: Principal = may(Action.ACCOUNT, "organization")
) -> KeptPolicies:
    """Have them in force from now on, in place of the earlier ones. Wrong ones change nothing."""
    check_policies(body.text)
    async with context.store.begin() as connection:
        kept = await policies.put(connection, await accounts.get_organization(connection, organization), body.text)
    context.authorizer.book.put(organization, body.text)
    await context.event(principal, "policy.put", organization, text=body.text[:4000])
    return KeptPolicies(text=kept.text, updated_at=utc(kept.updated_at))


@router.delete("/organizations/{organization}/policies", status_code=204)
async def delete_policies(
    organization: str, context: Ctx, principal: Principal = may(Action.ACCOUNT, "organization")
) -> None:
    """Have none."""
    async with context.store.begin() as connection:
        await policies.remove(connection, await accounts.get_organization(connection, organization))
    context.authorizer.book.drop(organization)
    await context.event(principal, "policy.remove", organization)


@router.post("/organizations/{organization}/policies/test")
async def try_policies(
    organization: str, body: Trial, context: Ctx, principal: Principal = may(Action.INSPECT, "organization")
) -> list[TriedCase]:
    """Try cases, with policies that need not be in force; nothing changes. Accounts and roles are the real ones."""
    book = context.authorizer.book
    if body.text is not None:
        book = PolicyBook()
        book.put(organization, body.text)
    tried = []
    for case in body.cases:
        who = await _account(context, case.account)
        found = book.decide(question(who, _action(case.action), await _resource(context, case.resource)))
        passed = found.allowed is (case.expect == "allow")
        tried.append(TriedCase(**case.model_dump(), allowed=found.allowed, policies=[*found.policies], passed=passed))
    return tried


@router.get("/why")
async def why(
    context: Ctx,
    key: Annotated[str, Query(max_length=100, description="a key's id")],
    action: Annotated[str, Query(max_length=40)],
    resource: Annotated[str, Query(max_length=300)],
    principal: Principal = anyone(),
) -> Answer:
    """Whether a key may do something, and which policies say so; for who owns the key, or what it is about."""
    who = await _holder(context, key)
    what = await _resource(context, resource)
    if not principal.owns(who.account.name):
        await context.allow(principal, Action.ACCOUNT, Resource("account", what.owner), what.owner)
    found = context.authorizer.decide(who, _action(action), what)
    return Answer(allowed=found.allowed, policies=[*found.policies])


async def _account(context: Context, name: str) -> Principal:
    async with context.store.read() as connection:
        return Principal(account=await accounts.get(connection, name), key_id="")


async def _holder(context: Context, key_id: str) -> Principal:
    async with context.store.read() as connection:
        key = await keys.get(connection, key_id)
        if key.revoked_at is not None:
            raise NotFound("that key was revoked")
        return Principal(await accounts.by_id(connection, key.account_id), key.id, key.permissions)


def _action(name: str) -> Action:
    try:
        return Action(name)
    except ValueError:
        raise InputError(f"action: {name[:40]!r} is none of {', '.join(Action)}") from None


async def _resource(context: Context, text: str) -> Resource:
    """What a text such as `algo://ann/echo/1.0.0` means. Raises InputError, NoSuchAlgorithm, NoSuchVersion."""
    scheme, _, rest = text.partition("://")
    owner, _, path = rest.partition("/")
    name, _, selector = path.partition("/")
    if not owner or scheme not in ("algo", "data", "org") or (scheme == "algo" and not name):
        raise InputError(f"resource: {text[:100]!r} is none of algo://OWNER/NAME[/VERSION], data://OWNER, org://NAME")
    if scheme != "algo":
        return Resource("data" if scheme == "data" else "organization", owner)
    async with context.store.read() as connection:
        algorithm = await algorithms.get(connection, owner, name)
        if not selector:
            found, _ = await versions.page(connection, algorithm.id, limit=1, callable=True)
            return Resource("algorithm", owner, bool(found), name)
        version = await versions.get(connection, algorithm.id, selector)
    names = tuple(filter(None, (version.semantic_version, version.commit)))
    return Resource("algorithm", owner, version.callability == "public", name, names)
