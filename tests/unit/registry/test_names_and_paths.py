"""Names of accounts and algorithms, and data paths."""

from __future__ import annotations

import pytest

from slipway.errors import InputError
from slipway.registry.names import check_account_name, check_algorithm_name
from slipway.registry.paths import DataPath, parse_path


@pytest.mark.parametrize("name", ["a", "Z9", "movie_review-sentiment", "a" * 128])
def test_a_name_of_letters_digits_and_dashes_is_allowed(name: str) -> None:
    assert check_account_name(name) == name
    assert check_algorithm_name(name) == name


@pytest.mark.parametrize("name", ["", "1a", "-a", "_a", ".my", "a b", "a/b", "a.b", "ä", "a\n", "a\x00", "a" * 129])
def test_any_other_name_is_refused_with_the_rule(name: str) -> None:
    for check in (check_account_name, check_algorithm_name):
        with pytest.raises(InputError, match="use a letter, then up to 127"):
            check(name)


@pytest.mark.parametrize("name", ["versions", "Versions", "builds", "compile", "secrets"])
def test_an_algorithm_may_not_be_named_as_a_part_of_its_own_addresses(name: str) -> None:
    with pytest.raises(InputError, match="reserved"):
        check_algorithm_name(name)


def test_an_account_may_be_named_admin_but_not_as_a_part_of_the_api() -> None:
    check_account_name("admin")
    with pytest.raises(InputError, match="reserved"):
        check_account_name("organizations")


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("data://jpublic/models/a.pkl", DataPath("jpublic", ("models", "a.pkl"))),
        ("jpublic/models/", DataPath("jpublic", ("models",))),
        ("data://.my/models", DataPath("me", ("models",))),
        (".my", DataPath("me")),
        (".my/a b/ü.txt", DataPath("me", ("a b", "ü.txt"))),
        (".my/a/..b/.hidden", DataPath("me", ("a", "..b", ".hidden"))),
    ],
)
def test_a_data_path_names_an_owner_and_a_place(text: str, path: DataPath) -> None:
    assert parse_path(text, "me") == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "data://",
        "/etc/passwd",
        "data:///etc/passwd",
        "..",
        "../a",
        ".my/../b/c",
        ".my/a/..",
        ".my/./a",
        ".my//a",
        ".my/a\x00b",
        ".my/a\nb",
        ".my/" + "a" * 256,
        ".my/" + "a/" * 2000,
        ".uploads/a",
        ".session/a",
        ".my/\ud800",
    ],
)
def test_a_path_that_could_lead_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        parse_path(text, "me")


def test_a_path_is_written_as_users_write_it() -> None:
    path = parse_path(".my/models/a.pkl", "me")
    assert str(path) == "data://me/models/a.pkl"
    assert (path.name, path.parent, path.parent.child("b").name) == ("a.pkl", DataPath("me", ("models",)), "b")
    with pytest.raises(InputError):
        path.parent.child("..")
