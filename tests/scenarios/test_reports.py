"""From calls to reports over a whole platform: what failed and how much was used, as the classic clients ask for it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from slipway.testing import Platform
from tests.conditions import eventually

SOURCE = """
def apply(input):
    print("working on it")
    if input == "bad":
        raise ValueError("that was bad")
    return input
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("reports") / "data") as running:
        yield running


def call(platform: Platform, key: str, value: Any, path: str) -> dict[str, Any]:
    """One call."""
    url = f"{platform.url}/v1/algo/{path}"
    found: dict[str, Any] = httpx.post(url, json=value, headers={"Authorization": f"Simple {key}"}, timeout=60).json()
    return found


def test_failed_calls_and_usage_are_reported_from_the_journal(platform: Platform) -> None:
    ann, bob = platform.account("ann"), platform.account("bob")
    platform.deploy("ann", "picky", ann, SOURCE)
    platform.publish("ann", "picky", ann, "public")
    assert call(platform, bob, "good", "ann/picky")["result"] == "good"
    failed = [call(platform, bob, "bad", "ann/picky")["request_id"] for _ in range(2)]

    def get(path: str, key: str | None = None) -> Any:
        return platform.request("GET", path, key).json()

    identity = get("/v1/algorithms/ann/picky", ann)["id"]
    eventually(lambda: len(get(f"/v1/algorithms/{identity}/errors", ann)) == 2)
    found = get(f"/v1/algorithms/{identity}/errors", ann)
    assert [one["request_id"] for one in found] == failed[::-1]
    assert (found[0]["caller"], found[0]["message"]) == ("bob", "ValueError: that was bad")
    assert "working on it" in found[0]["logs"]
    user = get("/v1/users/ann", ann)
    for path in ("/v1/algorithms/ann/picky/errors", f"/v1/users/{user['id']}/errors", "/v1/users/ann/errors"):
        assert get(path, ann) == found
    assert get("/v1/users/bob/errors", bob) == []
    for path in (f"/v1/algorithms/{identity}/errors", "/v1/users/ann/errors"):
        with pytest.raises(RuntimeError, match="403"):
            get(path, bob)
    _usage_is_counted(platform, get)


def _usage_is_counted(platform: Platform, get: Any) -> None:
    eventually(lambda: sum(row["total_calls"] for row in get("/v1/admin/usage?user=bob")["results"]) == 3)
    (row,) = get("/v1/admin/usage?user=bob")["results"]
    duration, of_errors = row.pop("total_duration"), row.pop("total_error_duration")
    assert row == {
        "algorithm_called": "picky",
        "algorithm_owner": "ann",
        "algorithm_version": "0.1.0",
        "caller": "bob",
        "machine_type": "CPU",
        "total_calls": 3,
        "total_errors": 2,
    }
    assert 0 < of_errors < duration
    (of_version,) = get("/v1/admin/usage/algorithms?user=ann")["results"]
    assert of_version["total_calls"] == 3
    (of_bob,) = get("/v1/admin/usage/users?user=bob")["results"]
    assert (of_bob["caller"], of_bob["total_errors"]) == ("bob", 2)
    today, tomorrow = (datetime.now(UTC) + timedelta(days) for days in (0, 1))
    assert get(f"/v1/admin/usage?start_date={tomorrow:%Y-%m-%d}")["results"] == []
    assert get(f"/v1/admin/usage?user=bob&end_date={today:%Y-%m-%d}")["results"]
    for wrong in ("start_date=yesterday", "marker=nonsense", "page_size=0"):
        with pytest.raises(RuntimeError, match="400"):
            get(f"/v1/admin/usage?{wrong}")


def test_a_fresh_algorithm_in_a_chosen_environment_builds_and_says_hello(platform: Platform) -> None:
    zoe = platform.account("zoe")
    offered = platform.request("GET", "/v1/algorithm-environments/edge/languages/python3/environments", zoe).json()
    chosen = offered["environments"][0]
    for name, settings in (
        ("one", {"algorithm_environment": chosen["id"]}),
        ("two", {"package_set": "python" + chosen["display_name"].removeprefix("Python ").replace(".", "")}),
        ("three", {"language": "python3", "environment": "cpu"}),
    ):
        platform.request("POST", "/v1/algorithms/zoe", zoe, json={"name": name, "settings": settings})
        compiled = platform.request("POST", f"/v1/algorithms/zoe/{name}/compile", zoe, json={}).json()
        assert compiled["compilation"]["successful"], compiled
        assert call(platform, zoe, "you", f"zoe/{name}/{compiled['version_info']['git_hash']}")["result"] == "hello you"
