"""Hosted data over HTTP."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from tests.conditions import eventually
from tests.contract.control.processes import Control, message

NewAccount = Callable[[], tuple[str, httpx.Client]]


@pytest.fixture
def owner(new_account: NewAccount) -> tuple[str, httpx.Client]:
    """An account with the directory `files`."""
    name, client = new_account()
    assert client.post("/v1/data/.my", json={"name": "files"}).status_code == 200
    return name, client


def test_a_file_goes_up_whole_and_comes_down_whole(control: Control, owner: tuple[str, httpx.Client]) -> None:
    name, user = owner
    content = bytes(range(256)) * 20_000
    put = user.put(f"/v1/data/{name}/files/one", content=content)
    digest = hashlib.sha256(content).hexdigest()
    assert put.json() == {"result": f"data://{name}/files/one", "sha256": digest, "size": len(content)}
    got = user.get("/v1/data/.my/files/one")
    assert got.content == content
    assert got.headers["x-data-type"] == "file"
    head = user.head("/v1/connector/data/.my/files/one")
    assert (head.headers["x-data-type"], head.headers["content-length"]) == ("file", str(len(content)))
    (event,) = control.events(verb="data.put", actor=name)
    assert event.detail["sha256"] == digest


def test_directories_are_made_listed_and_removed(owner: tuple[str, httpx.Client]) -> None:
    name, user = owner
    assert user.post("/v1/data/.my/files", content='{"name": "inner"}').status_code == 200
    again = user.post("/v1/data/.my/files", json={"name": "inner"})
    assert (again.status_code, again.json()) == (200, {"result": f"data://{name}/files/inner"})
    user.put("/v1/data/.my/files/one", content=b"1").raise_for_status()
    found = user.get("/v1/data/.my/files")
    assert found.headers["x-data-type"] == "directory"
    assert found.json()["folders"] == [{"name": "inner"}]
    (file,) = found.json()["files"]
    assert (file["filename"], file["size"], file["last_modified"][-1]) == ("one", 1, "Z")
    assert user.head("/v1/data/.my/files").headers["x-data-type"] == "directory"
    kept = user.delete("/v1/data/.my/files")
    assert kept.json()["error"]["deleted"] == 0
    message(kept, 400)
    assert user.delete("/v1/data/.my/files", params={"force": "true"}).json() == {"result": {"deleted": 1}}
    message(user.get("/v1/data/.my/files"), 404)


def test_the_top_lists_ones_own_directory_which_is_there_before_anything_is_in_it(new_account: NewAccount) -> None:
    name, user = new_account()
    assert user.get("/v1/data/").json()["folders"] == [{"name": name}]
    assert user.head("/v1/data/").headers["x-data-type"] == "directory"
    assert user.get(f"/v1/data/{name}").json() == {"folders": [], "files": []}


def test_a_missing_file_says_so_in_a_header_too(owner: tuple[str, httpx.Client]) -> None:
    _, user = owner
    head = user.head("/v1/data/.my/files/none")
    assert (head.status_code, "nothing" in head.headers["x-error-message"]) == (404, True)
    message(user.get("/v1/data/.my/files/none"), 404)
    message(user.delete("/v1/data/.my/files/none"), 404)
    message(user.put("/v1/data/.my/nowhere/none", content=b""), 404)


@pytest.mark.parametrize(
    "path",
    [".my/files/%2e%2e/%2e%2e/x", ".my/%00/x", "%2fetc/passwd", ".my//x", ".uploads/x/y", ".my/files/%2e"],
)
def test_paths_that_lead_elsewhere_are_refused(owner: tuple[str, httpx.Client], path: str) -> None:
    _, user = owner
    assert user.put(f"/v1/data/{path}", content=b"x").status_code in (400, 404)
    assert user.get(f"/v1/data/{path}").status_code in (400, 404)


def test_a_directory_where_a_file_is_and_the_reverse_are_refused(owner: tuple[str, httpx.Client]) -> None:
    _, user = owner
    user.put("/v1/data/.my/files/one", content=b"1").raise_for_status()
    message(user.put("/v1/data/.my/files", content=b"x"), 400)
    message(user.post("/v1/data/.my/files", json={"name": "one"}), 409)
    message(user.post("/v1/data/.my/files/one", json={"name": "below"}), 400)
    for body in (b"", b"{}", b'{"name": 7}', b'{"name": "../x"}', b"[1]"):
        message(user.post("/v1/data/.my/files", content=body), 400)


def test_another_accounts_data_is_refused_but_for_administrators(
    control: Control, owner: tuple[str, httpx.Client], new_account: NewAccount, admin: httpx.Client
) -> None:
    name, user = owner
    user.put("/v1/data/.my/files/one", content=b"1").raise_for_status()
    stranger_name, stranger = new_account()
    for method in ("GET", "PUT", "POST", "DELETE"):
        message(stranger.request(method, f"/v1/data/{name}/files/one"), 403)
    assert stranger.head(f"/v1/data/{name}/files/one").status_code == 403
    assert {event.resource for event in control.events(actor=stranger_name, outcome="refused")} == {
        f"data://{name}/files/one"
    }
    assert admin.get(f"/v1/data/{name}/files/one").content == b"1"
    message(admin.put("/v1/data/nobody/files/one", content=b"1"), 404)


def test_an_upload_that_is_cut_off_leaves_the_old_file(control: Control, owner: tuple[str, httpx.Client]) -> None:
    name, user = owner
    user.put("/v1/data/.my/files/one", content=b"old").raise_for_status()
    uploads = control.settings.files_directory / ".uploads"
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(control.settings.control_socket))
        key = user.headers["Authorization"]
        lines = ("PUT /v1/data/.my/files/one HTTP/1.1", "Host: x", f"Authorization: {key}", "Content-Length: 4000000")
        head = "".join(f"{line}\r\n" for line in (*lines, ""))
        connection.sendall(head.encode() + b"x" * 2_000_000)
        eventually(lambda: list(uploads.iterdir()))
    eventually(lambda: not list(uploads.iterdir()))
    assert user.get("/v1/data/.my/files/one").content == b"old"
    assert len(control.events(verb="data.put", actor=name)) == 1


def test_large_files_pass_in_bounded_memory(control: Control, owner: tuple[str, httpx.Client]) -> None:
    _, user = owner
    chunk, count = b"m" * 1_000_000, 300

    def chunks() -> Iterator[bytes]:
        for _ in range(count):
            yield chunk

    before = peak_memory(control)
    assert user.put("/v1/data/.my/files/large", content=chunks()).json()["size"] == count * len(chunk)
    with user.stream("GET", "/v1/data/.my/files/large") as reply:
        assert sum(map(len, reply.iter_bytes())) == count * len(chunk)
    assert peak_memory(control) - before < 50 * 2**20


def test_a_file_may_be_empty_and_its_name_any_text(owner: tuple[str, httpx.Client]) -> None:
    _, user = owner
    for name in ("empty", "mit Umläuten und %", "a?b#c"):
        path = f"/v1/data/.my/files/{quote(name, safe='')}"
        user.put(path, content=b"").raise_for_status()
        assert user.get(path).content == b""
    assert {file["filename"] for file in user.get("/v1/data/.my/files").json()["files"]} >= {"a?b#c"}


def peak_memory(control: Control) -> int:
    """The process's peak resident set, in bytes."""
    lines = Path(f"/proc/{control.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))
