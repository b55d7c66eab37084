"""An algorithm's secrets: in its workers, nowhere else, fresh after a change, and not in what it prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from slipway.testing import Platform
from tests.conditions import eventually

SOURCE = """
import os
import slipway
import slipway.sdk.secrets

loaded = []

def load():
    loaded.append(os.environ.get("TOKEN"))
    print("loading with", os.environ.get("TOKEN"))

def apply(input):
    slipway.sdk.secrets.FRESH_SECONDS = 0
    if input == "fail":
        raise ValueError(f"the token {os.environ['TOKEN']} is wrong")
    print("the token is", slipway.secret("TOKEN"))
    return [loaded[-1], slipway.secret("TOKEN")]
"""
SPY = """
import os
import slipway

def apply(input):
    try:
        return [os.environ.get("TOKEN"), slipway.secret("TOKEN")]
    except Exception as error:
        return [os.environ.get("TOKEN"), type(error).__name__]
"""
FIRST, SECOND = "first-token-value", "second-token-value"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("secrets") / "data") as platform:
        yield platform


def call(platform: Platform, key: str, algorithm: str, input: object) -> Any:
    """The result."""
    return platform.request("POST", f"/v1/algo/{algorithm}?stdout=true", key, json=input).json()


def failure(platform: Platform, key: str, input: object) -> dict[str, str]:
    """The error of ann/holder."""
    headers = {"Authorization": f"Simple {key}"}
    reply = httpx.post(f"{platform.url}/v1/algo/ann/holder", json=input, headers=headers, timeout=60)
    error: dict[str, str] = reply.json()["error"]
    return error


def keep(platform: Platform, key: str, algorithm: str, value: str) -> str:
    """Set the secret TOKEN; the path of the algorithm's secrets."""
    identity = platform.request("GET", f"/v1/algorithms/{algorithm}", key).json()["id"]
    path = f"/v1/algorithms/{identity}/secrets"
    platform.request("POST", path, key, json={"secret_key": "TOKEN", "secret_value": value})
    return path


def test_workers_have_their_secrets_and_show_them_to_nobody(platform: Platform) -> None:
    ann, ben = platform.account("ann"), platform.account("ben")
    platform.algorithm("ann", "holder", ann)
    path = keep(platform, ann, "ann/holder", FIRST)
    files = {"src/holder.py": SOURCE, "slipway.toml": '[algorithm]\nname = "holder"\nsample_input = "null"\n'}
    _, output = platform.push("ann", "holder", ann, files)
    assert FIRST not in output
    assert "loading with [secret]" in output
    platform.publish("ann", "holder", ann, "public")
    platform.deploy("ben", "spy", ben, SPY)
    platform.publish("ben", "spy", ben)

    reply = call(platform, ben, "ann/holder", 1)  # whoever calls it
    assert reply["result"] == [FIRST, FIRST]
    assert call(platform, ann, "ann/holder", 1)["metadata"]["stdout"] == "the token is [secret]\n"
    failed = failure(platform, ann, "fail")
    assert failed["message"] == "ValueError: the token [secret] is wrong"
    assert FIRST not in failed["stacktrace"]
    assert call(platform, ben, "ben/spy", 1)["result"] == [None, "KeyError"]
    for key in (ann, ben, platform.admin_key):
        with pytest.raises(RuntimeError, match="403"):
            platform.request("GET", "/v1/secrets/values", key)

    keep(platform, ann, "ann/holder", SECOND)
    assert call(platform, ben, "ann/holder", 1)["result"] == [FIRST, SECOND]  # without a restart
    (secret,) = platform.request("GET", path, ann).json()["results"]
    platform.request("DELETE", f"{path}/{secret['id']}", ann)
    assert "KeyError" in failure(platform, ann, 1)["message"]


def test_the_first_secret_reaches_workers_that_are_started_after_it(platform: Platform) -> None:
    eve = platform.account("eve")
    platform.deploy("eve", "late", eve, SPY, scaling="idle_seconds = 1")
    platform.publish("eve", "late", eve)
    assert call(platform, eve, "eve/late", 1)["result"] == [None, "KeyError"]
    keep(platform, eve, "eve/late", FIRST)

    eventually(lambda: call(platform, eve, "eve/late", 1)["result"][1] == FIRST, 60.0)
