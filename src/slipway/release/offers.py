"""The environments that a new algorithm can ask for: one for each Python of this machine."""

from __future__ import annotations

import re
import sys
import uuid
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from slipway.errors import InputError
from slipway.release.interpreters import Interpreter

_LANGUAGE = re.compile(r"python(3([.-]\d+)*)?")
_IN_PACKAGE_SET = re.compile(r"python-?3\.?(\d+)")


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """A Python that new algorithms can be made for."""

    id: str
    python: str  # "3.11"


def offers(interpreters: Iterable[Interpreter]) -> list[Offer]:
    """One for each minor version, the platform's own first, then the newest."""
    own = sys.version_info[:2]
    minors = sorted({one.version[:2] for one in interpreters}, key=lambda minor: (minor != own, -minor[0], -minor[1]))
    return [_offer(f"{major}.{minor}") for major, minor in minors]


def is_python(language: str) -> bool:
    """Whether it is a name that clients have for the one language that runs here."""
    return _LANGUAGE.fullmatch(language) is not None


def python_for(
    settings: Mapping[str, str | bool | int], offered: Sequence[Offer], built: Mapping[str, str] | None = None
) -> str:
    """The Python that an algorithm's settings ask for, such as `3.11`; empty where any will do.

    `built` are the versions of environments that exist, by id. What asks for an environment or package set that only
    another platform has gets the default. Raises InputError for a language that does not run here.
    """
    language = str(settings.get("language") or "python").lower()
    if not is_python(language):
        raise InputError(f"settings.language: {language[:100]} does not run here, python does")
    known = {offer.id: offer.python for offer in offered} | {
        digest: ".".join(version.split(".")[:2]) for digest, version in (built or {}).items()
    }
    found = known.get(str(settings.get("algorithm_environment") or ""), "")
    if not found and (named := _IN_PACKAGE_SET.search(str(settings.get("package_set") or ""))):
        found = f"3.{named[1]}"
    return found if found in known.values() else ""


def _offer(python: str) -> Offer:
    return Offer(id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"slipway:python-{python}")), python=python)
