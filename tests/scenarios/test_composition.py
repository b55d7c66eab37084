"""Algorithms that call algorithms and use hosted data, over nothing but their worker's own socket."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from slipway.ids import id_bytes
from slipway.journal.reader import read_all
from slipway.journal.records import CallRecord
from slipway.testing import Platform
from tests.conditions import eventually

ADD_ONE = "def apply(input):\n    return input + 1\n"
ADD_TWO = """
import slipway

def apply(input):
    return slipway.call("ann/one", slipway.call("ann/one", input))
"""
FAILING = "def apply(input):\n    raise KeyError(input)\n"
KINDS = """
import slipway

def apply(input):
    try:
        slipway.call("ann/failing", "x")
    except slipway.CallError as error:
        failed = [error.error_type, error.message, "src/failing.py" in str(error)]
    return [slipway.call("ann/echo", value) for value in ("text", {"a": [1]}, None)] + [
        list(slipway.call("ann/echo", b"bytes")), failed]
"""
PARALLEL = """
from concurrent.futures import ThreadPoolExecutor
import slipway

def apply(input):
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda n: slipway.call("ann/one", n), range(input)))
"""
DATA = """
import json
from slipway.sdk import platform

def load():
    return platform.request("GET", "/v1/data/.my/models/greeting").body.decode()

def apply(input, greeting):
    answers = [platform.request(*asked[:2], *(part.encode() for part in asked[2:])) for asked in input]
    shown = [answer.body[:100].decode("utf-8", "replace") for answer in answers]
    return [greeting, *zip([answer.status for answer in answers], [len(answer.body) for answer in answers], shown)]
"""
CIRCLE = """
import slipway

def apply(input):
    return slipway.call("ann/circle", input)
"""
LATE = """
import threading
import slipway

said = []

def later(event):
    event.wait()
    try:
        slipway.call("ann/one", 1)
    except RuntimeError as error:
        said.append(str(error))

def apply(input):
    if input == "ask":
        event = threading.Event()
        threading.Timer(0.2, event.set).start()
        threading.Thread(target=later, args=(event,)).start()
    return said
"""
SLOW = """
import time
import slipway

def apply(input):
    if input == "slow":
        time.sleep(30)
    return slipway.call("ann/slow", "slow", timeout=20)
"""


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("composition") / "data") as platform:
        yield platform


@pytest.fixture(scope="module")
def ann(platform: Platform) -> str:
    key = platform.account("ann")
    for name, source in (("one", ADD_ONE), ("two", ADD_TWO), ("failing", FAILING)):
        deploy(platform, key, name, source)
    deploy(platform, key, "echo", "def apply(input):\n    return input\n")
    return key


@pytest.fixture(scope="module")
def bob(platform: Platform) -> str:
    return platform.account("bob")


def deploy(platform: Platform, key: str, name: str, source: str, callability: str = "public") -> None:
    platform.deploy("ann", name, key, source)
    platform.publish("ann", name, key, callability)


def call(platform: Platform, key: str, name: str, value: object) -> Any:
    return platform.request("POST", f"/v1/algo/ann/{name}", key, json=value).json()


def records(platform: Platform) -> list[CallRecord]:
    found = [entry.record for entry in read_all(platform.data / "journal")]
    return [record for record in found if isinstance(record, CallRecord)]


def test_an_algorithm_calls_another_and_the_journal_holds_the_tree(platform: Platform, ann: str, bob: str) -> None:
    reply = call(platform, bob, "two", 5)
    assert reply["result"] == 7
    root = id_bytes(reply["request_id"])
    tree = [record for record in records(platform) if record.root_id == root]
    assert [(record.algorithm, record.phase) for record in tree] == [
        ("ann/two", "start"),
        ("ann/one", "call"),
        ("ann/one", "call"),
        ("ann/two", "end"),
    ]
    assert {record.parent_id for record in tree if record.algorithm == "ann/one"} == {root}
    assert {(record.caller, record.origin) for record in tree} == {("bob", "bob")}


def test_every_kind_of_input_and_error_crosses(platform: Platform, ann: str, bob: str) -> None:
    deploy(platform, ann, "kinds", KINDS)
    *same, binary, failed = call(platform, bob, "kinds", 0)["result"]
    assert same == ["text", {"a": [1]}, None]
    assert bytes(binary) == b"bytes"
    assert failed == ["AlgorithmError", "KeyError: 'x'", True]


def test_parallel_calls_from_threads_each_get_their_own_answer(platform: Platform, ann: str, bob: str) -> None:
    deploy(platform, ann, "parallel", PARALLEL)
    assert call(platform, bob, "parallel", 40)["result"] == list(range(1, 41))
    assert call(platform, bob, "parallel", 3)["result"] == [1, 2, 3]


def test_the_callers_rights_decide(platform: Platform, ann: str, bob: str) -> None:
    deploy(platform, ann, "private", ADD_ONE, "private")
    deploy(platform, ann, "door", 'import slipway\n\ndef apply(input):\n    return slipway.call("ann/private", 1)\n')
    assert call(platform, ann, "door", 0)["result"] == 2
    assert "ann/private" in call(platform, bob, "door", 0)["error"]["message"]


def test_data_is_reached_without_a_key_as_the_caller_and_shared_as_its_acl_says(
    platform: Platform, ann: str, bob: str
) -> None:
    platform.request("POST", "/v1/data/ann", ann, json={"name": "models"})
    platform.request("PUT", "/v1/data/ann/models/greeting", ann, content=b"good morning")
    platform.request("POST", "/v1/data/ann", ann, json={"name": "hidden", "acl": {"read": []}})
    platform.request("PUT", "/v1/data/ann/hidden/file", ann, content=b"secret")
    platform.request("POST", "/v1/data/bob", bob, json={"name": "own"})
    big = os.urandom(1 << 20) * 20
    platform.request("PUT", "/v1/data/bob/own/big", bob, content=big)
    deploy(platform, ann, "data", DATA)
    asked = [
        ("GET", "/v1/data/ann/models/greeting"),
        ("GET", "/v1/data/ann/hidden/file"),
        ("GET", "/v1/data/.my/own/big"),
        ("PUT", "/v1/data/.my/own/new", "written"),
        ("PUT", "/v1/data/ann/models/greeting", "no"),
        ("PUT", "/v1/data/.algo/state", "mine"),
        ("GET", "/v1/data/.algo/ann/data/state"),
        ("PUT", "/v1/data/.session/note", "brief"),
        ("GET", "/v1/data/.session/note"),
        ("DELETE", "/v1/data/.my/own/new"),
        ("GET", "/v1/users/bob"),
        ("POST", "/v1/users/bob/keys", "{}"),
        ("GET", "/v1/data/../users/bob"),
    ]
    greeting, *answers = call(platform, bob, "data", asked)["result"]
    assert greeting == "good morning"
    assert [answer[0] for answer in answers] == [200, 403, 200, 200, 403, 200, 200, 200, 200, 200, 403, 403, 403]
    assert answers[2][1] == len(big)
    assert (answers[6][2], answers[8][2]) == ("mine", "brief")
    assert call(platform, ann, "data", [("GET", "/v1/data/ann/hidden/file")])["result"][1] == [200, 6, "secret"]
    # What administrators may beyond others is not for the algorithms that they call.
    assert call(platform, platform.admin_key, "data", [("GET", "/v1/data/bob/own/big")])["result"][1][0] == 403


def test_a_circle_of_calls_ends_with_an_error(platform: Platform, ann: str, bob: str) -> None:
    platform.deploy("ann", "circle", ann, CIRCLE, scaling="max_replicas = 40")
    platform.publish("ann", "circle", ann, "public")
    message = call(platform, bob, "circle", 0)["error"]["message"]
    assert "32 deep" in message


def test_an_algorithm_that_waits_for_itself_ends_at_its_deadline(platform: Platform, ann: str, bob: str) -> None:
    platform.deploy("ann", "alone", ann, CIRCLE.replace("circle", "alone"), scaling="max_replicas = 1")
    platform.publish("ann", "alone", ann, "public")
    reply = platform.request("POST", "/v1/algo/ann/alone?timeout=1", bob, json=0).json()
    assert "error" in reply
    assert call(platform, bob, "one", 1)["result"] == 2


def test_what_outlives_its_call_may_ask_for_nothing(platform: Platform, ann: str, bob: str) -> None:
    platform.deploy("ann", "late", ann, LATE, scaling="max_replicas = 1")
    platform.publish("ann", "late", ann, "public")
    call(platform, bob, "late", "ask")
    eventually(lambda: call(platform, bob, "late", "?")["result"] != [])
    assert "no call is running" in call(platform, bob, "late", "?")["result"][0]


def test_children_of_a_call_that_has_ended_are_given_up(platform: Platform, ann: str, bob: str) -> None:
    platform.deploy("ann", "slow", ann, SLOW, scaling="max_replicas = 2")
    platform.publish("ann", "slow", ann, "public")
    reply = platform.request("POST", "/v1/algo/ann/slow?timeout=1", bob, json="begin").json()
    assert reply["error"]["error_type"] in ("TimeoutError", "SystemExit")
    tree = [record for record in records(platform) if record.root_id == id_bytes(reply["request_id"])]
    assert tree[0].phase == "start"


def test_a_root_has_its_start_on_record_when_the_gateway_dies_in_its_tree(
    platform: Platform, ann: str, bob: str
) -> None:
    deploy(platform, ann, "sleepy", "import time\n\ndef apply(input):\n    time.sleep(30)\n")
    deploy(
        platform,
        ann,
        "parent",
        'import slipway\n\ndef apply(input):\n    slipway.call("ann/one", 1)\n    slipway.call("ann/sleepy", 1)\n',
    )
    before = len(records(platform))

    def child_is_recorded() -> bool:
        return any(record.algorithm == "ann/one" for record in records(platform)[before:])

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(lambda: call(platform, bob, "parent", 0))
        eventually(child_is_recorded)
        (gateway,) = platform.processes()["gateway"]
        os.kill(gateway, signal.SIGKILL)
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever a lost connection is
            future.result()
    new = records(platform)[before:]
    children = [record for record in new if record.parent_id]
    assert children
    assert {record.root_id for record in children} <= {record.call_id for record in new if not record.parent_id}


def test_an_asynchronous_call_of_a_call_stands_in_its_tree(platform: Platform, ann: str, bob: str) -> None:
    source = """
import json
from slipway.sdk import platform

def apply(input):
    answer = platform.request("POST", "/v1/algo/ann/two?output=void", b"5", "application/json")
    return json.loads(answer.body)["request_id"]
"""
    deploy(platform, ann, "later", source)
    reply = call(platform, bob, "later", 0)
    path = f"/v1/requests/{reply['result']}"
    eventually(lambda: platform.request("GET", path, bob).json()["status"] == "succeeded")
    assert platform.request("GET", path, bob).json()["result"] == 7
    root = id_bytes(reply["request_id"])
    tree = [record for record in records(platform) if record.root_id == root]
    assert sorted((record.algorithm, record.phase) for record in tree) == [
        ("ann/later", "end"),
        ("ann/later", "start"),
        ("ann/one", "call"),
        ("ann/one", "call"),
        ("ann/two", "end"),
        ("ann/two", "start"),
    ]


def test_calls_within_calls_of_two_gateways(tmp_path: Path) -> None:
    with Platform(tmp_path / "data", gateways=2) as platform:
        key = platform.account("ann")
        for name, source in (("one", ADD_ONE), ("two", ADD_TWO)):
            deploy(platform, key, name, source)
        for number in range(10):
            reply = call(platform, key, "two", number)
            assert reply["result"] == number + 2
            root = id_bytes(reply["request_id"])
            eventually(lambda root=root: _is_whole(platform, root))  # type: ignore[misc]


def _is_whole(platform: Platform, root: bytes) -> bool:
    tree = sorted((record.algorithm, record.phase) for record in records(platform) if record.root_id == root)
    return tree == [("ann/one", "call"), ("ann/one", "call"), ("ann/two", "end"), ("ann/two", "start")]
