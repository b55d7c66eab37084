"""The management API on PostgreSQL: what differs between databases must not show."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contract.control.processes import message, running_control
from tests.contract.registry.conftest import postgres_server, store_url

__all__ = ["postgres_server", "store_url"]


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_accounts_organizations_keys_and_secrets_are_kept_in_postgresql(tmp_path: Path, store_url: str) -> None:
    with running_control(tmp_path / "data", store_url=store_url) as control:
        ann = control.account("ann")
        with control.admin() as admin:
            made = admin.post("/v1/organizations", json={"org_name": "lab", "org_label": "The lab"}).json()
            assert admin.put("/v1/organizations/lab/members/ann").status_code == 200
            for path in ("/v1/users/a%00b", "/v1/organizations/a%00b"):
                assert "NUL" in message(admin.get(path), 400)
            assert "NUL" in message(admin.post("/v1/users", json={"username": "bob", "fullname": "a\0b"}), 400)
            assert admin.get("/v1/users?limit=1").json()["next_link"]
        identity = ann.post("/v1/algorithms/lab", json={"name": "echo"}).json()["id"]
        body = {"secret_key": "TOKEN", "secret_value": "geheim"}
        ann.post(f"/v1/algorithms/{identity}/secrets", json=body).raise_for_status()
        permissions = {"allow_algo": True, "algo_acl": ["algo://lab/echo"]}
        key = ann.post("/v1/organizations/lab/keys", json={"permissions": permissions}).json()["key"]
    with running_control(tmp_path / "data", store_url=store_url) as control, control.admin() as admin:
        assert admin.get("/v1/organizations/lab").json() == made
        assert len(admin.get(f"/v1/algorithms/{identity}/secrets").json()["results"]) == 1
        with control.client(key) as robot:
            assert robot.get("/v1/algorithms/lab/echo").status_code == 200
            message(robot.get("/v1/data/lab"), 403)
        assert admin.delete("/v1/organizations/lab").status_code == 204
        assert admin.get("/v1/users/ann").json()["organizations"] == []
    ann.close()
