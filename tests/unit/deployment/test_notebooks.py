"""Which of a notebook's code is deployed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from slipway.connection import ClientError
from slipway.deployment import notebooks


def notebook(directory: Path, *cells: str, tagged: Sequence[int] = (), **changes: Any) -> Path:
    """A notebook file with these code cells; `tagged` are the numbers of those with the tag."""
    made = [
        {"cell_type": "code", "source": text, "metadata": {"tags": ["slipway"] if number in tagged else []}}
        for number, text in enumerate(cells, start=1)
    ]
    document = {"nbformat": 4, "nbformat_minor": 5, "metadata": {"kernelspec": {"language": "python"}}, "cells": made}
    file = directory / "my model.ipynb"
    file.write_text(json.dumps(document | changes))
    return file


def run(file: Path) -> dict[str, Any]:
    """The names of the module that a notebook makes."""
    names: dict[str, Any] = {}
    exec(compile(notebooks.read(file).source, "source", "exec"), names)
    return names


def test_apply_takes_along_what_it_refers_to_and_nothing_else(tmp_path: Path) -> None:
    file = notebook(
        tmp_path,
        "import math, re\nimport tkinter_of_the_author\n%matplotlib inline",
        "LIMIT = 2\nrows = open('rows.csv')\nprint(rows)",
        "def half(x):\n    # rounded\n    return math.floor(x / 2)\n\n\ndef plot(): tkinter_of_the_author.show()",
        "def apply(input):\n    return half(input) > LIMIT\n\napply(3)",
    )
    source = notebooks.read(file).source
    assert "tkinter" not in source
    assert "rows" not in source
    assert "# rounded" in source
    assert run(file)["apply"](9) is True


def test_what_load_sets_need_not_be_trained_again(tmp_path: Path) -> None:
    file = notebook(
        tmp_path,
        "model = expensive_training()",
        "def load():\n    global model\n    model = str.upper",
        "SAMPLE_INPUT = 'a'\ndef apply(input):\n    return model(input)",
    )
    names = run(file)
    names["load"]()
    assert names["apply"](names["SAMPLE_INPUT"]) == "A"


def test_what_is_computed_is_refused_with_its_cell_and_advice(tmp_path: Path) -> None:
    file = notebook(tmp_path, "x = 1", "model = train(x)", "def apply(input):\n    return model.predict(input)")
    with pytest.raises(ClientError, match=r"`apply` uses `model`, which cell 2 .*slipway.model.*tag `slipway`"):
        notebooks.read(file)


@pytest.mark.parametrize("text", ["FACTOR = max(2, 3)", "#| export\nFACTOR = max(2, 3)"])
def test_marked_cells_are_the_source_as_they_are(tmp_path: Path, text: str) -> None:
    tagged = () if text.startswith("#|") else (1,)
    apply = "#| export\n" * (not tagged) + "def apply(input):\n    return FACTOR * input"
    file = notebook(tmp_path, text, "raise SystemExit", apply, tagged=(*tagged, 3) if tagged else ())
    assert run(file)["apply"](2) == 6


def test_the_last_definition_counts_as_it_does_in_the_notebook(tmp_path: Path) -> None:
    file = notebook(tmp_path, "def apply(input):\n    return 1", "def apply(input):\n    return 2")
    assert run(file)["apply"](0) == 2


def test_what_cells_install_are_its_requirements(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("scipy\n")
    file = notebook(
        tmp_path,
        "%pip install -q 'numpy>=2' --index-url http://x pandas\n!{sys.executable} -m pip install -r more.txt",
        "def apply(input):\n    return input",
    )
    assert notebooks.read(file).installs == ("numpy>=2", "pandas", "scipy")


def test_cells_of_other_languages_and_sketches_do_no_harm(tmp_path: Path) -> None:
    file = notebook(
        tmp_path, "%%bash\nls | wc", "this is no python", "%%time\ndef apply(input):\n    return input", "apply?"
    )
    assert run(file)["apply"](3) == 3


def test_what_is_no_notebook_with_apply_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(ClientError, match=r"no cell of my model\.ipynb defines `def apply"):
        notebooks.read(notebook(tmp_path, "x = 1"))
    with pytest.raises(ClientError, match="cell 1, line 2"):
        notebooks.read(notebook(tmp_path, "def apply(input):\n    return ("))
    with pytest.raises(ClientError, match="notebook in R"):
        notebooks.read(notebook(tmp_path, "x", metadata={"kernelspec": {"language": "R"}}))
    with pytest.raises(ClientError, match="format 3"):
        notebooks.read(notebook(tmp_path, "x", nbformat=3))
    (tmp_path / "a.ipynb").write_text("no")
    with pytest.raises(ClientError, match="is no notebook"):
        notebooks.read(tmp_path / "a.ipynb")
