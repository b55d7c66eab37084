"""`slipway policy` and `slipway why`."""

from __future__ import annotations

import json

from tests.contract.cli.conftest import Commands

TEXT = """@id("guests") permit (principal == Account::"ann", action == Action::"read", resource);
"""
CASES = """
[[case]]
account = "ann"
action = "read"
resource = "org://guests"
expect = "allow"

[[case]]
account = "ann"
action = "call"
resource = "org://guests"
expect = "deny"
"""


def test_policies_are_tried_set_shown_explained_and_dropped(ann: Commands) -> None:
    platform = ann.platform
    platform.request("POST", "/v1/organizations", json={"org_name": "guests"})
    boss = {"SLIPWAY_API_KEY": platform.admin_key}
    (ann.home / "guests.cedar").write_text(TEXT)
    (ann.home / "wrong.cedar").write_text("permit (principal, action, resource")
    (ann.home / "cases.toml").write_text(CASES)

    tried = ann.run("policy", "test", "guests", "cases.toml", status=1, environment=boss).stdout
    assert [line.split()[0] for line in tried.splitlines()[1:]] == ["WRONG", "ok"]
    ann.run("policy", "test", "guests", "cases.toml", "--policies", "guests.cedar", environment=boss)
    assert "policies" in ann.run("policy", "set", "guests", "wrong.cedar", status=1, environment=boss).stderr
    ann.run("policy", "set", "guests", "guests.cedar", status=1)  # ann is no member
    ann.run("policy", "set", "guests", "guests.cedar", environment=boss)
    assert ann.run("policy", "show", "guests", environment=boss).stdout == TEXT
    key = json.loads(ann.run("keys", "list", "--json").stdout)[0]["id"]
    assert ann.run("why", key, "read", "org://guests").stdout == "allow: guests\n"
    assert ann.run("why", key, "publish", "org://guests").stdout == "deny: no policy permits it\n"
    assert "fly" in ann.run("why", key, "fly", "org://guests", status=1).stderr
    ann.run("policy", "drop", "guests", environment=boss)
    assert ann.run("policy", "show", "guests", environment=boss).stdout.strip() == ""
