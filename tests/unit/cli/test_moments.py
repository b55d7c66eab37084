"""Times as people write them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
import typer

from slipway.cli.moments import parse_since

SPANS = [("90s", 90), ("10m", 600), ("2h", 7200), ("1.5d", 129600), ("1w", 604800)]


@pytest.mark.parametrize(("text", "seconds"), SPANS)
def test_a_span_counts_back_from_now(text: str, seconds: float) -> None:
    assert parse_since(text) == pytest.approx(time.time() - seconds, abs=5)


def test_nothing_means_from_the_beginning() -> None:
    assert parse_since("") == 0.0


def test_a_moment_without_a_zone_is_utc() -> None:
    expected = datetime(2026, 1, 31, 14, 30, tzinfo=UTC).timestamp()
    for text in ("2026-01-31T14:30", "2026-01-31 14:30:00", "2026-01-31T14:30Z", "2026-01-31T15:30+01:00"):
        assert parse_since(text) == expected


def test_a_time_of_day_is_todays_in_utc() -> None:
    assert datetime.fromtimestamp(parse_since("9:05"), UTC).strftime("%H:%M") == "09:05"


@pytest.mark.parametrize("text", ["yesterday", "25:00", "10", "10y", "2026-13-01"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        parse_since(text)
