"""Roles and policies over HTTP: kept, tried, in force at once, and explained."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from tests.contract.control.processes import Control, message
from tests.contract.control.test_organizations import make

NewAccount = Callable[[], tuple[str, httpx.Client]]


def test_a_member_in_a_role_may_do_its_part(admin: httpx.Client, new_account: NewAccount) -> None:
    make(admin, "roles")
    admin.post("/v1/algorithms/roles", json={"name": "model"}).raise_for_status()
    name, user = new_account()
    path = "/v1/algorithms/roles/model"
    message(user.get(path), 403)
    for role, reads, changes, lists in (("auditor", 200, 403, 1), ("developer", 200, 200, 1), ("billing", 403, 403, 0)):
        admin.put(f"/v1/organizations/roles/members/{name}", json={"role": role}).raise_for_status()
        assert user.get("/v1/whoami").json()["roles"] == [f"roles/{role}"]
        assert user.get(path).status_code == reads
        assert user.put(path, json={"details": {"label": "x"}}).status_code == changes
        assert len(user.get("/v1/algorithms").json()["results"]) == lists
        message(user.put(f"/v1/organizations/roles/members/{name}", json={"role": "admin"}), 403)
    admin.put(f"/v1/organizations/roles/members/{name}", json={"role": "admin"}).raise_for_status()
    assert user.get("/v1/whoami").json()["organizations"] == ["roles"]
    assert user.get("/v1/organizations/roles").status_code == 200
    assert admin.put(f"/v1/organizations/roles/members/{name}", json={"role": "king"}).status_code == 400


def test_policies_are_tried_kept_in_force_and_dropped(
    control: Control, admin: httpx.Client, new_account: NewAccount
) -> None:
    name, user = new_account()
    make(admin, "ruled")
    admin.post("/v1/algorithms/ruled", json={"name": "model"}).raise_for_status()
    text = f'@id("guest") permit (principal == Account::"{name}", action == Action::"read", resource);'
    case = {"account": name, "action": "read", "resource": "algo://ruled/model", "expect": "allow"}
    path = "/v1/organizations/ruled/policies"

    (before,) = admin.post(f"{path}/test", json={"cases": [case]}).json()
    assert (before["passed"], before["allowed"], before["policies"]) == (False, False, [])
    (tried,) = admin.post(f"{path}/test", json={"cases": [case], "text": text}).json()
    assert (tried["passed"], tried["allowed"], tried["policies"]) == (True, True, ["guest"])
    message(user.get("/v1/algorithms/ruled/model"), 403)

    kept = admin.put(path, json={"text": text}).raise_for_status().json()
    assert admin.get(path).json() == kept
    assert user.get("/v1/algorithms/ruled/model").status_code == 200
    assert control.events(verb="policy.put", resource="ruled")
    wrong = admin.put(path, json={"text": "permit (principal"})
    assert wrong.status_code == 400
    assert "policies" in wrong.json()["error"]["message"]
    assert admin.get(path).json() == kept
    for reply in (user.get(path), user.put(path, json={"text": ""}), user.delete(path)):
        message(reply, 403)
    assert admin.delete(path).status_code == 204
    message(user.get("/v1/algorithms/ruled/model"), 403)


def test_why_names_the_policies_that_decided(admin: httpx.Client, new_account: NewAccount) -> None:
    name, user = new_account()
    _, stranger = new_account()
    make(admin, "asked")
    admin.post("/v1/algorithms/asked", json={"name": "model"}).raise_for_status()
    admin.put(f"/v1/organizations/asked/members/{name}", json={"role": "caller"}).raise_for_status()
    key = user.post(f"/v1/users/{name}/keys", json={"label": "less", "permissions": {"allow_data": True}}).json()["id"]
    whole = user.post(f"/v1/users/{name}/keys", json={"label": "whole"}).json()["id"]

    def why(
        client: httpx.Client, key: str, action: str = "call", resource: str = "algo://asked/model"
    ) -> httpx.Response:
        return client.get("/v1/why", params={"key": key, "action": action, "resource": resource})

    assert why(user, whole).json() == {"allowed": True, "policies": ["caller"]}
    assert why(admin, whole).json() == {"allowed": True, "policies": ["caller"]}
    assert why(user, key).json() == {"allowed": False, "policies": ["key-permissions"]}
    assert why(user, whole, "publish").json() == {"allowed": False, "policies": []}
    message(why(stranger, whole), 403)
    message(why(user, whole, "fly"), 400)
    message(why(user, whole, "call", "asked"), 400)
    message(why(user, "nothing"), 404)
