"""Organizations, their members and keys; keys with permissions; accounts that are removed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from slipway.access.authorization_header import key_from_header
from tests.contract.control.processes import Control, message

NewAccount = Callable[[], tuple[str, httpx.Client]]


def make(admin: httpx.Client, name: str, *members: str, **fields: Any) -> dict[str, Any]:
    """An organization with members."""
    made: dict[str, Any] = admin.post("/v1/organizations", json={"org_name": name, **fields}).raise_for_status().json()
    for member in members:
        admin.put(f"/v1/organizations/{name}/members/{member}").raise_for_status()
    return made


def restricted(control: Control, client: httpx.Client, owner: str, **permissions: Any) -> httpx.Client:
    """A client with a key that has only these permissions."""
    made = client.post(f"/v1/users/{owner}/keys", json={"label": "less", "permissions": permissions})
    return control.client(made.raise_for_status().json()["key"])


def test_an_organization_is_made_read_and_changed_as_the_classic_client_does(
    control: Control, admin: httpx.Client
) -> None:
    types = {one["name"]: one["id"] for one in admin.get("/v1/organization/types").json()}
    assert set(types) == {"basic", "legacy", "pro"}
    described = {
        "org_label": "My label",
        "org_contact_name": "Some owner",
        "org_email": "org@example.com",
        "org_url": "https://example.com",
        "type_id": types["legacy"],
    }
    made = admin.post(
        "/v1/organizations", json={"org_name": "classicOrg", **described, "resource_type": "organization"}
    )
    assert made.status_code == 201
    found = admin.get("/v1/organizations/classicOrg").json()
    assert found == made.json()
    assert {name: found[name] for name in described} == described
    assert found in admin.get("/v1/organizations").json()["results"]
    # Client 2.0.5 sends back the whole object.
    changed = admin.put("/v1/organizations/classicOrg", json={**found, "org_label": "Other", "type_id": types["basic"]})
    assert (changed.status_code, changed.content) == (204, b"")
    now = admin.get("/v1/organizations/classicOrg").json()
    assert (now["org_label"], now["type_id"], now["org_url"]) == ("Other", types["basic"], "https://example.com")
    assert control.events(verb="organization.update", resource="classicOrg")


def test_wrong_organizations_are_refused_by_name_and_code(admin: httpx.Client, new_account: NewAccount) -> None:
    name, user = new_account()
    make(admin, "taken")
    for reply, status, code in (
        (admin.get("/v1/organizations/nothing"), 404, 3100),
        (admin.delete("/v1/organizations/nothing"), 404, 3100),
        (admin.get(f"/v1/organizations/{name}"), 404, 3100),  # a user is none
        (admin.post("/v1/organizations", json={"org_name": "taken"}), 409, 1002),
        (admin.post("/v1/organizations", json={"org_name": name}), 409, 1002),
        (admin.post("/v1/organizations", json={"org_name": "new", "type_id": ""}), 400, 5001),
        (admin.put("/v1/organizations/taken", json={"org_name": "other"}), 400, 5001),
        (admin.put("/v1/organizations/taken/members/nobody"), 404, 1000),
        (admin.put("/v1/organizations/taken/members/taken"), 404, 1000),
        (user.post("/v1/organizations", json={"org_name": "mine"}), 403, 2001),
        (user.get("/v1/organizations/taken"), 403, 2001),
        (user.put(f"/v1/organizations/taken/members/{name}"), 403, 2001),
        (user.delete("/v1/organizations/taken"), 403, 2001),
    ):
        assert (reply.status_code, reply.json()["error"]["code"]) == (status, code), reply.text


def test_an_invitation_is_an_empty_200_and_may_be_repeated(admin: httpx.Client, new_account: NewAccount) -> None:
    name, user = new_account()
    make(admin, "guests")
    for _ in range(2):
        reply = admin.put(f"/v1/organizations/guests/members/{name}", data={})
        assert (reply.status_code, reply.content) == (200, b"")
    (member,) = user.get("/v1/organizations/guests/members").json()["results"]
    assert (member["username"], member["role"]) == (name, "member")
    assert user.get(f"/v1/organizations/guests/members/{name}").json() == member
    assert user.get("/v1/whoami").json()["organizations"] == ["guests"]
    for _ in range(2):
        assert admin.delete(f"/v1/organizations/guests/members/{name}").status_code == 204
    message(user.get("/v1/organizations/guests"), 403)
    message(admin.get(f"/v1/organizations/guests/members/{name}"), 404)


def test_members_own_what_their_organization_owns(
    control: Control, admin: httpx.Client, new_account: NewAccount
) -> None:
    name, user = new_account()
    _, stranger = new_account()
    make(admin, "workshop", name)
    user.post("/v1/algorithms/workshop", json={"name": "echo"}).raise_for_status()
    assert user.put("/v1/algorithms/workshop/echo", json={"details": {"label": "E"}}).status_code == 200
    assert [one["self_link"] for one in user.get("/v1/algorithms").json()["results"]] == [
        "/v1/algorithms/workshop/echo"
    ]
    user.post("/v1/data/workshop", json={"name": "models"}).raise_for_status()
    user.put("/v1/data/workshop/models/m", content=b"m").raise_for_status()
    assert user.get("/v1/data/workshop/models/m").content == b"m"
    for path in ("/v1/algorithms/workshop/echo", "/v1/data/workshop/models/m", "/v1/organizations/workshop/keys"):
        message(stranger.get(path), 403)
    seen = [json.loads(line) for line in user.get("/v1/audit").text.splitlines() if line]
    assert any(one.get("verb") == "organization.create" and one["resource"] == "workshop" for one in seen)
    made = user.post("/v1/organizations/workshop/keys", json={"key_label": "robot"}).json()
    assert made["key"] == made["api_key"]
    with control.client(made["key"]) as robot:
        assert robot.get("/v1/whoami").json()["username"] == "workshop"
        assert robot.get("/v1/algorithms/workshop/echo").status_code == 200
    (listed,) = user.get("/v1/organizations/workshop/keys").json()["results"]
    assert (listed["label"], listed["id"]) == ("robot", made["id"])
    assert user.get(f"/v1/organizations/workshop/keys/{made['id']}").json() == listed
    assert user.delete(f"/v1/organizations/workshop/keys/{made['id']}").json()["revoked_at"] > 0


def test_a_removed_organization_takes_all_it_had_along(
    control: Control, admin: httpx.Client, new_account: NewAccount
) -> None:
    name, user = new_account()
    make(admin, "passing", name)
    user.post("/v1/algorithms/passing", json={"name": "echo"}).raise_for_status()
    user.post("/v1/data/passing", json={"name": "models"}).raise_for_status()
    key = user.post("/v1/organizations/passing/keys").json()["key"]
    assert admin.delete("/v1/organizations/passing").status_code == 204
    message(admin.delete("/v1/organizations/passing"), 404)
    with control.client(key) as robot:
        message(robot.get("/v1/whoami"), 401)
    assert admin.get("/v1/algorithms/passing/echo").json() == {"error": "No such algorithm"}
    message(admin.get("/v1/data/passing/models"), 404)
    assert not (control.settings.git_directory / "passing" / "echo.git").exists()
    assert user.get("/v1/whoami").json()["organizations"] == []
    message(admin.post("/v1/users", json={"username": "passing"}), 409)
    assert control.events(verb="organization.delete", resource="passing")[0].actor == "admin"


def test_a_removed_user_is_refused_everywhere(control: Control, admin: httpx.Client, new_account: NewAccount) -> None:
    name, user = new_account()
    user.post(f"/v1/algorithms/{name}", json={"name": "echo"}).raise_for_status()
    message(user.delete(f"/v1/users/{name}"), 403)
    message(admin.delete("/v1/users/admin"), 400)
    assert admin.delete(f"/v1/users/{name}").status_code == 204
    message(user.get("/v1/whoami"), 401)
    assert message(admin.get(f"/v1/users/{name}"), 404)
    assert control.events(verb="account.delete", resource=name)


def test_a_user_is_described_as_the_classic_clients_do(admin: httpx.Client) -> None:
    # A string of JSON, which client 2.0.5 calls text.
    body = json.dumps({"username": "texted", "email": "t@example.com", "passwordHash": "", "shouldCreateHello": True})
    made = admin.post("/v1/users", content=body.encode(), headers={"Content-Type": "text/plain"})
    assert (made.status_code, made.json()["username"]) == (201, "texted")
    assert admin.get("/v1/algorithms/texted/Hello").status_code == 200
    changed = admin.put("/v1/users/texted", json={**_plain(made.json()), "fullname": "Tex Ted", "company_role": "Boss"})
    assert (changed.json()["fullname"], changed.json()["email"]) == ("Tex Ted", "t@example.com")
    assert admin.get("/v1/users/texted").json() == changed.json()
    assert "keeps their name" in message(admin.put("/v1/users/texted", json={"username": "other"}), 400)


def _plain(user: dict[str, Any]) -> dict[str, Any]:
    """What the classic model of a user has."""
    return {name: user[name] for name in ("id", "username", "email", "self_link", "resource_type")}


def test_listings_of_accounts_have_pages(admin: httpx.Client, new_account: NewAccount) -> None:
    names = {new_account()[0] for _ in range(3)}
    seen, link = [], "/v1/users?limit=2"
    while link:
        page = admin.get(link).json()
        seen += [one["username"] for one in page["results"]]
        link = page["next_link"]
    assert names <= set(seen)
    assert len(seen) == len(set(seen))
    for path in ("/v1/users", "/v1/organizations"):
        assert admin.get(path, params={"marker": "nonsense"}).json()["error"]["code"] == 5002


def test_a_removed_algorithm_is_gone_and_may_be_made_again(control: Control, new_account: NewAccount) -> None:
    name, user = new_account()
    made = user.post(f"/v1/algorithms/{name}", json={"name": "echo"}).json()
    _, stranger = new_account()
    message(stranger.delete(f"/v1/algorithms/{name}/echo"), 403)
    kept = f"/v1/data/.algo/{name}/echo/kept"
    user.put(kept, content=b"x").raise_for_status()
    assert user.delete(f"/v1/algorithms/{name}/echo").status_code == 204
    again = user.delete(f"/v1/algorithms/{name}/echo")
    assert (again.status_code, again.json()) == (404, {"error": "No such algorithm"})
    assert control.events(verb="algorithm.delete", resource=f"{name}/echo")[0].detail["algorithm"] == made["id"]
    assert user.post(f"/v1/algorithms/{name}", json={"name": "echo"}).json()["id"] != made["id"]
    assert "src/echo.py" in user.get(f"/v1/algorithms/{name}/echo/source").json()["files"]
    message(user.get(kept), 404)


def test_a_key_with_permissions_may_do_what_they_say_and_nothing_else(
    control: Control, new_account: NewAccount
) -> None:
    name, user = new_account()
    for algorithm in ("one", "two"):
        user.post(f"/v1/algorithms/{name}", json={"name": algorithm}).raise_for_status()
    user.post(f"/v1/data/{name}", json={"name": "files"}).raise_for_status()
    with restricted(control, user, name, allow_data=True) as reader:
        assert reader.get(f"/v1/data/{name}/files").status_code == 200
        assert "permissions" in message(reader.put(f"/v1/data/{name}/files/x", content=b"x"), 403)
        for path in (f"/v1/algorithms/{name}/one", f"/v1/users/{name}/keys", "/v1/audit"):
            message(reader.get(path), 403)
        message(reader.post(f"/v1/users/{name}/keys"), 403)
    with restricted(control, user, name, allow_algo_management=True, algo_acl=[f"algo://{name}/one/*"]) as manager:
        assert manager.put(f"/v1/algorithms/{name}/one", json={"details": {"label": "L"}}).status_code == 200
        message(manager.put(f"/v1/algorithms/{name}/two", json={}), 403)
        message(manager.post(f"/v1/algorithms/{name}", json={"name": "three"}), 403)
        message(manager.get(f"/v1/data/{name}/files"), 403)
    with restricted(control, user, name) as nothing:
        message(nothing.get(f"/v1/algorithms/{name}/one"), 403)
        assert nothing.get("/v1/whoami").json()["username"] == name


@pytest.mark.parametrize("entry", ["ann/echo", "algo://", "algo://a/b/c/d", "algo:///echo", 7])
def test_a_wrong_entry_of_an_acl_is_named(new_account: NewAccount, entry: object) -> None:
    name, user = new_account()
    body = {"permissions": {"allow_algo": True, "algo_acl": [entry]}}
    assert "algo_acl" in message(user.post(f"/v1/users/{name}/keys", json=body), 400)


def test_a_permission_is_shown_with_its_key(new_account: NewAccount) -> None:
    name, user = new_account()
    permissions = {"allow_algo": True, "algo_acl": ["algo://.my/*"]}
    made = user.post(f"/v1/users/{name}/keys", json={"permissions": permissions}).json()
    shown = user.get(f"/v1/users/{name}/keys/{made['id']}").json()["permissions"]
    assert shown == {**dict.fromkeys(("allow_data", "allow_data_write", "allow_algo_management"), False), **permissions}


def test_a_member_may_push_under_either_name(control: Control, admin: httpx.Client, new_account: NewAccount) -> None:
    name, user = new_account()
    make(admin, "gitters", name)
    user.post("/v1/algorithms/gitters", json={"name": "echo"}).raise_for_status()
    key = key_from_header(user.headers["authorization"]) or ""
    for login, status in ((name, 200), ("gitters", 200), ("admin", 401)):
        reply = user.get("/git/gitters/echo.git/info/refs?service=git-receive-pack", auth=(login, key))
        assert reply.status_code == status
