"""Who may read hosted data, which part of it, and a page of it at a time."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.contract.control.processes import Control, message

NewAccount = Callable[[], tuple[str, httpx.Client]]
TEN = b"0123456789"


@pytest.fixture
def owner(new_account: NewAccount) -> tuple[str, httpx.Client]:
    """An account with the file `files/ten`."""
    name, client = new_account()
    client.post("/v1/data/.my", json={"name": "files"}).raise_for_status()
    client.put("/v1/data/.my/files/ten", content=TEN).raise_for_status()
    return name, client


def acl_of(client: httpx.Client, path: str) -> list[str]:
    """A directory's read ACL as a listing shows it."""
    found: list[str] = client.get(f"/v1/data/{path}", params={"acl": "true"}).json()["acl"]["read"]
    return found


def test_a_directory_is_read_by_everyone_once_its_owner_says_so(
    control: Control, owner: tuple[str, httpx.Client], new_account: NewAccount
) -> None:
    name, user = owner
    _, stranger = new_account()
    message(stranger.get(f"/v1/data/{name}/files/ten"), 403)
    changed = user.patch("/v1/data/.my/files", json={"acl": {"read": ["user://*"]}})
    assert (changed.status_code, changed.json()["acl"]) == (200, {"read": ["user://*"]})
    assert stranger.get(f"/v1/data/{name}/files/ten").content == TEN
    assert stranger.get(f"/v1/data/{name}/files").json()["files"][0]["filename"] == "ten"
    message(stranger.put(f"/v1/data/{name}/files/ten", content=b"x"), 403)
    message(stranger.delete(f"/v1/data/{name}/files/ten"), 403)
    message(stranger.patch(f"/v1/data/{name}/files", json={"acl": {"read": []}}), 403)
    message(stranger.get(f"/v1/data/{name}"), 403)
    user.patch("/v1/data/.my/files", json={"acl": {"read": []}}).raise_for_status()
    message(stranger.get(f"/v1/data/{name}/files/ten"), 403)
    assert [event.detail["acl"] for event in control.events(verb="data.acl", actor=name)] == ["user://*", "private"]


def test_an_acl_may_be_given_at_the_beginning_and_is_inherited(
    owner: tuple[str, httpx.Client], new_account: NewAccount
) -> None:
    name, user = owner
    _, stranger = new_account()
    assert acl_of(user, ".my/files") == ["algo://.my/*"]
    user.post("/v1/data/.my", json={"name": "open", "acl": {"read": ["user://*"]}}).raise_for_status()
    user.post("/v1/data/.my/open", json={"name": "inner"}).raise_for_status()
    user.post("/v1/data/.my/open", json={"name": "closed", "acl": {"read": []}}).raise_for_status()
    for place in ("inner", "closed"):
        user.put(f"/v1/data/.my/open/{place}/ten", content=TEN).raise_for_status()
    assert stranger.get(f"/v1/data/{name}/open/inner/ten").content == TEN
    message(stranger.get(f"/v1/data/{name}/open/closed/ten"), 403)
    listed = user.get("/v1/data/.my/open", params={"acl": "true"}).json()
    assert listed["folders"] == [
        {"name": "closed", "acl": {"read": []}},
        {"name": "inner", "acl": {"read": ["user://*"]}},
    ]


def test_a_directory_made_again_does_not_get_its_old_acl(
    owner: tuple[str, httpx.Client], new_account: NewAccount
) -> None:
    name, user = owner
    _, stranger = new_account()
    user.patch("/v1/data/.my/files", json={"acl": {"read": ["user://*"]}}).raise_for_status()
    user.delete("/v1/data/.my/files", params={"force": "true"}).raise_for_status()
    user.post("/v1/data/.my", json={"name": "files"}).raise_for_status()
    user.put("/v1/data/.my/files/ten", content=TEN).raise_for_status()
    message(stranger.get(f"/v1/data/{name}/files/ten"), 403)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"acl": []},
        {"acl": {}},
        {"acl": {"read": "user://*"}},
        {"acl": {"read": ["everyone"]}},
        {"acl": {"read": [7]}},
        {"acl": {"read": ["user://*"] * 101}},
    ],
)
def test_an_acl_that_is_none_is_refused(owner: tuple[str, httpx.Client], body: dict[str, object]) -> None:
    _, user = owner
    message(user.patch("/v1/data/.my/files", json=body), 400)
    assert acl_of(user, ".my/files") == ["algo://.my/*"]


def test_only_directories_have_an_acl(owner: tuple[str, httpx.Client]) -> None:
    _, user = owner
    message(user.patch("/v1/data/.my/files/ten", json={"acl": {"read": []}}), 400)
    message(user.patch("/v1/data/.my/none", json={"acl": {"read": []}}), 404)


@pytest.mark.parametrize(
    ("header", "content", "shown"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=8-100", b"89", "bytes 8-9/10"),
        ("bytes=-100", TEN, "bytes 0-9/10"),
    ],
)
def test_a_range_of_a_file_is_answered_alone(
    owner: tuple[str, httpx.Client], header: str, content: bytes, shown: str
) -> None:
    _, user = owner
    got = user.get("/v1/data/.my/files/ten", headers={"Range": header})
    assert (got.status_code, got.content, got.headers["content-range"]) == (206, content, shown)


@pytest.mark.parametrize("header", ["bytes=5-2", "bytes=0-1,4-5", "lines=1-2", "bytes=-", "bytes=x-y"])
def test_what_is_no_single_range_is_answered_whole(owner: tuple[str, httpx.Client], header: str) -> None:
    _, user = owner
    got = user.get("/v1/data/.my/files/ten", headers={"Range": header})
    assert (got.status_code, got.content) == (200, TEN)


def test_a_range_behind_the_end_is_refused(owner: tuple[str, httpx.Client]) -> None:
    _, user = owner
    message(user.get("/v1/data/.my/files/ten", headers={"Range": "bytes=10-"}), 416)
    user.put("/v1/data/.my/files/empty", content=b"").raise_for_status()
    assert user.get("/v1/data/.my/files/empty").content == b""
    message(user.get("/v1/data/.my/files/empty", headers={"Range": "bytes=0-"}), 416)


def test_a_file_that_one_has_already_is_not_sent_again(owner: tuple[str, httpx.Client]) -> None:
    _, user = owner
    tag = user.get("/v1/data/.my/files/ten").headers.get("etag")
    if tag is None:
        pytest.skip("the file system keeps no attributes, so that no digest is known")
    again = user.get("/v1/data/.my/files/ten", headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    user.put("/v1/data/.my/files/ten", content=b"other").raise_for_status()
    assert user.get("/v1/data/.my/files/ten", headers={"If-None-Match": tag}).content == b"other"


def test_a_long_listing_comes_in_pages_that_lose_nothing(owner: tuple[str, httpx.Client], control: Control) -> None:
    name, user = owner
    directory = control.settings.files_directory / name / "files"
    for number in range(1500):
        (directory / f"file{number:04}").write_bytes(b"")
    (directory / "a directory").mkdir()
    first = user.get("/v1/data/.my/files").json()
    assert (len(first["folders"]), len(first["files"])) == (1, 999)
    (directory / first["files"][-1]["filename"]).unlink()  # where the next page begins
    second = user.get("/v1/data/.my/files", params={"marker": first["marker"]}).json()
    assert "marker" not in second
    names = [file["filename"] for file in first["files"] + second["files"]]
    assert names == sorted({"ten", *(f"file{number:04}" for number in range(1500))})


@pytest.mark.parametrize("marker", ["x", "eA==", "ä", "Zg=", "////"])
def test_an_unknown_marker_is_refused_by_its_code(owner: tuple[str, httpx.Client], marker: str) -> None:
    _, user = owner
    refused = user.get("/v1/data/.my/files", params={"marker": marker})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, 5002)


def test_the_top_lists_ones_organizations_too(new_account: NewAccount, admin: httpx.Client) -> None:
    name, user = new_account()
    admin.post("/v1/organizations", json={"org_name": f"{name}team"}).raise_for_status()
    admin.put(f"/v1/organizations/{name}team/members/{name}").raise_for_status()
    assert user.get("/v1/data/").json()["folders"] == [{"name": name}, {"name": f"{name}team"}]
    user.post(f"/v1/data/{name}team", json={"name": "files"}).raise_for_status()


def test_a_connector_that_is_not_there_is_said_to_be_missing(owner: tuple[str, httpx.Client]) -> None:
    _, user = owner
    for method in ("GET", "PUT", "POST", "DELETE", "PATCH"):
        assert "no connector" in message(user.request(method, "/v1/connector/s3+mine/files/ten"), 404)
    assert user.head("/v1/connector/s3/x").status_code == 404


def test_data_of_an_algorithm_is_its_owners(owner: tuple[str, httpx.Client], new_account: NewAccount) -> None:
    name, user = owner
    _, stranger = new_account()
    path = f"/v1/data/.algo/{name}/echo/state"
    assert user.put(path, content=TEN).json()["result"] == f"data://.algo/{name}/echo/state"
    assert user.get(path).content == TEN
    assert user.get(f"/v1/data/.algo/{name}/echo").json()["files"][0]["filename"] == "state"
    message(stranger.get(path), 403)
    message(stranger.put(path, content=b"x"), 403)
    message(user.patch(f"/v1/data/.algo/{name}/echo", json={"acl": {"read": ["user://*"]}}), 400)
    message(user.get("/v1/data/.session/x"), 400)
