"""What a source file says about itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from slipway.connection import ClientError
from slipway.deployment import source_reading


@pytest.mark.parametrize(
    "source",
    [
        "import slipway\nslipway.model('a.bin')",
        "import slipway as s\ndef load():\n    return s.model('a.bin')",
        "from slipway import model\nmodel('a.bin')",
        "from slipway import model as where\n\nclass A:\n    x = where('a.bin')",
    ],
)
def test_models_are_found_however_the_function_is_imported(source: str) -> None:
    assert source_reading.model_files(ast.parse(source)) == ["a.bin"]


def test_other_functions_of_that_name_are_not_taken_for_it() -> None:
    source = "import torch\nfrom other import model\ntorch.model('a')\nmodel('b')\nslipway = 1\n"
    assert source_reading.model_files(ast.parse(source)) == []


def test_names_that_are_computed_are_passed_over_and_repeated_ones_count_once() -> None:
    source = "import slipway\nslipway.model(name)\nslipway.model('b')\nslipway.model('a')\nslipway.model('b')"
    assert source_reading.model_files(ast.parse(source)) == ["b", "a"]


def test_a_sample_input_is_a_literal_of_the_module() -> None:
    assert source_reading.sample_input(ast.parse("SAMPLE_INPUT = {'a': [1, None]}")) == {"a": [1, None]}
    assert source_reading.sample_input(ast.parse("SAMPLE_INPUT = open('x')")) is source_reading.MISSING
    assert source_reading.sample_input(ast.parse("x = 1")) is source_reading.MISSING


def test_a_syntax_error_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text("def apply(input):\n    return (\n")
    with pytest.raises(ClientError, match=r"model.py line 2"):
        source_reading.parse(file)


def test_a_file_without_apply_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text("def predict(input):\n    return input\n")
    with pytest.raises(ClientError, match="def apply"):
        source_reading.parse(file)
