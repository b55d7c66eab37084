"""Asynchronous calls over HTTP: accepted, run, fetched by those who may; on both databases."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import httpx
import pytest

from slipway.ids import id_bytes
from slipway.journal.reader import find_call
from slipway.journal.records import CallRecord
from slipway.testing import Platform
from tests.conditions import eventually
from tests.contract.gateway.conftest import SOURCE, Deployed
from tests.contract.registry.conftest import postgres_server as postgres_server

LARGE = 300_000  # bytes: more than the store keeps itself


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def platform_options(request: pytest.FixtureRequest) -> dict[str, str]:
    """Where the store is."""
    if request.param == "sqlite":
        return {}
    server: str = request.getfixturevalue("postgres_server")
    name = "slipway_async"
    asyncio.run(_create(server, name))
    return {"store_url": server.replace("/postgres?", f"/{name}?")}


async def _create(server: str, name: str) -> None:
    connection = await asyncpg.connect(server)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()


@pytest.fixture(scope="module")
def deployed(platform_options: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    data: Path = tmp_path_factory.mktemp("platform") / "data"
    # They wait for files of the tests: hence no sandboxes here.
    with Platform(data, sandbox="none", body_limit_bytes=1_000_000, gateways=2, **platform_options) as platform:
        yield Deployed(platform)


def submit(
    deployed: Deployed, body: Any, query: str = "", key: str = "", algorithm: str = "probe", **options: Any
) -> str:
    """Hand in a call; its request id."""
    headers = {"Authorization": f"Simple {key or deployed.key}", **options.pop("headers", {})}
    url = f"{deployed.platform.url}/v1/algo/ann/{algorithm}?output=void{query}"
    content = options if options else {"json": body}
    reply = httpx.post(url, headers=headers, timeout=60, **content)
    assert reply.status_code == 200, reply.text
    found = reply.json()
    assert found == {"async": "void", "request_id": found["request_id"]}
    return str(found["request_id"])


def ask(deployed: Deployed, request_id: str, key: str = "") -> httpx.Response:
    """How it stands."""
    headers = {"Authorization": f"Simple {key or deployed.key}"}
    return httpx.get(f"{deployed.platform.url}/v1/requests/{request_id}", headers=headers, timeout=60)


def ended(deployed: Deployed, request_id: str, key: str = "") -> dict[str, Any]:
    """The outcome, once it is there."""

    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = ask(deployed, request_id, key).raise_for_status().json()
        return found if found["status"] in ("succeeded", "failed") else None

    found = eventually(look, 30)
    assert found is not None
    return found


def records(deployed: Deployed, request_id: str) -> list[CallRecord]:
    """What the journal has of it."""
    found = find_call(deployed.platform.data / "journal", id_bytes(request_id))
    return [entry.record for entry in found if isinstance(entry.record, CallRecord)]


def test_a_result_is_what_a_call_that_waits_is_answered_with(deployed: Deployed) -> None:
    request_id = submit(deployed, {"a": 1})
    found = ended(deployed, request_id)
    metadata = found.pop("metadata")
    assert found == {"request_id": request_id, "status": "succeeded", "result": {"a": 1}}
    assert (set(metadata), metadata["content_type"]) == ({"content_type", "duration"}, "json")


def test_text_and_bytes_come_back_as_they_are(deployed: Deployed) -> None:
    text = submit(deployed, None, content="grüß", headers={"Content-Type": "text/plain"})
    assert ended(deployed, text)["result"] == "grüß"
    binary = ended(deployed, submit(deployed, {"do": "bytes"}))
    assert (base64.b64decode(binary["result"]), binary["metadata"]["content_type"]) == (b"\x00\x01", "binary")


def test_large_inputs_and_results_lie_in_files(deployed: Deployed) -> None:
    content = bytes(range(256)) * (LARGE // 256)
    request_id = submit(deployed, None, content=content, headers={"Content-Type": "application/octet-stream"})
    assert base64.b64decode(ended(deployed, request_id)["result"]) == content
    found = list((deployed.platform.data / "requests").glob(f"{request_id}.*"))
    assert sorted(path.suffix for path in found) == [".input", ".result"]


def test_an_error_of_the_algorithm_is_the_outcome(deployed: Deployed) -> None:
    found = ended(deployed, submit(deployed, {"do": "raise"}))
    assert (found["status"], found["error"]["message"], found["error"]["error_type"]) == (
        "failed",
        "ValueError: no",
        "AlgorithmError",
    )
    assert "raise ValueError" in found["error"]["stacktrace"]


def test_a_worker_that_ends_during_the_call_is_the_outcome_after_some_tries(deployed: Deployed) -> None:
    found = ended(deployed, submit(deployed, {"do": "kill"}))
    assert (found["status"], found["error"]["error_type"]) == ("failed", "SystemExit")


def test_a_call_over_its_time_has_failed(deployed: Deployed) -> None:
    found = ended(deployed, submit(deployed, {"do": "sleep", "seconds": 30}, "&timeout=0.5"))
    assert (found["status"], found["error"]["error_type"]) == ("failed", "TimeoutError")


def test_what_it_printed_is_shown_to_an_owner_who_asked_for_it(deployed: Deployed) -> None:
    assert ended(deployed, submit(deployed, {"do": "print"}, "&stdout=true"))["metadata"]["stdout"] == "seen\n"
    assert "stdout" not in ended(deployed, submit(deployed, {"do": "print"}))["metadata"]


def test_only_the_caller_and_administrators_may_ask(deployed: Deployed) -> None:
    request_id = submit(deployed, 1)
    ended(deployed, request_id)
    assert ask(deployed, request_id, deployed.stranger).status_code == 403
    assert ended(deployed, request_id, deployed.platform.admin_key)["result"] == 1
    assert ask(deployed, request_id, "unknown").status_code == 401


def test_a_restricted_key_may_ask_for_what_it_may_call(deployed: Deployed) -> None:
    request_id = submit(deployed, 1)
    ended(deployed, request_id)
    keys = {}
    for name, acl in (("fitting", ["algo://ann/probe/*"]), ("other", ["algo://ann/other/*"])):
        body = {"label": name, "permissions": {"allow_algo": True, "algo_acl": acl}}
        keys[name] = deployed.platform.request("POST", "/v1/users/ann/keys", deployed.key, json=body).json()["key"]
    assert ask(deployed, request_id, keys["fitting"]).json()["result"] == 1
    assert ask(deployed, request_id, keys["other"]).status_code == 403


def test_members_may_ask_for_what_their_organization_called(deployed: Deployed) -> None:
    platform = deployed.platform
    platform.deploy("ann", "shared", deployed.key, SOURCE)
    platform.publish("ann", "shared", deployed.key, "public")
    platform.request("POST", "/v1/organizations", json={"org_name": "lab", "org_label": "Lab"})
    platform.request("PUT", "/v1/organizations/lab/members/bob", json={})
    key = platform.request("POST", "/v1/organizations/lab/keys", json={"label": "team"}).json()["key"]
    request_id = submit(deployed, 2, key=key, algorithm="shared")
    assert ended(deployed, request_id, deployed.stranger)["result"] == 2
    assert ask(deployed, request_id).status_code == 403


@pytest.mark.parametrize("request_id", ["nothing", "01920f5a-a0b1-7c2d-8e3f-405162738495"])
def test_an_unknown_request_is_not_found(deployed: Deployed, request_id: str) -> None:
    reply = ask(deployed, request_id)
    assert (reply.status_code, reply.json()["error"]["code"]) == (404, 1000)


def test_what_is_refused_is_not_taken(deployed: Deployed) -> None:
    url = f"{deployed.platform.url}/v1/algo/ann/probe?output=void"
    bad = httpx.post(url, content="{", headers={"Authorization": deployed.key})
    stranger = httpx.post(url, json=1, headers={"Authorization": deployed.stranger})
    assert (bad.status_code, stranger.status_code) == (400, 404)
    assert ask(deployed, bad.json()["request_id"]).status_code == 404


def test_a_call_has_one_start_before_its_reply_and_one_end(deployed: Deployed) -> None:
    request_id = submit(deployed, {"do": "print"})
    assert records(deployed, request_id)[0].phase == "start"
    ended(deployed, request_id)
    start, end = records(deployed, request_id)
    assert (start.phase, end.phase, end.caller, end.algorithm, end.version) == (
        "start",
        "end",
        "ann",
        "ann/probe",
        "0.1.0",
    )
    assert end.duration_us > 0
    assert end.key_id == start.key_id != ""


def test_a_key_that_is_revoked_meanwhile_takes_nothing_back(deployed: Deployed) -> None:
    platform = deployed.platform
    made = platform.request("POST", "/v1/users/ann/keys", json={"label": "brief"}).json()
    request_id = submit(deployed, {"do": "sleep", "seconds": 0.5}, key=made["key"])
    platform.request("DELETE", f"/v1/users/ann/keys/{made['id']}")
    assert ended(deployed, request_id)["status"] == "succeeded"


def test_callers_who_wait_do_not_queue_behind_asynchronous_calls(deployed: Deployed) -> None:
    waiting = [submit(deployed, {"do": "sleep", "seconds": 0.8}) for _ in range(24)]
    reply = httpx.post(deployed.url, json="now", headers={"Authorization": deployed.key}, timeout=60)
    assert reply.json()["result"] == "now"
    unfinished = [one for one in waiting if ask(deployed, one).json()["status"] in ("queued", "running")]
    assert len(unfinished) > 5
    standing = deployed.platform.request("GET", "/v1/status").json()["asynchronous_calls"]
    assert 0 < standing["queued"] + standing["running"] <= 24
    assert {ended(deployed, one)["status"] for one in waiting} == {"succeeded"}


def test_a_version_whose_queue_is_full_has_its_calls_wait(deployed: Deployed) -> None:
    platform = deployed.platform
    scaling = "max_replicas = 1\nqueue_limit = 1"
    platform.deploy("ann", "narrow", deployed.key, SOURCE, scaling=scaling)
    platform.publish("ann", "narrow", deployed.key)
    submitted = [submit(deployed, {"do": "sleep", "seconds": 0.05}, algorithm="narrow") for _ in range(12)]
    url = f"{platform.url}/v1/algo/ann/narrow"
    for _ in range(5):
        httpx.post(url, json={"do": "sleep", "seconds": 0.1}, headers={"Authorization": deployed.key}, timeout=60)
    assert {ended(deployed, one)["status"] for one in submitted} == {"succeeded"}


def test_a_call_whose_version_was_deleted_meanwhile_has_failed_and_says_so(deployed: Deployed) -> None:
    platform = deployed.platform
    platform.deploy("ann", "brief", deployed.key, SOURCE, scaling="max_replicas = 1")
    platform.publish("ann", "brief", deployed.key)
    submitted = [submit(deployed, {"do": "sleep", "seconds": 1.0}, algorithm="brief") for _ in range(12)]
    platform.request("DELETE", "/v1/algorithms/ann/brief", deployed.key)
    found = ended(deployed, submitted[-1])
    assert (found["status"], found["error"]["error_type"]) == ("failed", "EntityNotFoundError")
    assert "ann/brief was deleted" in found["error"]["message"]
