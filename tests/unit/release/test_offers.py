"""What new algorithms can ask for."""

from __future__ import annotations

import sys

import pytest

from slipway.errors import InputError
from slipway.release.interpreters import Interpreter
from slipway.release.offers import is_python, offers, python_for

OWN = f"{sys.version_info[0]}.{sys.version_info[1]}"


def _python(*version: int) -> Interpreter:
    return Interpreter(path="/x", version=(version[0], version[1], version[2]), build="b", platform="p")


FOUND = offers([_python(3, 9, 1), _python(3, 13, 2), _python(*sys.version_info[:3]), _python(3, 9, 7)])


def test_each_minor_version_is_offered_once_the_platforms_own_first() -> None:
    assert [offer.python for offer in FOUND] == list(dict.fromkeys([OWN, "3.13", "3.9"]))
    assert len({offer.id for offer in FOUND}) == len(FOUND)
    assert FOUND == offers([_python(3, 9, 2), _python(3, 13, 0), _python(*sys.version_info[:3])])


@pytest.mark.parametrize(
    ("settings", "python"),
    [
        ({}, ""),
        ({"language": "python", "environment": "cpu"}, ""),
        ({"language": "python3"}, ""),
        ({"algorithm_environment": FOUND[-1].id}, "3.9"),
        ({"algorithm_environment": "digest"}, "3.13"),
        ({"algorithm_environment": "fd980f4f-1f1c-4b2f-a128-d60b40c6567a"}, ""),  # one of another platform
        ({"package_set": "python39"}, "3.9"),
        ({"package_set": "tensorflow-gpu-2.3-python3.9"}, "3.9"),
        ({"package_set": "python37"}, ""),
    ],
)
def test_settings_name_a_python_in_each_way_that_clients_have(settings: dict[str, str], python: str) -> None:
    assert python_for(settings, FOUND, {"digest": "3.13.2"}) == python


@pytest.mark.parametrize("language", ["java", "python2", "pythonic", "R"])
def test_a_language_that_does_not_run_here_is_refused(language: str) -> None:
    assert not is_python(language)
    with pytest.raises(InputError, match="python does"):
        python_for({"language": language}, FOUND)
