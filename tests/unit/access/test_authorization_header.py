"""Every form in which clients send a key."""

from __future__ import annotations

import base64

import pytest

from slipway.access.authorization_header import basic_login, key_from_header

KEY = "sim" + "A1" * 12 + "b"


def _basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "header",
    [KEY, f" {KEY} ", f"Simple {KEY}", f"simple  {KEY}", f"Bearer {KEY}", f"bearer {KEY}", _basic(f"jpublic:{KEY}")],
)
def test_the_key_is_found_in_every_form(header: str) -> None:
    assert key_from_header(header) == KEY


@pytest.mark.parametrize(
    "header",
    [None, "", "   ", "Digest abc", "Basic !!!", "Basic é", _basic("no colon"), _basic("jpublic:"), "Basic /w=="],
)
def test_there_is_no_key_in_anything_else(header: str | None) -> None:
    assert key_from_header(header) is None


def test_basic_authentication_tells_the_user_too() -> None:
    assert basic_login(_basic(f"jpublic:{KEY}")) == ("jpublic", KEY)
    assert basic_login(_basic(f":{KEY}")) == ("", KEY)
    assert basic_login(f"Simple {KEY}") is None
    assert basic_login(None) is None
