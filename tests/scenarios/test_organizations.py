"""An organization's algorithm over a whole platform: pushed and called by members, closed to all others, removed."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from slipway.testing import Platform
from tests.conditions import eventually

SOURCE = """
import pathlib, time

def apply(input):
    if isinstance(input, str):
        pathlib.Path(input).touch()
        time.sleep(2)
    return input
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    # A call waits for a file of the test: hence no sandboxes here.
    with Platform(tmp_path_factory.mktemp("organizations") / "data", sandbox="none") as running:
        running.request("POST", "/v1/organizations", json={"org_name": "lab"})
        yield running


def call(platform: Platform, key: str, value: Any, path: str = "lab/wait") -> httpx.Response:
    """One call."""
    headers = {"Authorization": f"Simple {key}"}
    return httpx.post(f"{platform.url}/v1/algo/{path}", json=value, headers=headers, timeout=60)


def test_an_organizations_algorithm_lives_and_ends(platform: Platform, tmp_path: Path) -> None:
    ann, bob = platform.account("ann"), platform.account("bob")
    platform.request("PUT", "/v1/organizations/lab/members/ann")
    platform.deploy("lab", "wait", ann, SOURCE)
    platform.publish("lab", "wait", ann)

    assert call(platform, ann, 0).json()["result"] == 0
    assert call(platform, bob, 0, "lab/wait/0.1.0").status_code == 403
    platform.request("PUT", "/v1/organizations/lab/members/bob")
    # The reply says that every gateway knows.
    assert call(platform, bob, 0).json()["result"] == 0
    platform.request("DELETE", "/v1/organizations/lab/members/bob")
    assert call(platform, bob, 0, "lab/wait/0.1.0").status_code == 403

    _keys_of_the_organization_are_its_own(platform, ann)
    _keys_with_an_acl_call_what_it_names(platform, ann)
    _a_removed_algorithm_ends_the_calls_it_has(platform, ann, tmp_path)


def _keys_of_the_organization_are_its_own(platform: Platform, member: str) -> None:
    made = platform.request("POST", "/v1/organizations/lab/keys", member).json()
    assert call(platform, made["key"], 0).json()["result"] == 0
    platform.request("DELETE", f"/v1/organizations/lab/keys/{made['id']}", member)
    assert call(platform, made["key"], 0).status_code == 401


def _keys_with_an_acl_call_what_it_names(platform: Platform, member: str) -> None:
    def key(**permissions: Any) -> str:
        body = {"permissions": permissions}
        return str(platform.request("POST", "/v1/organizations/lab/keys", member, json=body).json()["key"])

    assert call(platform, key(allow_algo=True, algo_acl=["algo://lab/wait/*"]), 0).status_code == 200
    only_first = key(allow_algo=True, algo_acl=["algo://lab/wait/0.1.0"])
    assert call(platform, only_first, 0, "lab/wait/0.1.0").status_code == 200
    refused = call(platform, key(allow_algo=True, algo_acl=["algo://lab/wait/0.2.0"]), 0)
    assert (refused.status_code, "permissions" in refused.json()["error"]["message"]) == (403, True)
    assert call(platform, key(allow_data=True), 0).status_code == 403


def _a_removed_algorithm_ends_the_calls_it_has(platform: Platform, member: str, place: Path) -> None:
    begun = place / "begun"
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(call, platform, member, str(begun))
        eventually(begun.exists)
        platform.request("DELETE", "/v1/algorithms/lab/wait", member)
        gone = call(platform, member, 0)
        assert gone.status_code == 404
        assert running.result().json()["result"] == str(begun)
