"""Deployments: of files, directories and objects; and how they fail."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import slipway.deploy
from slipway.client import Client
from slipway.deploy import DeploymentFailed
from tests.contract.cli.conftest import Commands

MODEL = """
import json
import slipway

SAMPLE_INPUT = 2


def load():
    global factor
    with open(slipway.model("factor.json")) as file:
        factor = json.load(file)


def apply(input):
    return factor * input
"""
TRANSCRIPT = """\
Algorithm namespace: ann/{name}
Algorithm URL: {api}/v1/algorithms/ann/{name}
Pushing source code upstream, uploading model file & compiling algorithm...
Algorithm Source Code is available at: {api}/v1/algorithms/ann/{name}/source
Testing new compiled algorithm via API endpoint...
Test complete!
Publishing and deploying algorithm...
Algorithm has been deployed!
"""


def module(ann: Commands, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run `python -m slipway.deploy`."""
    command = [sys.executable, "-m", "slipway.deploy", *words]
    done = subprocess.run(
        command, capture_output=True, text=True, env=ann.environment(), cwd=ann.home, timeout=120, check=False
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done


def test_the_module_prints_the_eight_lines_and_the_model_is_live(ann: Commands) -> None:
    (ann.home / "model.py").write_text(MODEL)
    (ann.home / "factor.json").write_text("21")
    done = module(ann, "-k", ann.key, "-u", "ann", "-a", "factor", "-m", "model.py")
    assert done.stdout == TRANSCRIPT.format(api=ann.platform.url, name="factor")
    assert done.stderr == ""
    assert ann.run("call", "ann/factor", "3").stdout == "63\n"


def test_a_second_deployment_makes_the_next_version_with_its_own_model(ann: Commands) -> None:
    (ann.home / "model.py").write_text(MODEL)
    versions = []
    for factor in ("2", "3"):
        (ann.home / "factor.json").write_text(factor)
        module(ann, "-a", "twice", "-m", "model.py")
        versions.append(json.loads(ann.run("versions", "twice", "--json").stdout)[0]["version_info"])
    assert [version["semantic_version"] for version in versions] == ["0.1.0", "0.2.0"]
    assert ann.run("call", "ann/twice/0.1.0", "1").stdout == "2\n"
    assert ann.run("call", "ann/twice", "1").stdout == "3\n"


def test_a_wrong_key_is_one_line_without_a_traceback(ann: Commands) -> None:
    (ann.home / "model.py").write_text(MODEL)
    (ann.home / "factor.json").write_text("1")
    errors = module(ann, "-k", "simWRONG", "-u", "ann", "-a", "nope", "-m", "model.py", status=1).stderr
    assert "slipway login" in errors
    assert "Traceback" not in errors


def test_a_missing_model_file_is_named(ann: Commands, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODEL)
    errors = module(ann, "-a", "nope", "-m", str(tmp_path / "model.py"), status=1).stderr
    assert "factor.json is missing" in errors


def test_a_failed_build_says_why_and_leaves_what_is_live(ann: Commands) -> None:
    (ann.home / "bad.py").write_text("import msgspec\n\ndef apply(input):\n    return 1\n")
    (ann.home / "none.txt").write_text("")
    errors = module(ann, "-a", "echo", "-m", "bad.py", "-d", "none.txt", status=1).stderr
    assert "msgspec" in errors
    assert ann.run("call", "ann/echo", "5").stdout == "5\n"


def test_a_wrong_answer_to_the_sample_ends_the_deployment_before_publication(ann: Commands) -> None:
    (ann.home / "picky.py").write_text("SAMPLE_INPUT = 'x'\n\ndef apply(input):\n    raise ValueError('not this')\n")
    errors = module(ann, "-a", "picky", "-m", "picky.py", status=1).stderr
    assert "not this" in errors
    assert json.loads(ann.run("versions", "picky", "--published", "--json").stdout) == []


def test_a_directory_replaces_the_repository(ann: Commands, tmp_path: Path) -> None:
    project = tmp_path / "project with spaces"
    (project / "src").mkdir(parents=True)
    (project / "__pycache__").mkdir()
    (project / "__pycache__" / "junk.pyc").write_bytes(b"junk")
    (project / "src" / "dirty.py").write_text("def apply(input):\n    return 'from a directory'\n")
    (project / "slipway.toml").write_text('[algorithm]\nname = "dirty"\n')
    ann.run("deploy", str(project), "dirty", "--public")
    assert ann.run("call", "ann/dirty", "1").stdout == "from a directory\n"
    source = ann.platform.request("GET", "/v1/algorithms/ann/dirty/source").json()
    assert sorted(source["files"]) == ["slipway.toml", "src/dirty.py"]


def test_the_key_is_in_no_file_of_the_clone_and_in_no_command_line(ann: Commands, tmp_path: Path) -> None:
    spy = tmp_path / "bin" / "git"
    spy.parent.mkdir()
    record = tmp_path / "record"
    real = subprocess.run(["which", "git"], capture_output=True, text=True, check=True).stdout.strip()
    spy.write_text(
        f'#!/bin/sh\necho "$@" >> "{record}"\n"{real}" "$@"\nstatus=$?\n'
        f'cat .git/config "$2/.git/config" >> "{record}" 2>/dev/null\nexit $status\n'
    )
    spy.chmod(0o755)
    (ann.home / "secret.py").write_text("def apply(input):\n    return 1\n")
    path = f"{spy.parent}:{ann.environment()['PATH']}"
    ann.run("deploy", "secret.py", "secret", environment={"PATH": path})
    seen = record.read_text()
    assert "push" in seen
    assert "[remote" in seen
    assert ann.key not in seen
    assert "Authorization" not in seen


def test_an_object_is_deployed_from_a_cell(ann: Commands, capsys: pytest.CaptureFixture[str]) -> None:
    deployed = slipway.deploy.model(
        str.upper, "shout", sample="hey", key=ann.key, api=ann.platform.url, requirements=()
    )
    assert capsys.readouterr().out == TRANSCRIPT.format(api=ann.platform.url, name="shout")
    with Client(ann.platform.url, ann.key) as client:
        assert client.call(deployed.algorithm, "quiet").result == "QUIET"


def test_an_object_of_this_notebook_is_refused_with_advice(ann: Commands) -> None:
    with pytest.raises(DeploymentFailed, match="cannot be pickled"):
        slipway.deploy.model(lambda input: input, "lambda", key=ann.key, api=ann.platform.url)
