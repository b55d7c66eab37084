"""Algorithms: made, listed, described, changed; with nothing built yet."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from tests.contract.control.processes import Control, message

NewAccount = Callable[[], tuple[str, httpx.Client]]


def test_a_new_algorithm_has_a_repository_with_a_template(control: Control, new_account: NewAccount) -> None:
    name, user = new_account()
    body = {"name": "hello", "details": {"label": "Hello"}, "settings": {"license": "apl", "royalty_microcredits": 0}}
    made = user.post(f"/v1/algorithms/{name}", json=body)
    assert made.status_code == 201
    found = user.get(f"/v1/algorithms/{name}/hello").json()
    assert found == made.json()
    assert (found["resource_type"], found["self_link"]) == ("algorithm", f"/v1/algorithms/{name}/hello")
    assert (found["details"]["label"], found["settings"]["license"]) == ("Hello", "apl")
    assert found["settings"]["algorithm_callability"] == "private"
    assert found["version_info"] == {}
    source = user.get(f"/v1/algorithms/{name}/hello/source").json()
    assert source["git"].endswith(f"/git/{name}/hello.git")
    assert "src/hello.py" in source["files"]
    code = user.get(f"/v1/algorithms/{name}/hello/source/src/hello.py")
    assert "def apply" in code.text
    assert code.headers["x-content-type-options"] == "nosniff"
    message(user.get(f"/v1/algorithms/{name}/hello/source/missing.py"), 404)
    assert user.get(f"/v1/algorithms/{name}/hello/scm/status").json() == {"scm_connection_status": "active"}
    assert control.events(verb="algorithm.create", resource=f"{name}/hello")[0].actor == name


def test_a_missing_algorithm_is_answered_as_classic_clients_expect(new_account: NewAccount) -> None:
    name, user = new_account()
    for method, path in (("GET", ""), ("PUT", ""), ("GET", "/versions"), ("GET", "/builds"), ("POST", "/compile")):
        reply = user.request(method, f"/v1/algorithms/{name}/missing{path}", json={} if method != "GET" else None)
        assert (reply.status_code, reply.json()) == (404, {"error": "No such algorithm"})


def test_the_same_name_again_is_1002_and_changes_nothing(new_account: NewAccount) -> None:
    name, user = new_account()
    user.post(f"/v1/algorithms/{name}", json={"name": "one", "details": {"label": "first"}}).raise_for_status()
    again = user.post(f"/v1/algorithms/{name}", json={"name": "one", "details": {"label": "second"}})
    assert (again.status_code, again.json()["error"]["code"]) == (409, 1002)
    assert user.get(f"/v1/algorithms/{name}/one").json()["details"]["label"] == "first"


@pytest.mark.parametrize("name", ["", "../x", "a/b", "versions", "x" * 129, "9lives"])
def test_a_name_that_no_algorithm_may_have_is_a_400(new_account: NewAccount, name: str) -> None:
    owner, user = new_account()
    message(user.post(f"/v1/algorithms/{owner}", json={"name": name}), 400)


def test_a_change_in_json_is_kept_and_leaves_the_rest(control: Control, new_account: NewAccount) -> None:
    name, user = new_account()
    body = {"name": "one", "details": {"label": "L", "tagline": "T"}, "settings": {"license": "apl"}}
    user.post(f"/v1/algorithms/{name}", json=body).raise_for_status()
    change = {"details": {"label": "new"}, "settings": {"network_access": "full"}}
    found = user.put(f"/v1/algorithms/{name}/one", json=change).json()
    assert found["details"] == {"label": "new", "tagline": "T", "summary": ""}
    assert (found["settings"]["license"], found["settings"]["network_access"]) == ("apl", "full")
    assert control.events(verb="algorithm.update", resource=f"{name}/one")


def test_a_change_as_client_2_0_5_sends_it_is_accepted(new_account: NewAccount) -> None:
    name, user = new_account()
    user.post(f"/v1/algorithms/{name}", json={"name": "one", "details": {"label": "L"}}).raise_for_status()
    # What requests makes of {"details": {"label": "new"}, "settings": {"license": "mit"}}: the values are gone.
    lost = user.put(f"/v1/algorithms/{name}/one", data={"details": "label", "settings": "license"})
    assert (lost.status_code, lost.json()["details"]["label"]) == (200, "L")
    form = urlencode({"details": json.dumps({"label": "it's new"})})
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    whole = user.put(f"/v1/algorithms/{name}/one", content=form, headers=headers)
    assert whole.json()["details"]["label"] == "it's new"


def test_bodies_that_are_wrong_are_named(new_account: NewAccount) -> None:
    name, user = new_account()
    path = f"/v1/algorithms/{name}"
    user.post(path, json={"name": "one"}).raise_for_status()
    broken: dict[str, Any] = {"content": b"{", "headers": {"Content-Type": "application/json"}}
    assert "JSON" in message(user.post(path, **broken), 400)
    assert "JSON" in message(user.put(f"{path}/one", **broken), 400)
    assert "details.label" in message(user.put(f"{path}/one", json={"details": {"label": 1}}), 400)
    assert "limit" in message(user.get(f"{path}/one/versions", params={"limit": 0}), 400)
    marker = user.get(f"{path}/one/versions", params={"marker": "nothing"})
    assert marker.json()["error"]["code"] == 5002


def test_listings_have_pages(new_account: NewAccount, admin: httpx.Client) -> None:
    name, user = new_account()
    for number in range(5):
        user.post(f"/v1/algorithms/{name}", json={"name": f"a{number}"}).raise_for_status()
    names, link = [], f"/v1/algorithms/{name}?limit=2"
    while link:
        page = user.get(link).json()
        assert len(page["results"]) <= 2
        names += [one["name"] for one in page["results"]]
        link = page["next_link"]
    assert names == [f"a{number}" for number in range(5)]
    assert [one["name"] for one in user.get("/v1/algorithms").json()["results"]] == names
    assert {f"/v1/algorithms/{name}/a0"} <= {one["self_link"] for one in admin.get("/v1/algorithms").json()["results"]}
    assert user.get(f"/v1/algorithms/{name}?marker=nothing").json()["error"]["code"] == 5002


def test_another_accounts_private_algorithm_is_refused(control: Control, new_account: NewAccount) -> None:
    owner, ours = new_account()
    ours.post(f"/v1/algorithms/{owner}", json={"name": "secret"}).raise_for_status()
    name, stranger = new_account()
    path = f"/v1/algorithms/{owner}/secret"
    for method, rest in (
        ("GET", ""),
        ("PUT", ""),
        ("GET", "/versions"),
        ("GET", "/builds"),
        ("GET", "/source"),
        ("GET", "/source/src/secret.py"),
        ("GET", "/logs"),
        ("POST", "/compile"),
        ("POST", "/versions"),
        ("POST", "/version"),
    ):
        message(stranger.request(method, path + rest), 403)
    message(stranger.post(f"/v1/algorithms/{owner}", json={"name": "mine"}), 403)
    message(stranger.get(f"/v1/algorithms/{owner}"), 403)
    assert len(control.events(actor=name, outcome="refused", resource=f"{owner}/secret")) == 10


def test_an_administrator_may_manage_any_account(admin: httpx.Client, new_account: NewAccount) -> None:
    owner, ours = new_account()
    admin.post(f"/v1/algorithms/{owner}", json={"name": "given"}).raise_for_status()
    assert ours.get(f"/v1/algorithms/{owner}/given").status_code == 200
    message(admin.post("/v1/algorithms/nobody", json={"name": "x"}), 404)


def test_languages_environments_and_scms_are_listed(new_account: NewAccount, admin: httpx.Client) -> None:
    _, user = new_account()
    (python,) = user.get("/v1/algorithm-environments/edge/languages").json()
    assert python["name"] == "python"
    found = user.get("/v1/algorithm-environments/edge/languages/python/environments").json()
    assert [one["language"] for one in found["environments"]] == ["python"] * len(found["environments"])
    message(user.get("/v1/algorithm-environments/edge/languages/cobol/environments"), 404)
    assert user.get("/v1/scms").json()["results"][0]["id"] == "internal"
    message(user.put("/v1/algorithm-environments/edge/environments/x", json={"trusted": True}), 403)
    message(admin.put("/v1/algorithm-environments/edge/environments/x", json={"trusted": True}), 404)
