"""The clients that Algorithmia published, unmodified, against a platform: only address and key are other ones."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from slipway.testing import Platform
from tests.architecture.modules import ROOT
from tests.scenarios.test_repositories import WHEELS, published_client

HERE = Path(__file__).parent / "official"
STEPS = HERE / "python_steps.py"
NODE_CLIENT = ROOT / ".cache" / "npm" / "algorithmia-0.3.10.tgz"
TABLE = ROOT / "docs" / "reference" / "common-api.md"
ECHO = """
def apply(input):
    if isinstance(input, dict) and "raise" in input:
        raise ValueError(input["raise"])
    if isinstance(input, dict) and "print" in input:
        print(input["print"])
    return input
"""

pytestmark = pytest.mark.skipif(
    not any(WHEELS.glob("algorithmia-2*")), reason="no wheels of the client: run scripts/prepare-tests"
)


class Station(NamedTuple):
    """A platform with the user `jane` and her algorithm `echo`, and a Python that has the client."""

    platform: Platform
    key: str
    python: Path

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """A program of the client's environment."""
        own = {"ALGORITHMIA_API": self.platform.url, "ALGORITHMIA_API_KEY": self.key}
        environment = {**os.environ, **own, "ADMIN_KEY": self.platform.admin_key}
        return subprocess.run(
            [str(self.python), *arguments], env=environment, capture_output=True, text=True, timeout=300, check=False
        )


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Station]:
    root = tmp_path_factory.mktemp("official")
    python = published_client(root / "client")
    with Platform(root / "data") as platform:
        key = platform.account("jane")
        platform.deploy("jane", "echo", key, ECHO)
        platform.publish("jane", "echo", key)
        yield Station(platform, key, python)


def steps() -> list[str]:
    """The functions of the steps that are tests."""
    functions = [node for node in ast.parse(STEPS.read_text()).body if isinstance(node, ast.FunctionDef)]
    return [node.name for node in functions if node.name not in ("raises", "algo", "offered")]


@pytest.mark.parametrize("step", steps())
def test_the_python_client(station: Station, step: str) -> None:
    done = station.run(str(STEPS), step)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(not NODE_CLIENT.exists(), reason="npm's client is not there: run scripts/prepare-tests with npm")
def test_the_node_client(station: Station, tmp_path: Path) -> None:
    with tarfile.open(NODE_CLIENT) as archive:
        archive.extractall(tmp_path)
    own = {"ALGORITHMIA_API": station.platform.url, "ALGORITHMIA_API_KEY": station.key}
    done = subprocess.run(
        ["node", "--no-deprecation", str(HERE / "node_steps.js"), str(tmp_path / "package" / "lib" / "algorithmia.js")],
        env={**os.environ, **own},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout == "all of it\n", done.stdout + done.stderr


def test_the_table_names_every_method_and_the_step_that_uses_it(station: Station) -> None:
    rows = [line.split("|")[1:4] for line in TABLE.read_text().splitlines() if line.startswith("| `")]
    named = {cells[0].strip().strip("`"): cells[1].strip().strip("`") for cells in rows}
    offered = json.loads(station.run(str(STEPS)).stdout)
    assert sorted(set(offered) - named.keys()) == []
    source = {node.name: ast.unparse(node) for node in ast.parse(STEPS.read_text()).body if hasattr(node, "name")}
    unused = [name for name in offered if re.split(r"[. ]", name)[1] not in source.get(named[name], "")]
    assert unused == []
