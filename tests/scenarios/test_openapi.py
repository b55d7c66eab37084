"""The management API as its own document describes it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.openapi import INVALID_KEY, ask, prepare
from slipway.testing import Platform

Asked = tuple[Platform, dict[str, list[str]]]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    with Platform(tmp_path_factory.mktemp("openapi") / "data") as platform:
        yield platform, prepare(platform)


@pytest.mark.parametrize("valid", [True, False], ids=["valid key", "invalid key"])
def test_no_request_is_answered_with_what_the_document_does_not_say(asked: Asked, valid: bool) -> None:
    platform, known = asked
    requests, failures = ask(platform, platform.admin_key if valid else INVALID_KEY, 8, known)
    assert failures == ""
    assert requests >= 400
