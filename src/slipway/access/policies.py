"""Policies in Cedar: those of the platform, and what organizations add for what they own. They decide everything.

`platform.cedar` holds the first, `platform.cedarschema` says what policies can speak of. The language is described at
https://docs.cedarpolicy.com: a request is allowed if a policy permits and none forbids it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import cedarpy
import msgspec

from slipway.errors import InputError

_HERE = Path(__file__).parent
# Kinds of resources in Cedar's words.
_TYPES = {
    "algorithm": "Algorithm",
    "version": "Version",
    "repository": "Repository",
    "data": "Data",
    "request": "Request",
    "platform": "Platform",
}  # any other is about what an account holds
# Roles, and the attribute of a resource that means those who have them there.
_ROLES = {
    "publisher": "publishers",
    "developer": "developers",
    "caller": "callers",
    "auditor": "auditors",
    "billing": "billing",
}
_LONGEST = 256 * 1024  # characters of one organization's policies


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """May this account do that to this? All of it as names."""

    account: str
    admin: bool = False
    organizations: frozenset[str] = frozenset()  # in which the account may do everything
    roles: frozenset[str] = frozenset()  # `organization/role` where it is less
    key: str = ""  # its id
    key_permits: bool = True  # whether the key's own permissions leave it in
    through: str = ""  # `owner/name` of the algorithm that asks on the account's behalf
    action: str
    kind: str
    owner: str = ""
    public: bool = False
    name: str = ""  # the algorithm's
    versions: tuple[str, ...] = ()


class Decision(msgspec.Struct, frozen=True):
    """Whether it is allowed, and the names of the policies that made it so."""

    allowed: bool
    policies: tuple[str, ...] = ()


class PolicyBook:
    """All policies that are in force. `revision` grows with every change."""

    def __init__(self) -> None:
        self.revision = 0
        self._platform = cedarpy.PolicySet.from_str(_text("platform.cedar"))
        self._added: dict[str, cedarpy.PolicySet] = {}  # by owner, the platform's included

    def put(self, owner: str, text: str) -> None:
        """Have an organization's policies in force, in place of its earlier ones. Raises InputError."""
        check_policies(text)
        self._added[owner] = self._platform.with_added_str(text)
        self.revision += 1

    def drop(self, owner: str) -> None:
        """It has none any more."""
        if self._added.pop(owner, None) is not None:
            self.revision += 1

    def keep(self, owners: Iterable[str]) -> None:
        """Drop those of everyone else."""
        for owner in self._added.keys() - set(owners):
            self.drop(owner)

    def decide(self, question: Question) -> Decision:
        """Ask Cedar; about 50 us with the platform's policies alone."""
        resource = {"type": _TYPES.get(question.kind, "Holdings"), "id": question.name or question.owner}
        request = {
            "principal": {"type": "Account", "id": question.account},
            "action": f'Action::"{question.action}"',
            "resource": resource,
            "context": _context(question),
        }
        policies = self._added.get(question.owner, self._platform)
        answer = cedarpy.is_authorized(request, policies, _entities(question, resource))
        names = answer.diagnostics.id_annotations_by_reason
        reasons = tuple(sorted(names.get(reason) or reason for reason in answer.diagnostics.reasons))
        return Decision(answer.allowed and not answer.diagnostics.errors, reasons)


def check_policies(text: str) -> None:
    """Raises InputError with what is wrong, and where, with policies that somebody wrote."""
    if len(text) > _LONGEST:
        raise InputError(f"policies may have {_LONGEST} characters, not {len(text)}")
    try:
        found = cedarpy.validate_policies(text, _schema())
    except ValueError as error:
        raise InputError(f"the policies cannot be read: {error}") from error
    if not found.validation_passed:
        names = found.id_annotations_by_policy_id
        wrong = [f"{names.get(one.policy_id, one.policy_id)}: {one.error}".removeprefix(": ") for one in found.errors]
        raise InputError("the policies are wrong: " + "; ".join(wrong))


def _context(question: Question) -> dict[str, Any]:
    context: dict[str, Any] = {"key_permits": question.key_permits}
    if question.through:
        context["through"] = question.through
    if question.key:
        context["key"] = question.key
    return context


def _entities(question: Question, resource: dict[str, str]) -> str:
    about: dict[str, Any] = {"public": question.public, "versions": list(question.versions)}
    if question.owner:
        about["owner"] = _entity("Account", question.owner)
        for role, attribute in _ROLES.items():
            if (name := f"{question.owner}/{role}") in question.roles:  # to have none is as good as not to know any
                about[attribute] = _entity("Role", name)
    if question.owner and question.name:
        about["algorithm"] = f"{question.owner}/{question.name}"
    parents = [{"type": "Account", "id": name} for name in sorted(question.organizations)]
    parents += [{"type": "Role", "id": name} for name in sorted(question.roles)]
    account = {"type": "Account", "id": question.account}
    return json.dumps(
        [
            {"uid": account, "attrs": {"admin": question.admin}, "parents": parents},
            {"uid": resource, "attrs": about, "parents": []},
        ]
    )


def _entity(kind: str, name: str) -> dict[str, dict[str, str]]:
    return {"__entity": {"type": kind, "id": name}}


@cache
def _schema() -> cedarpy.Schema:
    return cedarpy.Schema.from_str(_text("platform.cedarschema"))


def _text(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
