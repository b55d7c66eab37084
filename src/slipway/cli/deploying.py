"""`slipway deploy`: a directory, a file or a notebook becomes a live version."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import Progress

from slipway.cli.output import Json, errors, print_json, say
from slipway.cli.progress import step_spinner, transfer_bar
from slipway.cli.session import connect, named
from slipway.cli.versions import Step
from slipway.client import Client
from slipway.deployment import model_files, source_reading, sources
from slipway.deployment.flow import BuildFailed, Deployment, Plan
from slipway.types import Callability


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(deploy)


def deploy(
    source: Annotated[Path, typer.Argument(metavar="DIRECTORY|FILE.py|NOTEBOOK.ipynb", exists=True, readable=True)],
    algorithm: Annotated[str, typer.Argument(metavar="[[OWNER/]NAME]")] = "",
    chosen: Annotated[
        str, typer.Option("-a", "--algorithm", metavar="[OWNER/]NAME", help="Its name; the source's own without it.")
    ] = "",
    requirements: Annotated[
        Path | None,
        typer.Option("-d", "--dependencies", exists=True, dir_okay=False, help="Its requirements; else as found."),
    ] = None,
    file: Annotated[
        list[Path] | None, typer.Option("-f", "--file", exists=True, dir_okay=False, help="A model file to upload.")
    ] = None,
    sample: Annotated[str | None, typer.Option("-i", "--input", help="Input to test with: JSON, or text.")] = None,
    step: Annotated[Step, typer.Option("--version-type", help="Which part of the number goes up.")] = Step.minor,
    public: Annotated[bool | None, typer.Option("--public/--private", help="Who may call it.")] = None,
    publish: Annotated[bool, typer.Option("--publish/--no-publish", help="Publish what was built.")] = True,
    as_json: Json = False,
) -> None:
    """Push a directory, a source file or a notebook, build it, test it and publish it."""
    if algorithm and chosen and algorithm != chosen:
        raise typer.BadParameter(f"name the algorithm once: {algorithm} or {chosen}")
    wanted = source_reading.MISSING if sample is None else _json_or_text(sample)
    callability: Callability | None = None if public is None else ("public" if public else "private")
    with connect() as client:
        given = algorithm or chosen
        found = sources.read(source, requirements, file or [], given.rpartition("/")[2])
        owner, _, name = named(client, given or found.name).partition("/")
        plan = Plan.of(found, owner, name, wanted, step.value, callability)
        done = carry_out(client, plan, publish, as_json)
    if as_json:
        print_json(done)


def carry_out(client: Client, plan: Plan, publish: bool, quiet: bool) -> dict[str, Any]:
    """Make what a plan says, telling how it goes unless `quiet`; what came of it. Raises ClientError."""
    deployment = Deployment(client, plan)
    deployment.ensure_algorithm()
    models = _upload(client, plan)
    with step_spinner(f"building {plan.algorithm}") as progress:
        try:
            build = deployment.push(models, lambda line: None if quiet else _log(progress, line))
        except BuildFailed as error:
            if quiet and error.log:
                errors.print(error.log, markup=False)
            raise
    with step_spinner("testing"):
        result = deployment.test()
    done = {"algorithm": plan.algorithm, "commit": deployment.commit, "build": build, "test": result, "version": None}
    if publish:
        done["version"] = deployment.publish().version_info.semantic_version
    if not quiet:
        under = done["version"] or deployment.commit
        say(f"{'Live' if publish else 'Built'}: {client.api}/v1/algo/{plan.algorithm}/{under}")
    return done


def _upload(client: Client, plan: Plan) -> dict[str, tuple[str, str]]:
    collection = f"data://{plan.algorithm}"
    if plan.models:
        client.data.make_directory(collection)
    uploaded = {}
    for model in plan.models:
        with transfer_bar(model.path) as moved:
            uploaded[model.name] = (model_files.upload(client, model, collection, moved), model.sha256)
    return uploaded


def _log(progress: Progress, line: str) -> None:
    progress.console.print(line, markup=False)


def _json_or_text(text: str) -> Any:  # noqa: ANN401 - any JSON
    if not text:
        raise typer.BadParameter("the test's input is empty")
    try:
        return json.loads(text)
    except ValueError:
        return text
