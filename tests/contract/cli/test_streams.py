"""Streams in the client and on the command line."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.client import AlgorithmFailed, Client, ClientError
from slipway.event_stream import read_events
from tests.conditions import eventually
from tests.contract.cli.conftest import Commands

SOURCE = """
import pathlib
import time


def apply(input):
    if input == "nothing":
        return []
    if input == "broken":
        raise ValueError("broken")
    return items(input)


def items(input):
    yield "text\\u2028\\n"
    yield {"a": [1]}
    yield b"\\x00\\x01"
    if input == "fails":
        raise ValueError("no more")
    if isinstance(input, dict):
        while not pathlib.Path(input["until"]).exists():
            time.sleep(0.002)
    yield None
"""
ITEMS = ["text\u2028\n", {"a": [1]}, b"\x00\x01", None]


@pytest.fixture(scope="module")
def story(ann: Commands) -> str:
    """The name of an algorithm that yields."""
    (ann.home / "story.py").write_text(SOURCE)
    ann.run("deploy", "story.py")
    return "ann/story"


@pytest.fixture
def client(ann: Commands) -> Iterator[Client]:
    with Client(ann.platform.url, ann.key) as client:
        yield client


def test_the_client_yields_items_as_they_come(client: Client, story: str, tmp_path: Path) -> None:
    items = client.stream(story, {"until": str(tmp_path / "go")})
    assert [next(items) for _ in range(3)] == ITEMS[:3]
    (tmp_path / "go").touch()
    assert list(items) == ITEMS[3:]


def test_an_error_is_raised_behind_the_items_before_it(client: Client, story: str) -> None:
    items = client.stream(story, "fails")
    assert [next(items) for _ in range(3)] == ITEMS[:3]
    with pytest.raises(AlgorithmFailed, match="no more") as caught:
        next(items)
    assert "story.py" in caught.value.stack_trace


def test_an_error_before_the_first_item_is_raised_as_by_a_call(client: Client, story: str) -> None:
    with pytest.raises(AlgorithmFailed, match="broken"):
        next(client.stream(story, "broken"))
    with pytest.raises(ClientError) as caught:
        next(client.stream("ann/nothing", 1))
    assert caught.value.http_status == 404


def test_a_result_that_is_no_stream_is_the_only_item(client: Client, story: str) -> None:
    assert list(client.stream(story, "nothing")) == [[]]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_events_are_read_from_chunks_of_any_size(size: int) -> None:
    body = 'data: "a\u2028"\n\ncontent_type: binary\ndata: "AAE="\n\nevent: end\ndata: {}\n\n'.encode()
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    assert [(name, data) for name, data in read_events(chunks)] == [("", "a\u2028"), ("", b"\x00\x01"), ("end", {})]


@pytest.mark.parametrize(("body", "words"), [(b"data: 1\n\n", "stopped before its end"), (b"nonsense\n\n", "nonsense")])
def test_a_stream_that_is_cut_off_or_is_none_says_so(body: bytes, words: str) -> None:
    with pytest.raises(ClientError, match=words):
        list(read_events([body]))


def test_the_command_prints_each_item_before_the_next_is_there(ann: Commands, story: str, tmp_path: Path) -> None:
    value = json.dumps({"until": str(tmp_path / "go")})
    command = [sys.executable, "-m", "slipway.cli.main", "call", story, value, "--stream"]
    with subprocess.Popen(command, env=ann.environment(), stdout=subprocess.PIPE, cwd=ann.home) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        (tmp_path / "go").touch()
        lines += process.stdout.readlines()
    assert process.returncode == 0
    assert [json.loads(line) for line in lines] == [*ITEMS[:2], "AAE=", None]


def test_the_command_gives_text_and_bytes_raw(ann: Commands, story: str) -> None:
    ann.run("call", story, "1", "--stream", "--raw", "--output", "out.bin")
    assert (ann.home / "out.bin").read_bytes() == b'text\xe2\x80\xa8\n{"a": [1]}\n\x00\x01null\n'


def test_an_error_behind_items_is_exit_code_1(ann: Commands, story: str) -> None:
    done = ann.run("call", story, '"fails"', "--stream", status=1)
    assert len(done.stdout.split("\n")) == 4
    assert done.stderr.startswith("slipway: AlgorithmError: ValueError: no more\n")


def test_a_command_interrupted_within_a_stream_cancels_the_call(ann: Commands, story: str, tmp_path: Path) -> None:
    value = json.dumps({"until": str(tmp_path / "go")})
    command = [sys.executable, "-m", "slipway.cli.main", "call", story, value, "--stream"]
    with subprocess.Popen(command, env=ann.environment(), stdout=subprocess.PIPE, cwd=ann.home) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()

    def cancelled() -> bool:
        lines = ann.run("audit", "--algorithm", story, "--json").stdout.split("\n")
        return any(json.loads(line).get("status") == 499 for line in lines if line)

    assert eventually(cancelled)


def test_a_stream_is_waited_for(ann: Commands, story: str) -> None:
    assert "--stream" in ann.run("call", story, "1", "--stream", "--async", status=2).stderr
