"""Imports go one way: a part may be replaced by who reads this table and nothing else."""

from __future__ import annotations

import sys

import pytest

from tests.architecture.modules import FILES, imports, own_imports

# Lowest first. A room may import from the tiers below its own, and what SIDEWAYS says.
TIERS: tuple[frozenset[str], ...] = (
    frozenset({"types", "errors", "settings", "live", "ids", "sdk"}),
    frozenset({"wire", "journal", "registry", "routing", "evaluation"}),
    frozenset({"access", "workers", "placement", "release", "training", "observe"}),
    frozenset({"gateway", "control", "console", "operations"}),
    frozenset({"app"}),
    frozenset({"supervisor", "reloading", "premises", "processes"}),
)
SIDEWAYS = {
    ("sdk", "types"),
    ("settings", "errors"),
    ("live", "settings"),
    ("supervisor", "reloading"),
    ("placement", "workers"),
    ("release", "workers"),
    ("training", "release"),
    ("workers", "access"),
    ("placement", "access"),
    ("release", "access"),
    ("training", "access"),
    ("observe", "access"),
    ("premises", "processes"),
    ("supervisor", "premises"),
    ("supervisor", "processes"),
}
# What a machine without the server's dependencies runs. It sees the platform through its HTTP API only.
CLIENT_SIDE = frozenset(
    {
        "client",
        "connection",
        "credentials",
        "event_stream",
        "hosted_data",
        "resources",
        "deploy",
        "deployment",
        "cli",
        "testing",
    }
)
BELOW_THE_CLIENT = frozenset({"types", "errors", "ids", "sdk", ""})
# Only these load what costs memory or time; each is one process's own.
HEAVY = {
    "fastapi": {"control"},
    "uvicorn": {"control", "gateway"},
    "sqlalchemy": {"registry", "control", "release"},
    "alembic": {"registry"},
    "cedarpy": {"access"},
    "cryptography": {"journal", "access"},
    "uv": {"release"},
    "fsspec": {"registry"},
}


def room(name: str) -> str:
    """`gateway` of `slipway.gateway.server`; empty for the package itself."""
    return [*name.split("."), ""][1]


def tier(name: str) -> int:
    """Where a room stands; raises LookupError for one that no tier has."""
    return next(number for number, rooms in enumerate(TIERS) if room(name) in rooms)


def is_local(name: str) -> bool:
    """Whether it is of the part of the command line that may open the platform's files."""
    return name.startswith("slipway.cli.local")


SERVER_SIDE = [name for name in FILES if room(name) not in CLIENT_SIDE | {""}]


@pytest.mark.parametrize("name", SERVER_SIDE)
def test_imports_go_down_the_tiers_only(name: str) -> None:
    for target in own_imports(name):
        if room(target) == room(name) or room(target) == "":
            continue
        below = tier(target) < tier(name)
        assert below or (room(name), room(target)) in SIDEWAYS, f"{name} imports {target}"


@pytest.mark.parametrize("name", [name for name in FILES if room(name) in CLIENT_SIDE and not is_local(name)])
def test_the_client_side_sees_the_platform_through_its_api_only(name: str) -> None:
    allowed = CLIENT_SIDE | BELOW_THE_CLIENT
    strangers = {target for target in own_imports(name) if room(target) not in allowed}
    assert not strangers or name == "slipway.testing", f"{name} imports {strangers}"


def test_only_the_command_lines_own_modules_import_its_local_part() -> None:
    for name in FILES:
        if any(is_local(target) for target in own_imports(name)):
            assert room(name) == "cli", name


def test_there_is_no_cycle_not_even_inside_functions() -> None:
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join((*path[path.index(name) :], name))
        if name in done:
            return
        for target in sorted(own_imports(name)):
            visit(target, (*path, name))
        done.add(name)

    for name in FILES:
        visit(name, ())


@pytest.mark.parametrize("name", [n for n in FILES if n.startswith(("slipway.sdk", "slipway.workers.runtimes.python"))])
def test_what_runs_inside_environments_needs_the_standard_library_only(name: str) -> None:
    for target in imports(name):
        top = target.partition(".")[0]
        assert top == "slipway" or top in sys.stdlib_module_names, f"{name} imports {target}"


@pytest.mark.parametrize("library", HEAVY)
def test_heavy_libraries_stay_in_the_rooms_that_need_them(library: str) -> None:
    users = {room(name) for name in FILES if any(target.partition(".")[0] == library for target in imports(name))}
    assert users - {"cli"} <= HEAVY[library]


def test_functions_import_nothing_but_in_the_composition_root_and_the_machines_checks() -> None:
    late = {name for name in FILES if imports(name) - imports(name, everywhere=False)}
    assert late <= {name for name in late if room(name) in ("app", "sdk", "workers") or is_local(name)}
