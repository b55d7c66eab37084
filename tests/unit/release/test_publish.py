"""Which number comes next."""

from __future__ import annotations

import pytest

from slipway.errors import InputError
from slipway.release.publish import next_version


@pytest.mark.parametrize(
    ("taken", "kind", "expected"),
    [
        ([], "minor", "0.1.0"),
        ([], "major", "1.0.0"),
        ([], "patch", "0.0.1"),
        (["0.1.0"], "minor", "0.2.0"),
        (["0.9.0", "0.10.0", "0.2.3"], "minor", "0.11.0"),
        (["1.2.3"], "major", "2.0.0"),
        (["1.2.3"], "revision", "1.2.4"),
        (["1.2.3"], "patch", "1.2.4"),
    ],
)
def test_the_next_number_follows_the_highest(taken: list[str], kind: str, expected: str) -> None:
    assert next_version(taken, kind) == expected


def test_an_unknown_type_is_refused() -> None:
    with pytest.raises(InputError, match="one of major, minor, revision, patch"):
        next_version([], "huge")
