"""Repositories as they were written for Algorithmia, in a worker: classic ones and those with an ADK."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.sdk.model_data import CHECKSUM, md5_hex, place_of
from slipway.wire.frames import ERROR, LOG, READY, decode_fields
from tests.contract.workers.lines import Line, worker
from tests.contract.workers.runtimes import RUNTIMES

CONF = '{"username": "ann", "algoname": "echo", "language": "python3"}'
ADDRESS = "data://ann/models/words"


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """A worker before its hello, in a repository with an `algorithmia.conf`."""
    with worker(RUNTIMES[0], tmp_path) as line:
        (line.directory / "algorithmia.conf").write_text(CONF)
        yield line


def load(line: Line, source: str, **files: str) -> Line:
    """Load that source, with other files of `src` by their names without `.py`."""
    for name, text in files.items():
        (line.directory / "src" / f"{name}.py").write_text(text)
    line.runtime.write(line.directory, source)
    frame = line.hello()
    assert frame.kind == READY, (decode_fields(frame.header), frame.body)
    return line


def refusal(line: Line, source: str) -> tuple[str, str, str]:
    """Type, message and trace of why that source does not load."""
    line.runtime.write(line.directory, source)
    frame = line.hello()
    assert frame.kind == ERROR
    fields = decode_fields(frame.header)
    return fields["type"], fields["message"], frame.body.decode()


# --- classic --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("package", [True, False])
@pytest.mark.parametrize(
    "statement", ["from .words import count", "from src.words import count", "from words import count"]
)
def test_siblings_are_imported_in_all_the_ways_that_worked(line: Line, statement: str, package: bool) -> None:
    files = {"words": "def count(text):\n    return len(text.split())\n", **({"__init__": ""} if package else {})}
    source = f"{statement}\n\ndef apply(input):\n    return count(input)\n"
    assert load(line, source, **files).result("one two") == 2


def test_an_entry_that_its_package_imports_runs_once(line: Line) -> None:
    source = "print('imported')\n\ndef apply(input):\n    import src\n    return src.apply is apply\n"
    assert load(line, source, __init__="from .echo import apply\n").result(None) is True
    assert "".join(line.said).count("imported") == 1


def test_what_an_entry_pickles_it_finds_again(line: Line) -> None:
    source = "import pickle\n\nclass Model:\n    pass\n\ndef apply(input):\n"
    source += "    return type(pickle.loads(pickle.dumps(Model()))) is Model\n"
    assert load(line, source).result(None) is True


def test_an_errors_message_is_its_text_as_callers_know_it(line: Line) -> None:
    load(line, "def apply(input):\n    raise ValueError('no such fruit')\n")
    error = line.call(None)[-1]
    fields = decode_fields(error.header)
    assert (fields["type"], fields["message"]) == ("AlgorithmError", "no such fruit")
    trace = error.body.decode().splitlines()
    assert trace[0] == "Traceback (most recent call last):"
    assert trace[1].endswith('src/echo.py", line 2, in apply')
    assert trace[-1] == "ValueError: no such fruit"


# --- ADK ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "result"),
    [
        ("def apply(input):\n    return input\n\nADK(apply).init('local')\n", "x"),
        ("def apply(i, globals):\n    return globals\n\ndef load():\n    return [1]\n\nADK(apply, load).init()\n", [1]),
        ("def apply(i):\n    return 2\n\ndef load():\n    return 1\n\nADK(apply, load_func=load).init()\n", 2),
        ("def apply(i, g=3):\n    return g\n\ndef load():\n    return 0\n\nADK(apply, load).init()\n", 3),
        ("def answer(i):\n    return 'own names'\n\nalgorithm = ADK(answer)\nalgorithm.init('x')\n", "own names"),
        (
            "def load(model_data):\n    model_data['a'] = 1\n    return model_data\n\n"
            "def apply(i, m):\n    return [m['a'], m.data()]\n\nADK(apply, load).init()\n",
            [1, {"a": 1}],
        ),
        ("def apply(i):\n    return 4\n\nif __name__ == '__main__':\n    ADK(apply).init('local')\n", 4),
        (
            "def load(model_data):\n    return model_data.available()\n\ndef apply(i):\n    return 5\n\n"
            "if __name__ == '__main__':\n    ADK(apply, load).init('local')\n",
            5,
        ),
        ("def apply(i):\n    return b'bytes'\n\nADK(apply).init()\n", "bytes"),
        ("def apply(i):\n    return bytearray(b'array')\n\nADK(apply).init()\n", "array"),
    ],
)
def test_adks_come_in_several_shapes(line: Line, source: str, result: object) -> None:
    reply = load(line, f"from adk import ADK\n\n{source}").call("x")[-1]
    kind = decode_fields(reply.header)["content_type"]
    assert (json.loads(reply.body) if kind == "json" else reply.body.decode()) == result


def test_what_a_call_prints_is_its_own_and_loading_says_nothing_of_itself(line: Line) -> None:
    load(line, "from adk import ADK\n\ndef apply(input):\n    print('heard')\n    return 1\n\nADK(apply).init('x')\n")
    frames = line.call(None)
    assert line.said == []
    assert [frame.body for frame in frames if frame.kind == LOG] == [b"heard\n"]


def test_a_declared_error_type_and_the_authors_frames_alone_reach_the_caller(line: Line) -> None:
    source = "from adk import ADK\n\nclass Refused(Exception):\n    error_type = 'InputError'\n\n"
    source += "def apply(input):\n    raise Refused('not that')\n\nADK(apply).init()\n"
    error = load(line, source).call(None)[-1]
    fields = decode_fields(error.header)
    assert (fields["type"], fields["message"]) == ("InputError", "not that")
    assert error.body.decode().count("File ") == 1


def test_why_an_adk_does_not_load(line: Line) -> None:
    source = "from adk import ADK\n\ndef apply(input):\n    pass\n\ndef load():\n    return {}['missing']\n\n"
    kind, message, trace = refusal(line, source + "ADK(apply, load).init('x')\n")
    assert (kind, message) == ("LoadingError", "'missing'")
    assert trace.count("File ") == 1


# --- model manifest -------------------------------------------------------------------------------------------------

MODEL = """
from adk import ADK

def load(model_data):
    return {"path": model_data.get_model("words")}

def apply(input, globals):
    with open(globals["path"]) as file:
        return file.read()

ADK(apply, load).init("local")
"""


def put(directory: Path, content: str, address: str = ADDRESS) -> None:
    """What a build leaves for a worker."""
    place = directory / place_of(address)
    place.parent.mkdir(parents=True)
    place.write_text(content)
    place.with_name(place.name + CHECKSUM).write_text(md5_hex(content.encode()))


def describe(directory: Path, frozen: bool = False, **entry: object) -> None:
    """Write a manifest, as `algo freeze` writes it if frozen."""
    required = [{"name": "words", "source_uri": ADDRESS, **entry}]
    manifest: dict[str, object] = {"required_files": required, "optional_files": []}
    if frozen:
        manifest["timestamp"] = "1637000000.1"
        manifest["lock_checksum"] = md5_hex(str(manifest).encode())
    (directory / f"model_manifest.json{'.freeze' if frozen else ''}").write_text(json.dumps(manifest))


@pytest.mark.parametrize("frozen", [True, False])
def test_required_files_are_there_when_load_runs(line: Line, frozen: bool) -> None:
    put(line.directory, "weights")
    describe(line.directory, frozen, md5_checksum=md5_hex(b"weights"), fail_on_tamper=True, metadata={"any": "thing"})
    assert load(line, MODEL).call(None)[-1].body == b"weights"


def test_a_file_other_than_the_frozen_one_is_refused_where_the_manifest_says_so(line: Line) -> None:
    put(line.directory, "forged")
    describe(line.directory, frozen=True, md5_checksum=md5_hex(b"weights"), fail_on_tamper=True)
    kind, message, _ = refusal(line, MODEL)
    assert kind == "LoadingError"
    assert message.startswith("the model file 'words' is not the one that was frozen: data://ann/models/words has MD5")


def test_and_used_with_a_remark_where_it_does_not(line: Line) -> None:
    put(line.directory, "newer")
    describe(line.directory, frozen=True, md5_checksum=md5_hex(b"weights"), fail_on_tamper=False)
    assert load(line, MODEL).call(None)[-1].body == b"newer"
    assert "is not the one that was frozen" in "".join(line.said)


def test_a_frozen_manifest_that_was_edited_is_refused(line: Line) -> None:
    put(line.directory, "weights")
    describe(line.directory, frozen=True, md5_checksum=md5_hex(b"weights"))
    frozen = line.directory / "model_manifest.json.freeze"
    frozen.write_text(frozen.read_text().replace(md5_hex(b"weights"), md5_hex(b"forged")))
    kind, message, _ = refusal(line, MODEL)
    assert (kind, message) == (
        "LoadingError",
        "model_manifest.json.freeze was changed after it was frozen: run `algo freeze` again",
    )


def test_names_that_the_manifest_does_not_have_are_refused(line: Line) -> None:
    describe(line.directory)
    put(line.directory, "weights")
    kind, message, _ = refusal(line, MODEL.replace('"words"', '"verbs"'))
    assert (kind, message) == ("LoadingError", "model_manifest.json names no model 'verbs'")


def test_a_repository_without_a_manifest_is_told_so(line: Line) -> None:
    kind, message, _ = refusal(line, MODEL)
    assert kind == "LoadingError"
    assert message == "there is no model 'words': the repository has no model_manifest.json"


def test_optional_files_are_fetched_when_they_are_asked_for(line: Line) -> None:
    """By the client that the author gave, here one that counts."""
    optional = [{"name": "words", "source_uri": ADDRESS, "fail_on_tamper": False}]
    manifest = {"required_files": [], "optional_files": optional}
    (line.directory / "model_manifest.json").write_text(json.dumps(manifest))
    source = """
import tempfile
from adk import ADK

class Client:
    asked = []

    def file(self, address):
        self.asked.append(address)
        return self

    def getFile(self):
        file = tempfile.NamedTemporaryFile(delete=False)
        file.write(b"weights")
        file.flush()
        return file

def load(model_data):
    return model_data

def apply(input, model_data):
    before = len(Client.asked)
    texts = [open(model_data.get_model("words")).read() for _ in range(2)]
    return [before, texts, Client.asked]

ADK(apply, load, Client()).init("local")
"""
    assert load(line, source).result(None) == [0, ["weights", "weights"], [ADDRESS]]


def test_binary_input_comes_as_bytes(line: Line) -> None:
    source = "from adk import ADK\nimport base64\n\ndef apply(input):\n"
    source += "    return base64.b64encode(input).decode()\n\nADK(apply).init(b'local')\n"
    reply = load(line, source).call(b"\x00\xff", "binary")[-1]
    assert reply.body == base64.b64encode(b"\x00\xff")
