"""What a PUT of an algorithm may look like."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from slipway.control.algorithms import parse_change
from slipway.errors import InputError, ParsingError

FORM = "application/x-www-form-urlencoded"


def test_json_names_what_changes() -> None:
    change = parse_change(b'{"details": {"label": "L"}, "settings": {"license": "mit"}}', "application/json")
    assert change.details.model_dump(exclude_none=True) == {"label": "L"}
    assert change.settings == {"license": "mit"}


def test_nothing_changes_nothing() -> None:
    assert parse_change(b"", "").details.label is None


def test_the_form_that_client_2_0_5_makes_of_dictionaries_is_accepted_and_holds_no_values() -> None:
    # requests sends a dictionary's keys and drops its values.
    change = parse_change(b"details=label&details=summary&settings=license", FORM)
    assert change.details.model_dump(exclude_none=True) == {}
    assert change.settings == {}


def test_a_form_whose_parts_are_json_is_taken_at_its_word() -> None:
    body = urlencode({"details": json.dumps({"label": "it's"})}).encode()
    assert parse_change(body, f"{FORM}; charset=utf-8").details.label == "it's"


@pytest.mark.parametrize(
    ("body", "words"),
    [(b'{"details": {"label": 7}}', "details.label"), (b"[]", "body"), (b'{"settings": 1}', "settings")],
)
def test_what_does_not_fit_is_named(body: bytes, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_change(body, "application/json")


def test_broken_json_is_a_parsing_error() -> None:
    with pytest.raises(ParsingError):
        parse_change(b"{", "application/json")
