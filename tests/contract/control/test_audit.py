"""The audit and the algorithms' logs, read over HTTP while journals grow."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from slipway.ids import new_id_bytes
from slipway.journal.records import CallRecord, Payload
from slipway.journal.writer import JournalWriter
from slipway.settings import Settings
from tests.contract.control.processes import Control, message

NewAccount = Callable[[], tuple[str, httpx.Client]]


def record_calls(settings: Settings, *calls: dict[str, Any]) -> None:
    """Write calls as a gateway does; each printed `printed`."""

    async def write() -> None:
        journal = JournalWriter(settings.journal_directory / "gateway-7", "gateway-7")
        journal.start(asyncio.get_running_loop())
        for fields in calls:
            identity = new_id_bytes()
            record = CallRecord(time=time.time(), call_id=identity, root_id=identity, **fields)
            payload = Payload(call_id=identity, input=b'"in"', result=b'"out"', stdout=b"printed")
            await journal.write(record, payload)
        journal.close()

    asyncio.run(write())


def read(client: httpx.Client, path: str = "/v1/audit", **params: object) -> list[dict[str, Any]]:
    """The records that a client is shown."""
    reply = client.get(path, params={name: str(value) for name, value in params.items()})
    assert reply.headers["content-type"].startswith("application/x-ndjson"), reply.text
    return [json.loads(line) for line in reply.text.splitlines() if line]


def calls(records: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Caller and algorithm of the calls among them."""
    return [(record["caller"], record["algorithm"]) for record in records if record["kind"] == "call"]


def test_everyone_sees_their_own_calls_and_those_to_their_algorithms(
    control: Control, new_account: NewAccount, admin: httpx.Client
) -> None:
    (ann, as_ann), (bob, as_bob), (_, as_carl) = new_account(), new_account(), new_account()
    record_calls(
        control.settings,
        {"caller": bob, "origin": bob, "algorithm": f"{ann}/echo"},
        {"caller": ann, "origin": ann, "algorithm": f"{bob}/other"},
    )
    both = [(bob, f"{ann}/echo"), (ann, f"{bob}/other")]
    assert calls(read(as_ann)) == both
    assert calls(read(as_bob)) == both
    assert calls(read(as_carl)) == []
    assert calls(read(admin, algorithm=f"{ann}/echo")) == both[:1]
    assert calls(read(admin, caller=ann)) == both[1:]
    assert calls(read(as_ann, since=time.time() + 60)) == []


def test_what_an_algorithm_printed_is_its_owners_business(control: Control, new_account: NewAccount) -> None:
    (ann, as_ann), (bob, as_bob) = new_account(), new_account()
    record_calls(control.settings, {"caller": bob, "origin": bob, "algorithm": f"{ann}/echo"})
    (seen_by_owner,) = [record for record in read(as_ann) if record["kind"] == "call"]
    (seen_by_caller,) = [record for record in read(as_bob) if record["kind"] == "call"]
    assert (seen_by_owner["stdout"], seen_by_owner["result"]) == ("printed", '"out"')
    assert "stdout" not in seen_by_caller
    assert (seen_by_caller["result"], seen_by_caller["request_id"]) == ('"out"', seen_by_owner["call_id"])


def test_logs_hold_what_one_algorithm_printed(control: Control, new_account: NewAccount) -> None:
    ann, as_ann = new_account()
    for name in ("echo", "other"):
        as_ann.post(f"/v1/algorithms/{ann}", json={"name": name}).raise_for_status()
    record_calls(
        control.settings,
        {"caller": "x", "algorithm": f"{ann}/echo"},
        {"caller": "y", "algorithm": f"{ann}/other"},
    )
    (record,) = read(as_ann, f"/v1/algorithms/{ann}/echo/logs")
    assert (record["caller"], record["stdout"]) == ("x", "printed")


def test_changes_and_reads_of_the_audit_are_in_it(new_account: NewAccount, admin: httpx.Client) -> None:
    ann, as_ann = new_account()
    as_ann.post(f"/v1/algorithms/{ann}", json={"name": "echo"}).raise_for_status()
    found = [(record["actor"], record["verb"]) for record in read(as_ann) if record["kind"] == "event"]
    assert found == [
        ("admin", "account.create"),
        ("admin", "key.create"),
        (ann, "algorithm.create"),
        (ann, "audit.read"),
    ]
    assert (ann, "audit.read") in [(one["actor"], one["verb"]) for one in read(admin) if one["kind"] == "event"]


def test_a_follower_is_shown_what_is_added(control: Control, new_account: NewAccount) -> None:
    ann, as_ann = new_account()
    with as_ann.stream("GET", "/v1/audit", params={"follow": "true", "caller": ann}) as reply:
        lines = (json.loads(line) for line in reply.iter_lines() if line)
        assert next(lines)["verb"] == "audit.read"
        record_calls(control.settings, {"caller": ann, "origin": ann, "algorithm": "x/y"})
        assert next(lines)["algorithm"] == "x/y"
        as_ann.post(f"/v1/algorithms/{ann}", json={"name": "echo"})


def test_many_followers_hold_up_nobody(control: Control, new_account: NewAccount) -> None:
    _, as_ann = new_account()
    with httpx.Client(
        transport=httpx.HTTPTransport(
            uds=str(control.settings.control_socket), limits=httpx.Limits(max_connections=None)
        ),
        base_url="http://control",
        headers=as_ann.headers,
        timeout=30,
    ) as many:
        requests = [many.build_request("GET", "/v1/audit", params={"follow": "true"}) for _ in range(60)]
        streams = [many.send(request, stream=True) for request in requests]
        assert all(next(stream.iter_lines()) for stream in streams)
        began = time.monotonic()
        assert as_ann.get("/v1/whoami").status_code == 200
        assert time.monotonic() - began < 5
        for stream in streams:
            stream.close()


@pytest.mark.parametrize("params", [{"since": "yesterday"}, {"since": "-1"}, {"since": "nan"}, {"format": "xml"}])
def test_wrong_parameters_are_named(new_account: NewAccount, params: dict[str, str]) -> None:
    _, user = new_account()
    assert next(iter(params)) in message(user.get("/v1/audit", params=params), 400)


def test_status_is_the_administrators(control: Control, admin: httpx.Client, new_account: NewAccount) -> None:
    _, user = new_account()
    message(user.get("/v1/status"), 403)
    found = admin.get("/v1/status").json()
    assert (found["journal"], found["host"], found["replicas"]) == ("healthy", "down", [])
    assert found["revision"] > 0
    assert {"version", "builds_in_progress", "observer_lag_seconds", "usage", "feeds"} <= set(found)
