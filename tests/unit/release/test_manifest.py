"""What slipway.toml says, and what is said of mistakes in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.errors import BuildFailed
from slipway.release import template
from slipway.release.manifest import Manifest, read_manifest
from slipway.release.publish import Publication
from slipway.release.sizes import parse_size
from slipway.settings import Settings

NAME = '[algorithm]\nname = "echo"\n'


def read(directory: Path, text: str | None, **settings: object) -> Manifest:
    (directory / "src").mkdir(exist_ok=True)
    (directory / "src" / "echo.py").write_text("")
    if text is not None:
        (directory / "slipway.toml").write_text(text)
    return read_manifest(directory, "echo", Settings(**settings))  # type: ignore[arg-type]


def test_everything_has_a_default_without_a_file(tmp_path: Path) -> None:
    manifest = read(tmp_path, None, memory_bytes=2**28, max_replicas=7, idle_seconds=9.0, queue_limit=5)
    assert (manifest.entry, manifest.requirements, manifest.on_push) == ("src/echo.py", None, None)
    assert manifest.resources.memory_bytes == 2**28
    assert (manifest.scaling.max_replicas, manifest.scaling.idle_seconds, manifest.scaling.queue_limit) == (7, 9.0, 5)


def test_the_usual_requirements_file_is_taken_if_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("six\n")
    assert read(tmp_path, NAME).requirements == "requirements.txt"


def test_every_section_is_understood(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("six\n")
    text = """
[algorithm]
name = "other"
entry = "src/echo.py"
sample_input = {rows = [1, 2]}
tags = ["text"]
[environment]
python = ">=3.10,<3.13"
requirements = "more.txt"
hardware = "cpu"
[resources]
cpu = 0.5
memory = "512 MiB"
[scaling]
min_replicas = 1
max_replicas = 3
idle_seconds = 60
queue_limit = 10
timeout_seconds = 5
load_seconds = 30
concurrency = 8
[models.best]
source = "data://.my/models/best.bin"
[release]
on_push = "patch"
callability = "public"
"""
    manifest = read(tmp_path, text)
    assert (manifest.entry, manifest.requirements, manifest.python) == ("src/echo.py", "more.txt", ">=3.10,<3.13")
    assert (manifest.resources.cpu, manifest.resources.memory_bytes) == (0.5, 512 * 2**20)
    assert (manifest.scaling.min_replicas, manifest.scaling.timeout_seconds) == (1, 5.0)
    assert manifest.scaling.concurrency == 8
    assert manifest.sample_input == '{"rows":[1,2]}'
    assert manifest.models["best"].source == "data://.my/models/best.bin"
    assert manifest.on_push == Publication(version_type="patch", callability="public")


def test_min_replicas_above_the_platforms_limit_raises_the_limit(tmp_path: Path) -> None:
    assert read(tmp_path, NAME + "[scaling]\nmin_replicas = 9\n", max_replicas=4).scaling.max_replicas == 9


@pytest.mark.parametrize("language", ["python", "python3", "python3-1"])
def test_repositories_of_algorithmia_are_recognised(tmp_path: Path, language: str) -> None:
    (tmp_path / "algorithmia.conf").write_text(f'{{"username": "ann", "algoname": "echo", "language": "{language}"}}')
    assert read(tmp_path, None).entry == "src/echo.py"


@pytest.mark.parametrize("language", ["python2", "java"])
def test_languages_that_cannot_be_served_are_refused(tmp_path: Path, language: str) -> None:
    (tmp_path / "algorithmia.conf").write_text(f'{{"algoname": "echo", "language": "{language}"}}')
    with pytest.raises(BuildFailed, match=f"'{language}' is not supported yet"):
        read(tmp_path, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[algorithm\n", "slipway.toml: "),
        ("", r"\[algorithm\] is missing"),
        ("[algorithm]\n", r"\[algorithm\] is missing its name \(line 1\)"),
        ("[algorithm]\nname = 3\n", r"\[algorithm\] name \(line 2\): expected `str`, got `int`"),
        (NAME + "[scalin]\n", r"unknown section 'scalin' \(line 3\): did you mean 'scaling'"),
        (NAME + "[scaling]\nmax_replica = 2\n", r"'max_replica' \(line 4\): did you mean 'max_replicas'"),
        (NAME + "[scaling]\nzzz = 2\n", r"unknown key of \[scaling\] 'zzz' \(line 4\): known are min_replicas, "),
        (NAME + "[scaling]\nmax_replicas = 0\n", r"\[scaling\] max_replicas \(line 4\): expected `int` >= 1"),
        (NAME + "[scaling]\nmax_replicas = 1\nmin_replicas = 2\n", r"max_replicas \(line 4\) is below min_replicas, 2"),
        (NAME + "[scaling]\nmax_batch = 0\n", r"max_batch"),
        (NAME + "[scaling]\nconcurrency = 0\n", r"\[scaling\] concurrency \(line 4\): expected `int` >= 1"),
        (NAME + '[resources]\nmemory = "lots"\n', r"memory \(line 4\): 'lots' is no size"),
        (NAME + '[resources]\nmemory = "1 KiB"\n', "at least 16 MiB"),
        (NAME + "[resources]\ngpu = 1\n", "'gpu' is not supported yet"),
        (NAME + "[environment]\npython = 3.11\n", r"\[environment\] python \(line 4\): expected `str`, got `float`"),
        (NAME + '[[gate]]\nkind = "unit"\n', r"the section 'gate' is not supported yet \(line 3\)"),
        (NAME + "[slo]\n", "'slo' is not supported yet"),
        (NAME + '[release]\npolicy = "canary"\n', "'policy' is not supported yet"),
        (NAME + '[release]\non_push = "always"\n', r"\[release\] on_push \(line 4\): invalid enum value 'always'"),
        (NAME + '[models."../x"]\nsource = "a"\n', "name a model with letters"),
        (NAME + '[models.best]\nsource = "a"\nsha256 = "abc"\n', r"\[models.NAME\] sha256 \(line 5\)"),
        ('[algorithm]\nname = "echo"\nlanguage = "r"\n', r"'r' is not supported yet: python is \(line 3\)"),
        ('[algorithm]\nname = "echo"\nentry = "../x.py"\n', "'../x.py' is not inside the repository"),
        ('[algorithm]\nname = "echo"\nentry = "/etc/passwd"\n', "is not inside the repository"),
        ('[algorithm]\nname = "nope"\n', "the repository has no src/nope.py"),
        (NAME + '[environment]\nrequirements = "none.txt"\n', "the repository has no none.txt"),
    ],
)
def test_a_mistake_is_named_with_its_place_and_a_way_out(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BuildFailed, match=message):
        read(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "size"),
    [("512 MiB", 512 * 2**20), ("2GiB", 2**31), ("1.5 GB", 1_500_000_000), ("100", 100), (7, 7), ("1k", 1024)],
)
def test_sizes_are_written_as_people_write_them(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1 parsec", "1 2"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize("python", ["", "3.9"])
def test_a_classic_repository_in_a_templates_place_keeps_the_python_that_was_chosen(
    tmp_path: Path, python: str
) -> None:
    (tmp_path / "algorithmia.conf").write_text('{"username": "ann", "algoname": "echo", "language": "python3"}')
    manifest = read(tmp_path, template.files("ann", "echo", python)["slipway.toml"])
    assert (manifest.python, manifest.sample_input) == (python, "")
