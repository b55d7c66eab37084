"""The management API against a real control process: accounts, keys, algorithms, data, the feed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from slipway.control.app import ROUTED
from slipway.control.authentication import is_decision
from tests.contract.control.processes import Control, message, running_control

NewAccount = Callable[[], tuple[str, httpx.Client]]
_OPEN = {"/health/live", "/health/ready"}


def _decides(dependant: Dependant) -> bool:
    return is_decision(dependant.call) or any(_decides(part) for part in dependant.dependencies)


def test_every_route_asks_for_a_decision() -> None:
    routes = [route for module in ROUTED for route in module.router.routes if isinstance(route, APIRoute)]

    assert len(routes) > 30
    assert [route.path for route in routes if route.path not in _OPEN and not _decides(route.dependant)] == []


def test_the_openapi_description_is_served(control: Control) -> None:
    with control.client() as nobody:
        described = nobody.get("/v1/openapi.json").json()

    assert "/v1/algorithms/{owner}/{name}/versions" in described["paths"]


@pytest.mark.parametrize("path", ["/v1/whoami", "/v1/users", "/v1/algorithms", "/v1/data/", "/v1/status", "/v1/audit"])
def test_nothing_is_told_without_a_key(control: Control, path: str) -> None:
    with control.client() as nobody, control.client("simWrong") as wrong:
        assert nobody.get(path).status_code == 401
        assert wrong.get(path).status_code == 401


def test_the_admins_key_is_kept_for_its_owner_only(control: Control) -> None:
    assert control.settings.admin_key_file.stat().st_mode & 0o777 == 0o600
    assert len(control.admin_key) == 28
    assert control.admin_key.startswith("sim")


def test_a_user_sees_themselves_and_nobody_else(new_account: NewAccount) -> None:
    name, ann = new_account()
    other, _ = new_account()

    assert ann.get("/v1/whoami").json()["username"] == name
    assert ann.get(f"/v1/users/{name}/keys").status_code == 200
    assert message(ann.get(f"/v1/users/{other}/keys"), 403)
    assert message(ann.get("/v1/users"), 403)
    assert message(ann.post("/v1/users", json={"username": "more"}), 403)


def test_a_refusal_is_an_event(control: Control, new_account: NewAccount) -> None:
    name, ann = new_account()
    ann.get("/v1/users")

    assert [event.outcome for event in control.events(actor=name, outcome="refused")] == ["refused"]


def test_a_key_is_shown_once_and_refused_once_revoked(control: Control, new_account: NewAccount) -> None:
    name, ann = new_account()
    made = ann.post(f"/v1/users/{name}/keys", json={"label": "more"}).json()
    listed = ann.get(f"/v1/users/{name}/keys").text

    assert made["key"] not in listed
    assert ann.delete(f"/v1/users/{name}/keys/{made['id']}").status_code == 200
    with control.client(made["key"]) as revoked:
        assert revoked.get("/v1/whoami").status_code == 401


@pytest.mark.parametrize("name", ["", "a b", "../x", "x" * 200, "-"])
def test_a_name_that_cannot_be_is_an_input_error(admin: httpx.Client, name: str) -> None:
    assert message(admin.post("/v1/users", json={"username": name}), 400)


def test_a_field_of_the_wrong_kind_is_named(admin: httpx.Client) -> None:
    assert "username" in message(admin.post("/v1/users", json={"username": 5}), 400)


def test_an_algorithm_is_made_once_described_and_changed(new_account: NewAccount) -> None:
    name, ann = new_account()
    made = ann.post(f"/v1/algorithms/{name}", json={"name": "echo", "details": {"label": "Echo"}})
    again = ann.post(f"/v1/algorithms/{name}", json={"name": "echo"})
    changed = ann.put(f"/v1/algorithms/{name}/echo", json={"details": {"summary": "says it again"}}).json()

    assert (made.status_code, made.json()["resource_type"]) == (201, "algorithm")
    assert message(again, 409)
    assert changed["details"] == {"label": "Echo", "summary": "says it again", "tagline": ""}
    assert "src/echo.py" in ann.get(f"/v1/algorithms/{name}/echo/source").json()["files"]
    assert ann.get(f"/v1/algorithms/{name}/echo/scm/status").json() == {"scm_connection_status": "active"}


def test_a_missing_algorithm_is_what_classic_clients_look_for(new_account: NewAccount) -> None:
    name, ann = new_account()
    reply = ann.get(f"/v1/algorithms/{name}/nothing")

    assert (reply.status_code, reply.json()) == (404, {"error": "No such algorithm"})


def test_an_unknown_marker_is_said_to_be_one(new_account: NewAccount) -> None:
    name, ann = new_account()
    ann.post(f"/v1/algorithms/{name}", json={"name": "echo"})
    reply = ann.get(f"/v1/algorithms/{name}/echo/versions", params={"marker": "nonsense"})

    assert reply.json()["error"]["code"] == 5002


def test_a_file_is_kept_whole_listed_and_removed(new_account: NewAccount) -> None:
    name, ann = new_account()
    content = bytes(range(256)) * 5000
    assert message(ann.put(f"/v1/data/{name}/models/m.bin", content=content), 404)
    ann.post(f"/v1/data/{name}", json={"name": "models"}).raise_for_status()
    written = ann.put("/v1/data/.my/models/m.bin", content=content).json()

    assert (written["result"], written["size"]) == (f"data://{name}/models/m.bin", len(content))
    assert ann.get(f"/v1/connector/data/{name}/models/m.bin").content == content
    assert ann.head(f"/v1/data/{name}/models/m.bin").headers["x-data-type"] == "file"
    listing = ann.get(f"/v1/data/{name}/models")
    assert listing.headers["x-data-type"] == "directory"
    assert [file["filename"] for file in listing.json()["files"]] == ["m.bin"]
    assert ann.delete(f"/v1/data/{name}/models/m.bin").json() == {"result": {"deleted": 1}}
    assert message(ann.get(f"/v1/data/{name}/models/m.bin"), 404)


@pytest.mark.parametrize("path", ["%2e%2e/x", "a/%2e%2e/%2e%2e/etc", "%2Fetc%2Fpasswd", "a%00b"])
def test_paths_that_lead_elsewhere_are_refused(new_account: NewAccount, path: str) -> None:
    _, ann = new_account()

    assert ann.get(f"/v1/data/{path}").status_code in (400, 403, 404)


def test_another_accounts_data_is_refused(new_account: NewAccount) -> None:
    name, ann = new_account()
    _, bob = new_account()
    ann.post(f"/v1/data/{name}", json={"name": "models"}).raise_for_status()

    assert message(bob.get(f"/v1/data/{name}/models"), 403)
    assert message(bob.put(f"/v1/data/{name}/models/x", content=b"x"), 403)


def test_the_feed_tells_a_key_before_the_request_that_made_it_is_answered(
    control: Control, new_account: NewAccount
) -> None:
    name, ann = new_account()
    with control.internal() as internal, internal.stream("GET", "/feed") as feed:
        lines = feed.iter_lines()
        assert json.loads(next(lines))["full"]
        made = ann.post(f"/v1/users/{name}/keys", json={}).json()
        told = next(line for line in lines if made["id"] in line)

    assert made["key"] not in told


def test_what_was_made_is_there_after_a_restart(tmp_path: Path) -> None:
    with running_control(tmp_path / "data") as control:
        key = control.admin_key
        with control.account("ann") as ann:
            ann.post("/v1/algorithms/ann", json={"name": "echo"}).raise_for_status()
    with running_control(tmp_path / "data") as control, control.client(key) as admin:
        assert admin.get("/v1/algorithms/ann/echo").json()["name"] == "echo"
        assert control.admin_key == key
