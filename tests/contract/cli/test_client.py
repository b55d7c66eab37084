"""The typed client."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.client import AlgorithmFailed, Client, ClientError
from tests.contract.cli.conftest import Commands


@pytest.fixture
def client(ann: Commands) -> Iterator[Client]:
    with Client(ann.platform.url, ann.key) as client:
        yield client


@pytest.mark.parametrize("value", [None, 1, "text", b"\x00bytes", [1, {"a": "b"}], ""])
def test_what_is_sent_comes_back(client: Client, value: object) -> None:
    assert client.call("ann/echo", value).result == value


def test_files_go_up_and_down_with_progress(client: Client, tmp_path: Path) -> None:
    source, target = tmp_path / "up", tmp_path / "down"
    source.write_bytes(bytes(range(256)) * 4096)
    seen: list[tuple[int, int]] = []
    client.data.make_directory("data://ann/files")
    client.data.make_directory("data://ann/files")
    written = client.data.upload(source, "data://ann/files/one", lambda done, total: seen.append((done, total)))
    assert written.size == client.data.size("data://ann/files/one") == 2**20
    assert seen[-1] == (2**20, 2**20)
    assert len(seen) > 1
    client.data.download("data://ann/files/one", target)
    assert target.read_bytes() == source.read_bytes()
    assert [entry.name for entry in client.data.list("data://ann/files")] == ["one"]
    client.data.delete("data://ann/files/one")
    assert client.data.size("data://ann/files/one") is None


def test_a_download_of_nothing_leaves_no_file(client: Client, tmp_path: Path) -> None:
    with pytest.raises(ClientError) as caught:
        client.data.download("data://ann/nothing", tmp_path / "file")
    assert caught.value.http_status == 404
    assert list(tmp_path.iterdir()) == []


def test_an_algorithms_own_error_carries_its_type_and_stack_trace(client: Client, ann: Commands) -> None:
    (ann.home / "fails.py").write_text("def apply(input):\n    raise KeyError('who')\n")
    ann.run("deploy", "fails.py", "fails")
    with pytest.raises(AlgorithmFailed) as caught:
        client.call("ann/fails", 1)
    assert caught.value.kind == "AlgorithmError"
    assert "fails.py" in caught.value.stack_trace
    with pytest.raises(AlgorithmFailed):
        client.call_raw("ann/fails", b"1", "application/json")


def test_a_name_without_its_owner_is_refused_before_anything_is_sent(client: Client) -> None:
    with pytest.raises(ClientError, match="OWNER/NAME"):
        client.versions("echo")


def test_an_address_that_is_no_platform_says_so() -> None:
    with pytest.raises(ClientError):
        Client("http://[nonsense", "simKEY").whoami()
