"""The management API as its own document describes it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.openapi import INVALID_KEY, ask, prepare
from slipway.testing import Platform


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform(tmp_path_factory.mktemp("openapi") / "data") as platform:
        prepare(platform)
        yield platform


@pytest.mark.parametrize("valid", [True, False], ids=["valid key", "invalid key"])
def test_no_request_is_answered_with_what_the_document_does_not_say(platform: Platform, valid: bool) -> None:
    requests, failures = ask(platform, platform.admin_key if valid else INVALID_KEY, 8)
    assert failures == ""
    assert requests >= 400
