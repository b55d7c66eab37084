"""`slipway call --async` and `slipway result`, and the client beneath."""

from __future__ import annotations

import json

import pytest

from slipway.client import AlgorithmFailed, Client, ClientError
from slipway.ids import new_id
from tests.conditions import eventually
from tests.contract.cli.conftest import Commands


def test_a_call_that_nobody_waits_for_prints_its_request_id_and_then_its_result(ann: Commands) -> None:
    request_id = ann.run("call", "ann/echo", '{"b": [2]}', "--async").stdout.strip()
    assert json.loads(ann.run("result", request_id, "--wait").stdout) == {"b": [2]}
    assert json.loads(ann.run("result", request_id).stdout) == {"b": [2]}
    found = json.loads(ann.run("result", request_id, "--json").stdout)
    assert (found["request_id"], found["status"], found["result"]) == (request_id, "succeeded", {"b": [2]})


def test_bytes_and_what_was_printed_come_back(ann: Commands) -> None:
    (ann.home / "later.bin").write_bytes(b"\x00\x02")
    request_id = ann.run("call", "ann/echo", "-f", "later.bin", "--async", "--stdout").stdout.strip()
    done = ann.run("result", request_id, "--wait", "--raw")
    assert (done.stdout, done.stderr) == ("\x00\x02", "got b'\\x00\\x02'\n")


def test_an_unknown_request_is_one_line_and_exit_code_1(ann: Commands) -> None:
    assert "there is no request" in ann.run("result", new_id(), status=1).stderr


def test_the_audit_shows_an_asynchronous_call(ann: Commands) -> None:
    request_id = ann.run("call", "ann/echo", '"later, please"', "--async").stdout.strip()
    ann.run("result", request_id, "--wait")
    records = map(json.loads, ann.run("audit", "--algorithm", "ann/echo", "--json").stdout.splitlines())
    found = [record for record in records if record.get("request_id") == request_id]
    assert [(one["phase"], one["job"]) for one in found] == [("start", True), ("end", True)]
    assert (found[0]["input"], found[1]["result"]) == ("later, please", "later, please")
    lines = [line[11:] for line in ann.run("audit", "--algorithm", "ann/echo").stdout.splitlines()]
    assert {"ann called echo (begun)", "ann called echo with result later, please"} <= set(lines)


def test_the_client_gives_the_result_once_it_is_there(ann: Commands) -> None:
    with Client(ann.platform.url, ann.key) as client:
        request_id = client.call_async("ann/echo", b"\x01")
        result = eventually(lambda: client.result(request_id), 30)
        assert result is not None
        assert (result.result, result.content_type, result.request_id) == (b"\x01", "binary", request_id)
        with pytest.raises(ClientError) as refused:
            client.request(new_id())
        assert refused.value.http_status == 404


def test_the_client_raises_what_the_algorithm_raised(ann: Commands) -> None:
    (ann.home / "broken.py").write_text("def apply(input):\n    raise ValueError('no good')\n")
    ann.run("deploy", "broken.py", "broken")
    with Client(ann.platform.url, ann.key) as client:
        request_id = client.call_async("ann/broken", 1)
        eventually(lambda: client.request(request_id).ended, 30)
        with pytest.raises(AlgorithmFailed, match="no good"):
            client.result(request_id)
    assert "no good" in ann.run("result", request_id, status=1).stderr
