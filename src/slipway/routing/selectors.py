"""Version selectors of the common API, and semantic version order."""

from __future__ import annotations

import re
from collections.abc import Iterable

from slipway.types import Version

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
_SEMANTIC = re.compile(r"(0|[1-9]\d*)(?:\.(0|[1-9]\d*|\*))?(?:\.(0|[1-9]\d*|\*))?")


def is_commit(selector: str) -> bool:
    """Whether the selector is a full commit hash (SHA-1 or SHA-256)."""
    return _COMMIT.fullmatch(selector) is not None


def semantic_key(version: Version) -> tuple[int, ...]:
    """Sort key of a published version; unpublished ones sort below all."""
    return tuple(int(part) for part in version.semantic_version.split(".")) if version.semantic_version else (-1,)


def matches(selector: str, semantic_version: str) -> bool:
    """Whether `1.2.3` satisfies `1.2.3`, `1.2`, `1.2.*` or `1.*`."""
    wanted = [part for part in selector.split(".") if part != "*"]
    return semantic_version.split(".")[: len(wanted)] == wanted


def select(versions: Iterable[Version], selector: str, private: bool) -> Version | None:
    """The newest published version that satisfies `selector`, public ones only unless `private`.

    `selector` is `latest`, `latestPrivate` or a semantic version, whole or in part. An exact private version needs
    no `latestPrivate`: its owner may name it.
    """
    published = [v for v in versions if v.semantic_version]
    if selector == "latestPrivate":
        candidates = published if private else []
    elif selector == "latest":
        public = [v for v in published if v.callability == "public"]
        candidates = public or (published if private else [])
    elif not _SEMANTIC.fullmatch(selector):
        return None
    else:
        fitting = [v for v in published if matches(selector, v.semantic_version or "")]
        public = [v for v in fitting if v.callability == "public"]
        exact = selector.count(".") == 2 and "*" not in selector
        candidates = fitting if exact else public or (fitting if private else [])
    return max(candidates, key=semantic_key, default=None)
