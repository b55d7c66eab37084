"""Algorithms, environments, versions, builds and routes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from slipway.errors import (
    AlreadyExists,
    AlreadyPublished,
    BadMarker,
    InputError,
    NoSuchAlgorithm,
    NoSuchBuild,
    NoSuchVersion,
)
from slipway.registry import accounts, algorithms, builds, environments, routes, versions
from slipway.registry.store import Store
from slipway.types import Arm, Resources, Route, Scaling
from tests.contract.registry.factories import COMMIT, a_version, an_environment, make_algorithm, make_version


async def test_an_algorithm_keeps_its_settings_with_their_types(store: Store) -> None:
    settings: dict[str, str | bool | int] = {"license": "apl", "pipeline_enabled": True, "royalty_microcredits": 0}
    async with store.begin() as connection:
        made = await make_algorithm(connection)
        await algorithms.update(connection, made.id, settings=settings, label="Echo")
    async with store.read() as connection:
        found = await algorithms.get(connection, "jpublic", "echo")
    assert found.settings == settings
    assert (found.label, found.owner, found.summary) == ("Echo", "jpublic", "")


async def test_two_owners_may_use_one_name_but_one_owner_may_not_use_it_twice(store: Store) -> None:
    async with store.begin() as connection:
        await make_algorithm(connection, owner="a")
        await make_algorithm(connection, owner="b")
        owner = await accounts.get(connection, "a")
        with pytest.raises(AlreadyExists, match="a/echo"):
            await algorithms.create(connection, account=owner, name="echo")
        assert [item.owner for item in await algorithms.list_for(connection)] == ["a", "b"]
        assert [item.owner for item in await algorithms.list_for(connection, "b")] == ["b"]


async def test_a_version_reads_back_as_it_was_added(store: Store) -> None:
    resources = Resources(cpu=0.5, memory_bytes=2**34)
    scaling = Scaling(max_replicas=9, idle_seconds=1.5)
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        version = a_version(algorithm, resources=resources, scaling=scaling, sample_input='"Zoë"')
        assert await versions.add(connection, version) == version
        assert await versions.get(connection, algorithm.id, COMMIT) == version
        assert await versions.by_id(connection, version.id) == version


async def test_a_version_without_its_environment_is_refused(store: Store) -> None:
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        with pytest.raises(InputError, match="environment"):
            await versions.add(connection, a_version(algorithm, environment="unknown"))


async def test_a_commit_that_was_built_twice_names_the_newest_version(store: Store) -> None:
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        newest = await make_version(connection, algorithm, created_at=20.0)
        await make_version(connection, algorithm, created_at=10.0)
        assert (await versions.get(connection, algorithm.id, COMMIT)).id == newest.id


async def test_a_published_version_is_found_by_its_number(store: Store) -> None:
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        version = await make_version(connection, algorithm)
        with pytest.raises(NoSuchVersion):
            await versions.get(connection, algorithm.id, "0.1.0")
        published = await versions.publish(connection, version.id, "0.1.0", "public", "first", "1", "2")
        assert await versions.get(connection, algorithm.id, "0.1.0") == published
        assert await versions.semantic_versions(connection, algorithm.id) == ["0.1.0"]
    assert published.published_at is not None
    assert (published.callability, published.release_notes, published.sample_input) == ("public", "first", "1")


async def test_publishing_again_changes_nothing_with_the_same_values_and_is_refused_with_others(store: Store) -> None:
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        version = await make_version(connection, algorithm)
        published = await versions.publish(connection, version.id, "0.1.0", "public")
    revision = await store.revision()
    async with store.begin() as connection:
        assert await versions.publish(connection, version.id, "0.1.0", "public") == published
        with pytest.raises(AlreadyPublished, match=r"0\.1\.0"):
            await versions.publish(connection, version.id, "0.2.0", "public")
    assert await store.revision() == revision


async def test_a_number_that_another_version_has_is_refused_and_the_transaction_goes_on(store: Store) -> None:
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        first, second = await make_version(connection, algorithm), await make_version(connection, algorithm)
        await versions.publish(connection, first.id, "0.1.0", "public")
        with pytest.raises(AlreadyExists):
            await versions.publish(connection, second.id, "0.1.0", "public")
        published = await versions.publish(connection, second.id, "0.1.1", "private")
    assert published.semantic_version == "0.1.1"


async def test_publishers_of_one_algorithm_take_turns(store: Store) -> None:
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        made = [await make_version(connection, algorithm) for _ in range(6)]

    async def publish(version_id: str) -> None:
        async with store.begin() as connection:
            await algorithms.lock(connection, algorithm.id)
            taken = len(await versions.semantic_versions(connection, algorithm.id))
            await versions.publish(connection, version_id, f"0.0.{taken}", "public")

    await asyncio.gather(*(publish(version.id) for version in made))
    async with store.read() as connection:
        numbers = await versions.semantic_versions(connection, algorithm.id)
    assert sorted(numbers) == [f"0.0.{number}" for number in range(6)]


async def test_pages_of_versions_are_newest_first_and_joined_by_markers(store: Store) -> None:
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        made = [await make_version(connection, algorithm, created_at=float(n // 2)) for n in range(5)]
        seen, marker = await versions.page(connection, algorithm.id, 2)
        while marker:
            more, marker = await versions.page(connection, algorithm.id, 2, marker)
            assert 0 < len(more) <= 2
            seen += more
    expected = sorted(made, key=lambda version: (version.created_at, version.id), reverse=True)
    assert [version.id for version in seen] == [version.id for version in expected]


async def test_a_page_after_an_unknown_marker_is_refused(store: Store) -> None:
    async with store.begin() as connection:
        algorithm, other = await make_algorithm(connection), await make_algorithm(connection, owner="b")
        foreign = await make_version(connection, other)
        for marker in ("nonsense", foreign.id):
            with pytest.raises(BadMarker):
                await versions.page(connection, algorithm.id, 2, marker)
            with pytest.raises(BadMarker):
                await builds.page(connection, algorithm.id, 2, marker)


async def test_pages_can_be_limited_to_what_is_published_or_public(store: Store) -> None:
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        hidden, own, open_to_all = [await make_version(connection, algorithm) for _ in range(3)]
        await versions.publish(connection, own.id, "0.1.0", "private")
        await versions.publish(connection, open_to_all.id, "0.2.0", "public")

        async def ids(**filters: Any) -> set[str]:
            found, _ = await versions.page(connection, algorithm.id, 9, **filters)
            return {version.id for version in found}

        assert await ids(published=True) == {own.id, open_to_all.id}
        assert await ids(published=False) == {hidden.id}
        assert await ids(callable=True) == {open_to_all.id}
        assert await ids(callable=False) == {hidden.id, own.id}
        assert await ids(published=True, callable=False) == {own.id}


async def test_trust_in_an_environment_shows_in_its_versions(store: Store) -> None:
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        version = await make_version(connection, algorithm)
    async with store.begin() as connection:
        assert (await environments.set_trusted(connection, version.environment, True)).trusted
    async with store.read() as connection:
        assert (await versions.by_id(connection, version.id)).trusted


async def test_adding_an_environment_again_keeps_the_first(store: Store) -> None:
    async with store.begin() as connection:
        first = await environments.add(connection, an_environment())
        assert await environments.add(connection, an_environment()) == first
        assert await environments.list_all(connection) == [first]
        assert await environments.get(connection, "unknown") is None


async def test_a_build_runs_to_its_end(store: Store) -> None:
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        build = await builds.start(connection, algorithm.id, COMMIT)
        assert await builds.in_progress(connection) == [build]
        version = await make_version(connection, algorithm)
        ended = await builds.finish(connection, build.id, "succeeded", version_id=version.id)
        assert await builds.in_progress(connection) == []
        assert await builds.for_version(connection, version.id) == ended
        assert await builds.latest(connection, algorithm.id, COMMIT) == ended
        assert await builds.get(connection, build.id, algorithm_id=algorithm.id) == ended
        with pytest.raises(NoSuchBuild):
            await builds.get(connection, build.id, algorithm_id="another")
    assert ended.finished_at is not None


async def test_pages_of_builds_are_newest_first_and_joined_by_markers(store: Store) -> None:
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        made = [await builds.start(connection, algorithm.id, COMMIT) for _ in range(5)]
        first, marker = await builds.page(connection, algorithm.id, 3)
        second, end = await builds.page(connection, algorithm.id, 3, marker)
    assert end is None
    assert [build.started_at for build in first + second] == sorted((b.started_at for b in made), reverse=True)
    assert {build.id for build in first + second} == {build.id for build in made}


async def test_a_route_is_replaced_as_a_whole(store: Store) -> None:
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        assert await routes.get(connection, algorithm.id) is None
        await routes.set(connection, Route(algorithm_id=algorithm.id, arms=(Arm(version_id="1"),)))
        split = (Arm(version_id="1", weight=90), Arm(version_id="2", weight=10, name="canary"))
        await routes.set(connection, Route(algorithm_id=algorithm.id, arms=split))
        assert await routes.get(connection, algorithm.id) == Route(algorithm_id=algorithm.id, arms=split)
        await routes.clear(connection, algorithm.id)
        assert await routes.get(connection, algorithm.id) is None


async def test_a_deleted_algorithm_takes_its_versions_builds_and_route_along(store: Store) -> None:
    async with store.begin() as connection:
        algorithm = await make_algorithm(connection)
        version = await make_version(connection, algorithm)
        build = await builds.start(connection, algorithm.id, COMMIT)
        await routes.set(connection, Route(algorithm_id=algorithm.id, arms=(Arm(version_id=version.id),)))
        await algorithms.delete(connection, algorithm.id)
        assert await routes.get(connection, algorithm.id) is None
        with pytest.raises(NoSuchAlgorithm):
            await algorithms.get(connection, "jpublic", "echo")
        with pytest.raises(NoSuchVersion):
            await versions.by_id(connection, version.id)
        with pytest.raises(NoSuchBuild):
            await builds.get(connection, build.id)
