"""Organizations and their members, restricted keys, and accounts that were deleted."""

from __future__ import annotations

import pytest

from slipway.errors import AlreadyExists, BadMarker, NoSuchAccount, NoSuchOrganization
from slipway.registry import accounts, algorithms, keys, members, snapshot
from slipway.registry.store import Store
from slipway.types import Account, Permissions


async def _organization_with(store: Store, *users: str) -> tuple[Account, list[Account]]:
    async with store.begin() as connection:
        made = await accounts.create(connection, name="lab", kind="organization", profile={"org_label": "The lab"})
        joined = [await accounts.create(connection, name=user) for user in users]
        for user in joined:
            assert await members.add(connection, made, user)
    return made, joined


async def test_a_member_knows_its_organizations_wherever_accounts_are_read(store: Store) -> None:
    lab, (ann,) = await _organization_with(store, "ann")
    async with store.read() as connection:
        assert (await accounts.get(connection, "ann")).organizations == {"lab"}
        assert (await accounts.by_id(connection, ann.id)).organizations == {"lab"}
        assert {one.name: one.organizations for one in await accounts.list_all(connection)} == {
            "ann": {"lab"},
            "lab": set(),
        }
        assert [member.username for member in await members.list_for(connection, lab.id)] == ["ann"]
        assert (await accounts.profile(connection, lab.id)) == {"org_label": "The lab"}


async def test_joining_and_leaving_is_told_to_gateways_and_both_may_be_repeated(store: Store) -> None:
    lab, (ann,) = await _organization_with(store, "ann")
    before = await store.revision()
    async with store.begin() as connection:
        assert not await members.add(connection, lab, ann)
    assert await store.revision() == before
    async with store.begin() as connection:
        assert await members.remove(connection, lab, ann)
        assert not await members.remove(connection, lab, ann)
    async with store.read() as connection:
        (told,) = (await snapshot.increment(connection, before)).accounts
        assert (told.name, told.organizations) == ("ann", frozenset())


async def test_a_full_snapshot_holds_memberships_and_permissions(store: Store) -> None:
    _, (ann,) = await _organization_with(store, "ann")
    permissions = Permissions(allow_algo=True, algo_acl=("algo://lab/*",))
    async with store.begin() as connection:
        key, _ = await keys.create(connection, ann.id, permissions=permissions)
        free, _ = await keys.create(connection, ann.id)
    async with store.read() as connection:
        full = await snapshot.full(connection)
    assert {account.name: account.organizations for account in full.accounts}["ann"] == {"lab"}
    assert {one.id: one.permissions for one in full.keys} == {key.id: permissions, free.id: None}


async def test_a_deleted_organization_is_gone_with_all_it_had_but_its_name(store: Store) -> None:
    lab, _ = await _organization_with(store, "ann", "bob")
    async with store.begin() as connection:
        key, _ = await keys.create(connection, lab.id)
        await algorithms.create(connection, account=lab, name="echo")
    before = await store.revision()
    async with store.begin() as connection:
        await accounts.delete(connection, lab.id)
    async with store.read() as connection:
        told = await snapshot.increment(connection, before)
        assert {("account", lab.id), ("key", key.id)} <= set(told.removed)
        assert {account.name: account.organizations for account in told.accounts} == {"ann": set(), "bob": set()}
        assert await algorithms.list_for(connection) == []
        with pytest.raises(NoSuchAccount):
            await accounts.get(connection, "lab")
        with pytest.raises(NoSuchOrganization):
            await accounts.get_organization(connection, "lab")
    async with store.begin() as connection:
        with pytest.raises(AlreadyExists, match="lab"):
            await accounts.create(connection, name="lab")


async def test_accounts_have_pages_by_kind(store: Store) -> None:
    await _organization_with(store, "ann", "bob", "carl")
    async with store.read() as connection:
        first, marker = await accounts.page(connection, "user", 2)
        rest, end = await accounts.page(connection, "user", 2, marker)
        assert [one.name for one in [*first, *rest]] == ["ann", "bob", "carl"]
        assert (first[0].organizations, end) == (frozenset({"lab"}), None)
        assert [one.name for one in (await accounts.page(connection, "organization", 9))[0]] == ["lab"]
        with pytest.raises(BadMarker):
            await accounts.page(connection, None, 2, "nonsense")


async def test_a_change_of_a_profile_leaves_what_is_not_named(store: Store) -> None:
    lab, _ = await _organization_with(store)
    async with store.begin() as connection:
        await accounts.update_profile(connection, lab.id, email="lab@example.org")
        await accounts.update_profile(connection, lab.id, profile={"org_label": "Other"})
        await accounts.update_profile(connection, lab.id)
        assert (await accounts.get(connection, "lab")).email == "lab@example.org"
        assert await accounts.profile(connection, lab.id) == {"org_label": "Other"}
