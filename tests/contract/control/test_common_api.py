"""Rows of the common API beside algorithms and accounts: secrets, source managers, environments, insights, more."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.contract.control.processes import Control, message

NewAccount = Callable[[], tuple[str, httpx.Client]]


def algorithm(client: httpx.Client, owner: str, name: str = "echo", **fields: Any) -> dict[str, Any]:
    """A new algorithm."""
    made: dict[str, Any] = (
        client.post(f"/v1/algorithms/{owner}", json={"name": name, **fields}).raise_for_status().json()
    )
    return made


def test_a_secret_is_set_as_the_classic_client_does_and_never_shown(control: Control, new_account: NewAccount) -> None:
    name, user = new_account()
    identity = algorithm(user, name)["id"]
    path = f"/v1/algorithms/{identity}/secrets"
    (provider,) = user.get("/v1/secret-provider").json()
    body = {
        "owner_type": "algorithm",
        "owner_id": identity,
        "short_name": "db",
        "provider_id": provider["id"],
        "secret_key": "DB_PASSWORD",
        "secret_value": "very geheim",
        "description": " ",
    }
    made = user.post(path, json=body)
    assert made.status_code == 201
    (listed,) = user.get(path).json()["results"]
    assert listed == made.json()
    assert (listed["owner_id"], listed["secret_key"], listed["short_name"]) == (identity, "DB_PASSWORD", "db")
    again = user.post(path, json={**body, "secret_value": "other geheim"})
    assert again.json()["id"] == listed["id"]
    changed = user.put(f"{path}/{listed['id']}", json={"short_name": "database", "secret_value": "third geheim"})
    assert changed.json()["short_name"] == "database"
    told = control.events(verb="secret.set", resource=f"{name}/echo")
    assert [one.detail["secret_key"] for one in told] == ["DB_PASSWORD"] * 3
    assert "geheim" not in made.text + again.text + changed.text + user.get(path).text + repr(told)
    assert user.delete(f"{path}/{listed['id']}").status_code == 204
    assert user.get(path).json() == {"results": []}
    message(user.delete(f"{path}/{listed['id']}"), 404)


def test_no_secret_lies_readable_in_the_data_directory(control: Control, new_account: NewAccount) -> None:
    name, user = new_account()
    body = {"secret_key": "TOKEN", "secret_value": "ThisIsWhatNobodyMayRead"}
    user.post(f"/v1/algorithms/{algorithm(user, name)['id']}/secrets", json=body).raise_for_status()
    files = [file for file in control.settings.root.rglob("*") if file.is_file()]
    assert any(file.name == "store.db" for file in files)
    assert not [file for file in files if b"ThisIsWhatNobodyMayRead" in file.read_bytes()]
    assert control.settings.secrets_key_file.stat().st_mode & 0o777 == 0o600


def test_others_and_wrong_bodies_are_refused(new_account: NewAccount) -> None:
    name, user = new_account()
    _, stranger = new_account()
    path = f"/v1/algorithms/{algorithm(user, name)['id']}/secrets"
    good = {"secret_key": "TOKEN", "secret_value": "x"}
    for change, words in (
        ({"secret_key": "no name"}, "secret_key"),
        ({"secret_value": ""}, "secret_value"),
        ({"owner_id": "another"}, "owner_id"),
        ({"owner_type": "user"}, "owner_type"),
        ({"provider_id": "vault"}, "provider_id"),
    ):
        assert words in message(user.post(path, json={**good, **change}), 400)
    message(stranger.get(path), 403)
    message(stranger.post(path, json=good), 403)
    assert user.get("/v1/algorithms/nothing/secrets").json() == {"error": "No such algorithm"}


def test_the_one_source_manager_is_described_and_authorized(new_account: NewAccount) -> None:
    name, user = new_account()
    (listed,) = user.get("/v1/scms").json()["results"]
    assert {"id", "provider", "default", "enabled", "oauth", "urls"} <= set(listed)
    assert user.get("/v1/scms/internal").json() == listed
    status = user.get("/v1/scms/internal/oauth/status").json()
    assert (status["authorization_status"], status["scm_username"]) == ("authorized", name)
    for path in ("/v1/scms/github", "/v1/scms/github/oauth/status"):
        assert user.get(path).json()["error"]["code"] == 1000


def test_an_environments_template_is_what_a_new_repository_holds(new_account: NewAccount) -> None:
    name, user = new_account()
    offered = user.get("/v1/algorithm-environments/edge/languages/python3/environments").json()["environments"]
    first = offered[0]
    assert {"id", "environment_specification_id", "display_name", "created_at", "language"} <= set(first)
    specification = first["environment_specification_id"]
    reply = user.get(f"/v1/algorithm-environments/edge/environment-specifications/{specification}/template")
    with tarfile.open(fileobj=io.BytesIO(reply.content), mode="r:gz") as packed:
        found = {member.name: packed.extractfile(member).read().decode() for member in packed}  # type: ignore[union-attr]
    algorithm(user, name, "hello", settings={"algorithm_environment": first["id"]})
    source = f"/v1/algorithms/{name}/hello/source"
    assert {path: user.get(f"{source}/{path}").text for path in user.get(source).json()["files"]} == found
    assert f'python = "{first["display_name"].removeprefix("Python ")}"' in found["slipway.toml"]
    missing = "/v1/algorithm-environments/edge/environment-specifications/nothing/template"
    assert user.get(missing).json()["error"]["code"] == 1000


@pytest.mark.parametrize(
    "settings",
    [
        {"language": "python3", "environment": "cpu", "license": "apl", "source_visibility": "closed"},
        {"package_set": "python311", "network_access": "full", "pipeline_enabled": True, "royalty_microcredits": 0},
        {"algorithm_environment": "fd980f4f-1f1c-4b2f-a128-d60b40c6567a", "package_set": None},
    ],
)
def test_an_algorithm_is_made_in_each_way_that_clients_ask_for_it_and_only_once(
    new_account: NewAccount, settings: dict[str, Any]
) -> None:
    name, user = new_account()
    body = {
        "name": "echo",
        "details": {"label": "Echo", "summary": "says it again", "tagline": "again"},
        "settings": settings,
        "version_info": {"sample_input": '"x"'},
        "source": {"scm": {"id": "internal"}},
    }
    first, second = (user.post(f"/v1/algorithms/{name}", json=body) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    other = user.post(f"/v1/algorithms/{name}", json={**body, "details": {"label": "Other"}})
    assert other.json()["error"]["code"] == 1002


def test_a_language_that_does_not_run_here_is_said_at_once(new_account: NewAccount) -> None:
    name, user = new_account()
    reply = user.post(f"/v1/algorithms/{name}", json={"name": "echo", "settings": {"language": "java"}})
    assert "java does not run here" in message(reply, 400)
    message(user.get("/v1/algorithm-environments/edge/languages/java/environments"), 404)
    assert user.get(f"/v1/algorithms/{name}/echo").status_code == 404


def test_insights_are_events_of_whoever_sends_them(control: Control, new_account: NewAccount) -> None:
    name, user = new_account()
    sent = [{"insight_key": "accuracy", "insight_value": 0.5}, {"insight_key": "kind", "insight_value": "x"}]
    assert user.post("/v1/insights", json=sent).json() == {"accepted": 2}
    (event,) = control.events(verb="insight", actor=name)
    assert json.loads(event.detail["insights"]) == {"accuracy": 0.5, "kind": "x"}
    assert event.resource == name
    assert user.post("/v1/insights", json=[]).json() == {"accepted": 0}
    assert "insight_key" in message(user.post("/v1/insights", json=[{"insight_value": 1}]), 400)
    message(user.post("/v1/insights", json=[{"insight_key": "k", "insight_value": "x" * 70_000}]), 413)
    algorithm(user, name)
    _, stranger = new_account()
    message(stranger.get(f"/v1/algorithms/{name}/echo/insights"), 403)
    assert user.get(f"/v1/algorithms/{name}/echo/insights").text.strip() == ""


def test_reservations_are_kept_and_given_up(admin: httpx.Client, new_account: NewAccount) -> None:
    name, user = new_account()
    algorithm(user, name)
    body = {"username": name, "algoname": "echo", "num_slots": 2, "version_type": "latest", "calling_user": name}
    made = admin.post("/v1/admin/reservations", json=body)
    assert made.status_code == 201
    assert {key: made.json()[key] for key in body} == body
    assert made.json() in admin.get("/v1/admin/reservations").json()
    message(user.get("/v1/admin/reservations"), 403)
    message(admin.post("/v1/admin/reservations", json={**body, "num_slots": 0}), 400)
    message(admin.post("/v1/admin/reservations", json={**body, "calling_user": "nobody"}), 404)
    message(admin.post("/v1/admin/reservations", json={**body, "version_identifier": "9.9.9"}), 404)
    path = f"/v1/admin/reservations/{made.json()['reservation_id']}"
    assert admin.delete(path).status_code == 204
    message(admin.delete(path), 404)


def test_a_method_that_a_path_has_not_is_a_405_that_names_those_it_has(admin: httpx.Client) -> None:
    for path, methods in (
        ("/v1/organizations", "GET, POST"),
        ("/v1/organizations/lab", "DELETE, GET, PUT"),
        ("/v1/algorithms/x/secrets", "GET, POST"),
        ("/v1/algorithms/ann/echo", "DELETE, GET, PUT"),
    ):
        reply = admin.patch(path, json={})
        assert (reply.headers["allow"], message(reply, 405)) == (methods, "Method Not Allowed")


@pytest.mark.parametrize("name", ["%16", "%C2%8E", "%F0%9C%81%89", "a%0Ab", "%00"])
def test_a_name_that_no_header_can_carry_is_refused_all_the_same(admin: httpx.Client, name: str) -> None:
    for path in (f"/v1/users/{name}", f"/v1/organizations/{name}", f"/v1/algorithms/{name}/x/source/y"):
        reply = admin.get(path)
        assert reply.status_code == 404
        assert reply.headers["x-error-message"].isprintable()
