"""The documents can fail: what they name exists, and what exists is named."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import typer

from scripts.cli_reference import TARGET, reference
from slipway import __version__
from slipway.cli.main import app
from slipway.settings import Settings
from tests.architecture.modules import ROOT

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
SETTINGS_PAGE = ROOT / "docs" / "reference" / "settings.md"
_ROW = re.compile(r"^\| `(\w+)` \| `([^`]+)` \|", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)(?:#[^)]*)?\)")
_PATH = re.compile(r"`((?:src|tests|docs|scripts|examples|requirements|benchmarks)/[\w./-]*)`")
_COMMAND = re.compile(r"(?:`|^|\$ )slipway ([a-z][a-z-]*(?: [a-z-]+)?)", re.MULTILINE)
_MAKE = re.compile(r"(?:`|^)make ([a-z]+)", re.MULTILINE)
_VARIABLE = re.compile(r"SLIPWAY_[A-Z_]+[A-Z]")
_CLIENT_VARIABLES = {"SLIPWAY_API", "SLIPWAY_API_KEY"}


def commands() -> dict[str, Any]:
    """Every command by its words, groups included."""
    found: dict[str, Any] = {}

    def collect(words: str, command: Any) -> None:
        for name, below in getattr(command, "commands", {}).items():
            found[f"{words} {name}".strip()] = below
            collect(f"{words} {name}".strip(), below)

    collect("", typer.main.get_command(app))
    return found


def mentions(page: Path, pattern: re.Pattern[str]) -> Iterator[str]:
    """What a page mentions."""
    return (str(found) for found in pattern.findall(page.read_text(encoding="utf-8")))


def test_every_setting_is_documented_with_its_default_and_no_other() -> None:
    documented = dict(_ROW.findall(SETTINGS_PAGE.read_text()))
    actual = {field.name: msgspec.json.encode(field.default).decode() for field in msgspec.structs.fields(Settings)}
    assert documented == actual


def test_the_command_line_reference_is_as_the_commands_are() -> None:
    assert TARGET.read_text(encoding="utf-8") == reference(), "run scripts/cli_reference.py"


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_and_option_has_a_help_text(name: str) -> None:
    command = commands()[name]
    assert command.help
    for parameter in command.params:
        if parameter.param_type_name == "option":
            assert parameter.help, parameter.name


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_commands_that_a_page_names_exist(page: Path) -> None:
    known = commands()
    for words in mentions(page, _COMMAND):
        first = words.split()[0]
        assert first in known, f"slipway {words}"
        if hasattr(known[first], "commands") and " " in words:
            assert words in known or not words.split()[1].isalpha(), f"slipway {words}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_files_that_a_page_names_exist(page: Path) -> None:
    for link in mentions(page, _LINK):
        if "://" not in link:
            assert (page.parent / link).exists(), link
    for path in mentions(page, _PATH):
        if "NAME" in path:
            continue  # of an algorithm's repository
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_make_targets_and_variables_that_a_page_names_exist(page: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in mentions(page, _MAKE):
        assert f"\n{target}:" in makefile, f"make {target}"
    known = {f"SLIPWAY_{field.name.upper()}" for field in msgspec.structs.fields(Settings)} | _CLIENT_VARIABLES
    source = "".join(file.read_text() for file in (ROOT / "src").rglob("*.py"))
    for variable in mentions(page, _VARIABLE):
        assert variable in known or variable in source, variable


def test_the_version_is_the_packages_own() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == __version__


def test_the_model_is_served_with_the_packages_it_is_trained_with() -> None:
    pinned = set((ROOT / "requirements" / "development.txt").read_text().split("\n"))
    wanted = (ROOT / "examples" / "movie_review_sentiment" / "model_requirements.txt").read_text().split()
    assert set(wanted) <= pinned


def test_requirements_name_no_index() -> None:
    for file in (ROOT / "requirements").glob("*.txt"):
        assert "://" not in file.read_text()
        assert not re.search(r"^-", file.read_text(), re.MULTILINE)


def test_the_client_needs_its_own_dependencies_only() -> None:
    """Without the server's, the client, the command line and deployments still load."""
    blocked = "fastapi uvicorn uvloop httptools sqlalchemy alembic aiosqlite fsspec cryptography uv websockets pydantic"
    program = f"""
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked.split()!r}:
            raise ImportError(f"{{name}} is blocked", name=name)
sys.meta_path.insert(0, Blocker())
import slipway.client, slipway.deploy, slipway.errors, slipway.types, slipway.cli.main
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
