"""Deployment from a notebook or a file.

    %run -m slipway.deploy -k KEY -u USER -a NAME -m model.py -d model_requirements.txt

or, for an object in a cell, without any files:

    slipway.deploy.model(classifier, "movie_review_sentiment", sample="a fine film")
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slipway.client import Client, ClientError
from slipway.deployment import pickled, source_reading, sources
from slipway.deployment.flow import BuildFailed, Deployed, Plan, run_with_transcript
from slipway.types import Callability

__all__ = ["DeploymentFailed", "files", "model"]


class DeploymentFailed(Exception):
    """A deployment ended before its version was live. The message says why; nothing that was live has changed."""

    def _render_traceback_(self) -> list[str]:
        """How notebooks show it: the reason, not the way through this package."""
        return [f"Deployment failed: {self}"]


def model(
    fitted: object,
    name: str,
    *,
    sample: Any = source_reading.MISSING,  # noqa: ANN401 - any JSON
    user: str | None = None,
    key: str | None = None,
    api: str | None = None,
    requirements: Sequence[str] | None = None,
    version_type: str = "minor",
    callability: Callability | None = None,
) -> Deployed:
    """Deploy a fitted model (with `predict`) or any callable, from the cell where it was made.

    A call's input is one example or a list of them. Requirements are pinned to what is installed here, unless given.
    `sample` is an input to test with. Raises DeploymentFailed.
    """
    with tempfile.TemporaryDirectory(prefix="slipway-") as directory:
        try:
            made = pickled.write(fitted, Path(directory), requirements)
        except pickled.CannotPickle as error:
            raise DeploymentFailed(str(error)) from error
        return _deploy(made.source, made.requirements, name, (), sample, (user, key, api), (version_type, callability))


def files(
    source: Path,
    requirements: Path | None,
    name: str,
    *,
    model_files: Sequence[Path] = (),
    sample: Any = source_reading.MISSING,  # noqa: ANN401 - any JSON
    user: str | None = None,
    key: str | None = None,
    api: str | None = None,
    version_type: str = "minor",
    callability: Callability | None = None,
) -> Deployed:
    """Deploy a file or a notebook, with the model files it names, or a directory. Raises DeploymentFailed."""
    return _deploy(source, requirements, name, model_files, sample, (user, key, api), (version_type, callability))


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line. Raises DeploymentFailed inside a notebook; elsewhere exits with 1 and one line."""
    given = _parser().parse_args(arguments)
    try:
        files(
            given.model,
            given.dependencies,
            given.algorithm,
            model_files=given.file,
            sample=source_reading.MISSING if given.input is None else _json_or_text(given.input),
            user=given.user,
            key=given.key,
            api=given.api,
            version_type=given.version_type,
            callability=given.callability,
        )
    except DeploymentFailed as error:
        if "IPython" in sys.modules:
            raise
        print(f"slipway: {error}", file=sys.stderr)
        sys.exit(1)


def _deploy(
    source: Path,
    requirements: Path | None,
    name: str,
    extra: Sequence[Path],
    sample: object,
    access: tuple[str | None, str | None, str | None],
    release: tuple[str, Callability | None],
) -> Deployed:
    user, key, api = access
    try:
        with Client(api, key) as client:
            found = sources.read(source, requirements, extra, name)
            plan = Plan.of(found, user or client.whoami().username, name, sample, *release)
            return run_with_transcript(client, plan, _say)
    except BuildFailed as error:
        raise DeploymentFailed(f"{error}\n{error.log}".rstrip()) from error
    except ClientError as error:
        trace = f"\n{error.stack_trace}" if error.stack_trace else ""
        raise DeploymentFailed(f"{error}{trace}") from error


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="slipway.deploy", description="Deploy a model as a live endpoint.")
    parser.add_argument("-k", "--key", help="API key; else SLIPWAY_API_KEY, else what `slipway login` kept")
    parser.add_argument("-u", "--user", help="owner of the algorithm; the key's own account by default")
    parser.add_argument("-a", "--algorithm", required=True, help="the algorithm's name")
    parser.add_argument(
        "-m", "--model", required=True, type=Path, help="Python file with `apply`, or a notebook, or a directory"
    )
    parser.add_argument("-d", "--dependencies", type=Path, help="its requirements file")
    parser.add_argument("-f", "--file", type=Path, action="append", default=[], help="a model file; may be repeated")
    parser.add_argument("-i", "--input", help="input to test with: JSON, or text; default: the file's SAMPLE_INPUT")
    parser.add_argument("--api", help="the platform's address; else SLIPWAY_API, else what `slipway login` kept")
    parser.add_argument("--version-type", choices=("major", "minor", "patch"), default="minor")
    parser.add_argument("--callability", choices=("public", "private"), default=None)
    return parser


def _json_or_text(text: str) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(text)
    except ValueError:
        return text


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
