"""A new user begins from the template, and deploys a directory, a file and a notebook; and what goes wrong."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from slipway.testing import Platform
from tests.contract.cli.conftest import Commands


@pytest.fixture(scope="module")
def eva(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Commands:
    return Commands(platform, "eva", tmp_path_factory.mktemp("eva s home"))


def test_a_repository_from_the_template_is_deployed_and_says_hello(eva: Commands) -> None:
    nobody = {"SLIPWAY_API": "http://127.0.0.1:9", "SLIPWAY_API_KEY": ""}
    eva.run("init", "hello there", environment=nobody)
    project = eva.home / "hello there"
    log = subprocess.run(["git", "log", "--oneline"], cwd=project, capture_output=True, text=True, check=True).stdout
    assert "template" in log
    assert "already" in eva.run("init", "hello there", status=1, environment=nobody).stderr
    assert "Live" in eva.run("deploy", "hello there").stdout
    assert eva.run("call", "eva/hello_there", "Ada").stdout == "hello Ada\n"


def test_a_template_inside_a_repository_does_not_make_another(eva: Commands) -> None:
    eva.run("init", "outer")
    eva.run("init", "outer/inner", "--name", "inner_one")
    assert not (eva.home / "outer" / "inner" / ".git").exists()
    assert (eva.home / "outer" / "inner" / "src" / "inner_one.py").is_file()
    assert "cannot name an algorithm" in eva.run("init", "x", "--name", "9", status=1).stderr


def test_a_classic_directory_is_deployed_as_it_is_and_again(eva: Commands) -> None:
    project = eva.home / "classic one"
    (project / "src").mkdir(parents=True)
    (project / "algorithmia.conf").write_text('{"username": "bob", "algoname": "Greet", "language": "python3"}')
    (project / "src" / "Greet.py").write_text("def apply(input):\n    return 'hi ' + input\n")
    for version in ("0.1.0", "0.2.0"):
        done = json.loads(eva.run("deploy", "classic one", "--input", "you", "--json").stdout)
        assert (done["algorithm"], done["version"]) == ("eva/Greet", version)
    files = eva.platform.request("GET", "/v1/algorithms/eva/Greet/source").json()["files"]
    assert sorted(files) == ["algorithmia.conf", "src/Greet.py"]
    assert eva.run("call", "eva/Greet", "all").stdout == "hi all\n"


def test_a_directory_with_an_entry_of_another_name_is_deployed(eva: Commands) -> None:
    project = eva.home / "plain"
    project.mkdir()
    (project / "main.py").write_text("from helper import double\n\ndef apply(input):\n    return double(input)\n")
    (project / "helper.py").write_text("def double(x):\n    return 2 * x\n")
    eva.run("deploy", "plain", "-a", "eva/doubler", "-i", "4")
    assert eva.run("call", "eva/doubler", "21").stdout == "42\n"


def test_a_file_is_deployed_under_its_own_name(eva: Commands) -> None:
    (eva.home / "word count.py").write_text("def apply(input):\n    return len(input.split())\n")
    eva.run("deploy", "word count.py")
    assert eva.run("call", "eva/word_count", "one two three").stdout == "3\n"


def test_a_notebook_is_deployed_without_its_training(eva: Commands) -> None:
    (eva.home / "weights.json").write_text("[2, 3]")
    cells = [
        "import json\nimport slipway\nimport sklearn_that_only_the_author_has",
        "weights = sklearn_that_only_the_author_has.fit()",
        "def load():\n    global weights\n    with open(slipway.model('weights.json')) as file:\n"
        "        weights = json.load(file)",
        "SAMPLE_INPUT = [1, 1]\n\ndef apply(input):\n    return sum(a * b for a, b in zip(weights, input))",
        "apply([1, 2])",
    ]
    document = {
        "nbformat": 4,
        "nbformat_minor": 5,
        "metadata": {},
        "cells": [{"cell_type": "code", "metadata": {}, "outputs": [], "source": text} for text in cells],
    }
    (eva.home / "score.ipynb").write_text(json.dumps(document))
    done = json.loads(eva.run("deploy", "score.ipynb", "--json").stdout)
    assert done["test"]["result"] == 5
    assert eva.run("call", "eva/score", "[10, 20]").stdout == "80\n"


def test_what_cannot_be_deployed_is_one_line_before_anything_is_made(eva: Commands, tmp_path: Path) -> None:
    (tmp_path / "no.py").write_text("x = 1\n")
    (tmp_path / "needs.py").write_text("import msgspec\ndef apply(input):\n    return input\n")
    assert "has no `def apply" in eva.run("deploy", str(tmp_path / "no.py"), status=1).stderr
    assert "msgspec==" in eva.run("deploy", str(tmp_path / "needs.py"), status=1).stderr
    assert "does not exist" in eva.run("deploy", "typpo.py", status=2).stderr
    good = str(eva.home / "good.py")
    Path(good).write_text("def apply(input):\n    return input\n")
    assert "no API key" in eva.run("deploy", good, status=1, environment={"SLIPWAY_API_KEY": ""}).stderr
    away = {"SLIPWAY_API": "http://127.0.0.1:9"}
    errors = eva.run("deploy", good, status=1, environment=away).stderr
    assert "cannot be reached" in errors
    assert errors.count("\n") == 1
    assert "once" in eva.run("deploy", good, "one", "-a", "two", status=2).stderr
    names = {one["name"] for one in json.loads(eva.run("algorithms", "list", "eva", "--json").stdout)}
    assert not names & {"no", "needs", "good", "one", "two"}
