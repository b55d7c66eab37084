"""Repositories as users wrote them for Algorithmia, pushed unchanged, with what they need from wheels and hosted data.

`tests/scenarios/repositories` holds them: three classic ones and three with an ADK.
"""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from slipway.testing import Platform
from tests.architecture.modules import ROOT

HERE = Path(__file__).parent / "repositories"
WHEELS = ROOT / ".cache" / "wheels"
OWNER = "jane"
RATES = {"EUR": 0.5, "GBP": 0.25}
TRAINING = """
import pickle, sys
from ngrams import NgramModel
texts = {"en": "where is the nearest train station please", "de": "wo ist bitte der naechste bahnhof hier"}
sys.stdout.buffer.write(pickle.dumps(NgramModel(texts)))
"""
STORY = "The cat sat. The cat is on the mat with a cat. A dog barked!"

pytestmark = pytest.mark.skipif(
    not any(WHEELS.glob("algorithmia-2*")), reason="no wheels of the client: run scripts/prepare-tests"
)


class Home:
    """A platform with one user, who has been on another one before."""

    def __init__(self, platform: Platform, program: Path) -> None:
        self.platform, self.program = platform, program
        self.key = platform.account(OWNER)
        self.commits: dict[str, str] = {}

    def put(self, path: str, content: bytes) -> None:
        """Upload a file of hosted data; its directory is made if need be."""
        directory, _, name = path.rpartition("/")
        there = [folder["name"] for folder in self.get(f"/v1/data/{OWNER}").get("folders", [])]
        if directory not in there:
            self.platform.request("POST", f"/v1/data/{OWNER}", self.key, json={"name": directory})
        self.platform.request("PUT", f"/v1/data/{OWNER}/{directory}/{name}", self.key, content=content)

    def get(self, path: str) -> dict[str, Any]:
        """What the API answers."""
        reply: dict[str, Any] = self.platform.request("GET", path, self.key).json()
        return reply

    def push(self, name: str, **others: str) -> str:
        """Make the algorithm, push the repository and `others` (files by path); its build log, the build succeeded."""
        if name not in self.commits:
            self.platform.algorithm(OWNER, name, self.key)
        own = {str(file.relative_to(HERE / name)): file for file in (HERE / name).rglob("*") if file.is_file()}
        files = {path: file.read_text() for path, file in own.items() if "__pycache__" not in path}
        self.commits[name], output = self.platform.push(OWNER, name, self.key, {**files, **others})
        builds = self.get(f"/v1/algorithms/{OWNER}/{name}/builds")["results"]
        build = next(build for build in builds if build["commit_sha"] == self.commits[name])
        log = str(self.get(f"/v1/algorithms/{OWNER}/{name}/builds/{build['build_id']}/logs")["logs"])
        if build["status"] != "succeeded":
            raise RuntimeError(log + output)
        return log

    def publish(self, name: str) -> None:
        """Publish it for its owner."""
        self.platform.publish(OWNER, name, self.key)

    def call(self, name: str, value: object) -> dict[str, Any]:
        """The whole reply to a call of the newest commit; bytes are sent as such, text as text."""
        kind = "application/json"
        if isinstance(value, (bytes, str)):
            kind = "text/plain" if isinstance(value, str) else "application/octet-stream"
        content = value if isinstance(value, (bytes, str)) else json.dumps(value)
        path = f"/v1/algo/{OWNER}/{name}/{self.commits[name]}?stdout=true&timeout=60"
        headers = {"Content-Type": kind}
        reply: dict[str, Any] = self.platform.request("POST", path, self.key, content=content, headers=headers).json()
        return reply

    def result(self, name: str, value: object) -> Any:
        """The result of a call."""
        reply = self.call(name, value)
        assert "result" in reply, reply
        return reply["result"]

    def error(self, name: str, value: object) -> dict[str, Any]:
        """The error of a call."""
        error: dict[str, Any] = self.call(name, value)["error"]
        return error

    def freeze(self, directory: Path) -> str:
        """What the published command line's `algo freeze` makes of the manifest in that directory."""
        own = {"ALGORITHMIA_API": self.platform.url, "ALGORITHMIA_API_KEY": self.key, "HOME": str(directory)}
        environment = {**os.environ, **own}
        command = [str(self.program), "-m", "Algorithmia", "freeze"]
        subprocess.run(command, cwd=directory, env=environment, check=True, capture_output=True, timeout=120)
        return (directory / "model_manifest.json.freeze").read_text()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The platform has no index: requirements come from the wheels alone."""
    root = tmp_path_factory.mktemp("repositories")
    with pytest.MonkeyPatch.context() as patch:
        # What uv's own cache knows of an index is not there either.
        patch.setenv("UV_CACHE_DIR", str(root / "cache"))
        program = published_client(root / "client")
        with Platform(root / "data", find_links=WHEELS, offline=True) as platform:
            yield Home(platform, program)


def published_client(directory: Path) -> Path:
    """The Python of an environment with the client as it was published."""
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", str(directory)], check=True)
    python = directory / "bin" / "python"
    install = [*uv, "pip", "install", "-q", "--python", str(python), "--no-index", "--find-links", str(WHEELS)]
    subprocess.run([*install, "algorithmia==2.0.5"], check=True)
    return python


# --- classic --------------------------------------------------------------------------------------------------------


def test_text_with_siblings_requirements_and_a_client_that_nobody_asked_for(home: Home) -> None:
    log = home.push("Summarizer")
    assert "algorithmia>=2.0.5,<3 is added" in log
    reply = home.call("Summarizer", STORY)
    assert reply["result"] == "The cat is on the mat with a cat."
    assert reply["metadata"]["content_type"] == "text"
    assert reply["metadata"]["stdout"] == "scored 3 sentences\n"
    shortened = home.result("Summarizer", {"text": STORY, "sentences": 2})
    assert shortened == {"summary": ["The cat sat.", "The cat is on the mat with a cat."], "sentences": 3}


def test_errors_are_those_that_the_authors_raised(home: Home) -> None:
    home.push("Summarizer")
    error = home.error("Summarizer", [1])
    assert (error["error_type"], error["message"]) == ("AlgorithmError", "Invalid input type, expected a string")
    assert "src/Summarizer.py" in error["stacktrace"]
    assert "slipway" not in error["stacktrace"]
    assert home.error("Summarizer", {})["error_type"] == "InputError"


def test_bytes_in_and_a_bytearray_out(home: Home) -> None:
    home.push("InvertImage")
    image = b"P5\n2 1\n255\n\x00\x0f"
    reply = home.call("InvertImage", image)
    assert reply["metadata"]["content_type"] == "binary"
    assert base64.b64decode(reply["result"]) == b"P5\n2 1\n255\n\xff\xf0"
    assert home.error("InvertImage", "text")["message"] == "expected the bytes of an image, got str"


def test_a_client_that_needs_neither_key_nor_address(home: Home) -> None:
    home.push("Summarizer")
    home.publish("Summarizer")
    home.put("rates/rates.json", json.dumps(RATES).encode())
    home.put("rates/notes.txt", "as of today, in €".encode())
    home.push("CurrencyConverter")
    first = home.result("CurrencyConverter", {"amount": 10, "to": "EUR"})
    assert first["missing"].startswith("unable to get file jane/rates/missing.json - ")
    del first["missing"]
    assert first == {
        "amount": 5.0,
        "replaced": False,
        "archived": '{"amount": 5.0}',
        "notes": "as of today, in €",
        "path": True,
        "files": ["EUR.json"],
    }
    assert home.get(f"/v1/data/{OWNER}/conversions/EUR.json") == {"amount": 5.0}
    again = home.result("CurrencyConverter", {"amount": 20, "to": "EUR", "describe": STORY, "fail": True})
    assert (again["replaced"], again["archived"]) == (True, '{"amount": 10.0}')
    assert (again["summary"], again["content_type"]) == ("The cat is on the mat with a cat.", "text")
    assert "Please provide the" in again["error"]
    error = home.error("CurrencyConverter", {"amount": 1, "to": "XYZ"})
    assert (error["error_type"], error["message"]) == ("InputError", "'no rate for XYZ'")


def test_on_behalf_of_another_account_the_client_reads_the_owners_data_and_writes_the_callers(home: Home) -> None:
    home.put("rates/rates.json", json.dumps(RATES).encode())
    home.put("rates/notes.txt", b"of today")
    home.push("CurrencyConverter", **{"README.md": "published"})
    home.platform.publish(OWNER, "CurrencyConverter", home.key, "public")
    bob = home.platform.account("bob")
    value = {"amount": 8, "to": "GBP"}
    reply = home.platform.request("POST", f"/v1/algo/{OWNER}/CurrencyConverter", bob, json=value).json()
    assert (reply["result"]["amount"], reply["result"]["notes"]) == (2.0, "of today")
    assert home.platform.request("GET", "/v1/data/.my/conversions/GBP.json", bob).json() == {"amount": 2.0}
    assert home.platform.request("GET", "/v1/data/bob/conversions/GBP.json", bob).json() == {"amount": 2.0}


# --- ADK ------------------------------------------------------------------------------------------------------------


def test_an_adk_that_prints_and_raises(home: Home) -> None:
    home.push("Thermometer")
    reply = home.call("Thermometer", "20")
    assert (reply["result"], reply["metadata"]["content_type"]) == ("it is 68.0 °F", "text")
    assert reply["metadata"]["stdout"] == "converting 20.0\n"
    assert home.result("Thermometer", [0, 100]) == [32.0, 212.0]
    error = home.error("Thermometer", {"not": "known"})
    assert (error["error_type"], error["message"]) == ("AlgorithmError", "'unsupported input'")
    error = home.error("Thermometer", [-300])
    assert (error["error_type"], error["message"]) == ("InputError", "colder than nothing: -300")
    assert error["stacktrace"].count("File ") == 3


def put_iris(home: Home, limit: int = 100) -> None:
    """Train and upload."""
    iris = load_iris()
    content = io.BytesIO()
    joblib.dump(LogisticRegression(max_iter=limit * 10).fit(iris.data, iris.target), content)
    home.put("models/iris.joblib", content.getvalue())
    home.put("models/labels.json", json.dumps(list(iris.target_names)).encode())


def test_a_pickled_model_that_load_fetches_with_the_client(home: Home) -> None:
    model = subprocess.run(
        [sys.executable, "-c", TRAINING], cwd=HERE / "LanguageGuesser" / "src", capture_output=True, check=True
    )
    home.put("models/languages.pkl", model.stdout)
    log = home.push("LanguageGuesser")
    assert "model loaded" in log
    assert home.result("LanguageGuesser", "where is the station") == "en"
    assert home.result("LanguageGuesser", "wo ist der bahnhof") == "de"


def test_a_manifest_that_nobody_froze(home: Home) -> None:
    put_iris(home)
    home.push("IrisClassifier")
    assert home.result("IrisClassifier", {"measures": [5.1, 3.5, 1.4, 0.2], "named": True}) == "setosa"
    assert home.result("IrisClassifier", {"measures": [5.1, 3.5, 1.4, 0.2]})["class"] == 0


def test_a_frozen_manifest_with_a_scikit_learn_model(home: Home, tmp_path: Path) -> None:
    put_iris(home)
    (tmp_path / "model_manifest.json").write_text((HERE / "IrisClassifier" / "model_manifest.json").read_text())
    frozen = home.freeze(tmp_path)
    log = home.push("IrisClassifier", **{"model_manifest.json.freeze": frozen})
    assert "model files 1 required" in log
    checksum = json.loads(frozen)["required_files"][0]["md5_checksum"]
    assert home.result("IrisClassifier", {"measures": [5.1, 3.5, 1.4, 0.2]}) == {"class": 0, "checksum": checksum}

    # Another model at that place: the version that is there answers as before, and no commit is built with it.
    put_iris(home, 200)
    assert home.result("IrisClassifier", {"measures": [6.3, 3.3, 6.0, 2.5]}) == {"class": 2, "checksum": checksum}
    with pytest.raises(RuntimeError, match="the model file 'classifier' is not the one that was frozen"):
        home.push("IrisClassifier", **{"model_manifest.json.freeze": frozen, "README.md": "changed"})
