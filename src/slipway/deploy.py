"""Deployment from a notebook or from files.

    %run -m slipway.deploy -k KEY -u USER -a NAME -m model.py -d requirements.txt

does, and says as it happens, what a data scientist wants of it: the model's files to hosted data, source and
requirements to the algorithm's repository, a build, a test through the API, a publication. From a cell,
`slipway.deploy.model(fitted, "name")` writes the files itself.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.metadata
import json
import pickle
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from slipway.client import Client, ClientError, Login, find_login
from slipway.repository import Repository

_TEST_INPUT = '"hello"'

_GENERATED = '''"""Written by slipway.deploy.model."""

import pickle

import slipway

model = None


def load():
    global model
    with open(slipway.model({file!r}), "rb") as file:
        model = pickle.load(file)


def apply(input):
    rows = input if isinstance(input, list) else [input]
    return model.predict(rows)
'''


class Deployment(msgspec.Struct, kw_only=True):
    """What to deploy."""

    owner: str
    name: str
    source: str  # Python with apply(input)
    requirements: str
    files: dict[str, Path]  # models by the name under which the source asks for them
    test_input: str = _TEST_INPUT  # JSON
    callability: str = "private"


class Deployed(msgspec.Struct, frozen=True, kw_only=True):
    """What became of it."""

    algorithm: str  # owner/name
    version: str
    commit: str
    url: str  # to POST to
    result: Any  # of the test input


class DeploymentFailed(ClientError):
    """A step failed; the message says which and why."""


def deploy(client: Client, wanted: Deployment) -> Deployed:
    """Run all steps, printing the transcript that users of Algorithmia's notebooks know. Raises ClientError."""
    name = f"{wanted.owner}/{wanted.name}"
    page = f"{client.login.address}/algorithms/{name}"
    print(f"Algorithm namespace: {name}")
    print(f"Algorithm URL: {page}")
    print("Pushing source code upstream, uploading model file & compiling algorithm...", flush=True)
    commit = _build(client, wanted, _upload(client, wanted))
    print(f"Algorithm Source Code is available at: {page}/source")
    print("Testing new compiled algorithm via API endpoint...", flush=True)
    result = _call(client, f"{name}/{commit}", wanted.test_input)
    print("Test complete!")
    print("Publishing and deploying algorithm...", flush=True)
    published = client.publish(wanted.owner, wanted.name, callability=wanted.callability, git_hash=commit)
    version = published["version_info"]["semantic_version"]
    _call(client, f"{name}/{version}", wanted.test_input)
    print("Algorithm has been deployed!", flush=True)
    url = f"{client.login.address}/v1/algo/{name}/{version}"
    return Deployed(algorithm=name, version=version, commit=commit, url=url, result=result)


def model(
    fitted: Any,  # noqa: ANN401 - any object with predict
    name: str,
    *,
    key: str | None = None,
    user: str | None = None,
    address: str | None = None,
    requirements: Sequence[str] | None = None,
    test_input: Any = "hello",  # noqa: ANN401 - any JSON
) -> Deployed:
    """Deploy an object with `predict(rows)`: pickled, its packages pinned to the versions that are installed here.

    `test_input` is what the new version is tried with. Raises ClientError.
    """
    with Client(find_login(address, key)) as client, tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / f"{name}.pickle"
        file.write_bytes(pickle.dumps(fitted))
        needed = "\n".join(requirements if requirements is not None else _requirements_of(fitted))
        return deploy(
            client,
            Deployment(
                owner=user or client.whoami()["username"],
                name=name,
                source=_GENERATED.format(file=file.name),
                requirements=needed + "\n",
                files={file.name: file},
                test_input=json.dumps(test_input),
            ),
        )


def model_files(source: str, directory: Path) -> dict[str, Path]:
    """The files beside a source that it asks for by `slipway.model("FILE")`. Raises DeploymentFailed without them."""
    found: dict[str, Path] = {}
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
            continue
        function = node.func
        called = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        if called == "model" and isinstance(node.args[0].value, str):
            name = node.args[0].value
            if not (directory / name).is_file():
                raise DeploymentFailed(f"the source asks for the model {name!r}, and {directory / name} is not there")
            found[name] = directory / name
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; errors are one line."""
    options = _options(arguments)
    try:
        login = find_login(options.address, options.key)
        with Client(login) as client:
            deploy(client, _from_files(options, login, client))
    except ClientError as error:
        print(f"deployment failed: {error}", file=sys.stderr)
        return 1
    return 0


# --- steps ----------------------------------------------------------------------------------------------------------


def _upload(client: Client, wanted: Deployment) -> dict[str, str]:
    """Model files to hosted data; SHA-256 by name."""
    client.ensure_directory(wanted.owner, wanted.name)
    digests = {}
    for name, path in wanted.files.items():
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            reply = client.upload(f"{wanted.owner}/{wanted.name}/{name}", file)
        if reply["sha256"] != digest:
            raise DeploymentFailed(f"{path} arrived damaged: try again")
        digests[name] = digest
    return digests


def _build(client: Client, wanted: Deployment, digests: dict[str, str]) -> str:
    """Commit and push, which builds; the commit. Raises DeploymentFailed with the reason and the log's end."""
    client.ensure_algorithm(wanted.owner, wanted.name)
    log: list[str] = []
    with tempfile.TemporaryDirectory() as directory:
        clone = Path(directory) / "repository"
        user = client.whoami()["username"]
        repository = Repository(client.login, user, wanted.owner, wanted.name, clone)
        repository.clone()
        _write(clone / "src" / f"{wanted.name}.py", wanted.source)
        _write(clone / "requirements.txt", wanted.requirements)
        _write(clone / "slipway.toml", _manifest(wanted, digests))
        commit = repository.commit("Deployed by slipway.deploy")
        repository.push(log.append)
    build = next((b for b in client.builds(wanted.owner, wanted.name) if b["commit_sha"] == commit), None)
    if build is None or build["status"] != "succeeded":
        reason = build["reason"] if build else "the push started no build"
        raise DeploymentFailed("\n".join([reason, *log[-20:]]))
    return commit


def _call(client: Client, target: str, test_input: str) -> Any:  # noqa: ANN401 - any JSON
    return client.call(target, test_input.encode(), "application/json")["result"]


def _manifest(wanted: Deployment, digests: dict[str, str]) -> str:
    lines = ["[algorithm]", f"name = {json.dumps(wanted.name)}", f"sample_input = {json.dumps(wanted.test_input)}"]
    for name, digest in digests.items():
        source = f"data://{wanted.owner}/{wanted.name}/{name}"
        lines += ["", f"[models.{json.dumps(name)}]", f"source = {json.dumps(source)}", f'sha256 = "{digest}"']
    return "\n".join([*lines, ""])


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


# --- what is needed -------------------------------------------------------------------------------------------------


def _requirements_of(fitted: object) -> list[str]:
    """The distributions, pinned, of the packages whose modules the pickled object names."""
    distributions = importlib.metadata.packages_distributions()
    pinned = {}
    for module in sorted(_modules_of(fitted)):
        for distribution in distributions.get(module.partition(".")[0], ()):
            pinned[distribution] = importlib.metadata.version(distribution)
    return [f"{name}=={version}" for name, version in pinned.items()]


def _modules_of(fitted: object) -> set[str]:
    """Modules of the classes and functions that unpickling imports."""
    found = {type(part).__module__ for part in (fitted, *_parts(fitted))}
    for step in _parts(fitted):
        found.update(type(part).__module__ for part in _parts(step))
    return found


def _parts(value: object) -> list[object]:
    parts = list(getattr(value, "__dict__", {}).values())
    for part in list(parts):
        if isinstance(part, (list, tuple)):
            parts += [inner for item in part for inner in (item if isinstance(item, tuple) else (item,))]
    return parts


def _from_files(options: argparse.Namespace, login: Login, client: Client) -> Deployment:
    source = Path(options.model)
    try:
        text = source.read_text()
        requirements = Path(options.requirements).read_text() if options.requirements else ""
        files = {**model_files(text, source.parent), **{Path(f).name: Path(f) for f in options.file}}
    except OSError as error:
        raise DeploymentFailed(f"{error.filename}: {error.strerror}") from error
    except SyntaxError as error:
        raise DeploymentFailed(f"{source}, line {error.lineno}: {error.msg}") from error
    return Deployment(
        owner=options.user or client.whoami()["username"],
        name=options.algorithm,
        source=text,
        requirements=requirements,
        files=files,
        test_input=options.input,
        callability="public" if options.public else "private",
    )


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="slipway.deploy", description="Deploy a model from files.")
    parser.add_argument("-k", "--key", help="API key; default: as `slipway login` kept it")
    parser.add_argument("-u", "--user", help="the account that owns the algorithm; default: the key's")
    parser.add_argument("-a", "--algorithm", required=True, help="the algorithm's name")
    parser.add_argument("-m", "--model", required=True, help="Python file with apply(input)")
    parser.add_argument("-d", "--requirements", help="requirements.txt of that file")
    parser.add_argument("-f", "--file", action="append", default=[], help="a model file to upload; may be repeated")
    parser.add_argument("-i", "--input", default=_TEST_INPUT, help="JSON to test the new version with")
    parser.add_argument("--public", action="store_true", help="let everyone with a key call it")
    parser.add_argument("--address", help="the platform's address; default: SLIPWAY_API, then `slipway login`")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    _status = main()
    if _status:
        sys.exit(_status)
