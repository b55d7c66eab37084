"""Users and their keys."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from tests.conditions import eventually
from tests.contract.control.processes import Control, message

NewAccount = Callable[[], tuple[str, httpx.Client]]


def test_an_administrator_makes_users_and_reads_them(control: Control, admin: httpx.Client) -> None:
    made = admin.post("/v1/users", json={"username": "ann", "email": "ann@example.com"})
    assert made.status_code == 201
    assert made.json()["email"] == "ann@example.com"
    assert admin.get("/v1/users/ann").json() == made.json()
    assert made.json() in admin.get("/v1/users").json()["results"]
    (event,) = control.events(verb="account.create", resource="ann")
    assert (event.actor, event.outcome) == ("admin", "done")


def test_a_user_that_exists_is_1002_and_a_missing_one_1000(admin: httpx.Client) -> None:
    admin.post("/v1/users", json={"username": "twice"}).raise_for_status()
    again = admin.post("/v1/users", json={"username": "twice"})
    assert (again.status_code, again.json()["error"]["code"]) == (409, 1002)
    missing = admin.get("/v1/users/nobody")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, 1000)


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "username"),
        ({"username": 7}, "username"),
        ({"username": "x y"}, "x y"),
        ({"username": "data"}, "reserved"),
        ({"username": "bob", "password": "secret"}, "password"),
        ({"username": "bob", "passwordHash": "x"}, "passwordHash"),
    ],
)
def test_a_wrong_body_is_a_400_that_names_the_field(admin: httpx.Client, body: object, named: str) -> None:
    assert named in message(admin.post("/v1/users", json=body), 400)


def test_what_the_classic_client_sends_is_accepted(admin: httpx.Client) -> None:
    body = {"username": "classic", "email": "c@example.com", "passwordHash": "", "shouldCreateHello": False}
    assert admin.post("/v1/users", json=body).status_code == 201


def test_a_keys_text_is_shown_once_and_the_key_is_good_until_it_is_revoked(
    control: Control, new_account: NewAccount
) -> None:
    name, user = new_account()
    made = user.post(f"/v1/users/{name}/keys", json={"label": "laptop"}).json()
    assert len(made["key"]) == 28
    assert made["key"].startswith("sim")
    listed = user.get(f"/v1/users/{name}/keys").json()["results"]
    assert [one["label"] for one in listed] == ["test", "laptop"]
    assert not any("key" in one for one in listed)
    assert user.get(f"/v1/users/{name}/keys/{made['id']}").json()["label"] == "laptop"
    with control.client(made["key"]) as other:
        assert other.get("/v1/whoami").json()["username"] == name
        assert other.delete(f"/v1/users/{name}/keys/{made['id']}").json()["revoked_at"] > 0
        message(other.get("/v1/whoami"), 401)
    assert user.delete(f"/v1/users/{name}/keys/{made['id']}").status_code == 200
    assert control.events(verb="key.revoke", resource=name)[0].detail["revoked"] == made["id"]


def test_a_key_may_be_made_without_a_body(new_account: NewAccount) -> None:
    name, user = new_account()
    assert user.post(f"/v1/users/{name}/keys").status_code == 201


def test_another_users_keys_are_refused_and_that_is_recorded(control: Control, new_account: NewAccount) -> None:
    name, user = new_account()
    other, _ = new_account()
    for reply in (
        user.get(f"/v1/users/{other}"),
        user.get(f"/v1/users/{other}/keys"),
        user.post(f"/v1/users/{other}/keys", json={}),
        user.post("/v1/users", json={"username": "mine"}),
    ):
        assert reply.json()["error"]["code"] == 2001, reply.text
        message(reply, 403)
    refused = control.events(actor=name, outcome="refused")
    assert [(one.verb, one.resource) for one in refused] == [("account", other)] * 3 + [("admin", "platform")]
    assert name in refused[0].detail["reason"]


def test_a_key_of_another_user_is_no_key_of_ones_own(new_account: NewAccount) -> None:
    name, user = new_account()
    other, friend = new_account()
    (key,) = friend.get(f"/v1/users/{other}/keys").json()["results"]
    message(user.get(f"/v1/users/{name}/keys/{key['id']}"), 404)
    message(user.delete(f"/v1/users/{name}/keys/{key['id']}"), 404)
    assert friend.get("/v1/whoami").status_code == 200


@pytest.mark.parametrize("header", [None, "", "Simple simNOBODYSKEY", "Basic !!!", "Bearer x.y.z"])
def test_without_a_good_key_nothing_is_said_but_401(control: Control, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    with control.client() as nobody:
        for path in ("/v1/whoami", "/v1/algorithms/ann/missing", "/v1/users", "/v1/data/.my/x", "/v1/audit"):
            reply = nobody.get(path, headers=headers)
            assert reply.json()["error"]["code"] == 2002
            assert reply.headers["www-authenticate"].startswith("Simple")
            message(reply, 401)


def test_refusals_without_a_key_are_counted_once_a_second(control: Control) -> None:
    with control.client() as nobody:
        for _ in range(5):
            nobody.get("/v1/scms")

    def counted() -> int:
        found = control.events(verb="authenticate", resource="/v1/scms")
        return sum(int(event.detail["count"]) for event in found)

    assert eventually(lambda: counted() >= 5 and counted()) == 5
    assert len(control.events(verb="authenticate", resource="/v1/scms")) <= 2


def test_every_form_of_the_header_is_accepted(control: Control) -> None:
    key = control.admin_key
    for header in (key, f"Simple {key}", f"Bearer {key}"):
        with control.client() as client:
            assert client.get("/v1/whoami", headers={"Authorization": header}).json()["username"] == "admin"
    with control.client() as client:
        assert client.get("/v1/whoami", auth=("admin", key)).status_code == 200
