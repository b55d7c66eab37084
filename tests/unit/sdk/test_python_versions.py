"""What is copied into environments must run on the oldest Python that they may have."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import slipway.sdk
import slipway.workers.runtimes.python

FOLDERS = [Path(package.__file__ or "").parent for package in (slipway.sdk, slipway.workers.runtimes.python)]
FILES = sorted(file for folder in FOLDERS for file in folder.rglob("*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_grammar_is_that_of_python_3_9(file: Path) -> None:
    tree = ast.parse(file.read_text(), feature_version=(3, 9))

    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match)]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_annotations_that_are_evaluated_are_too(file: Path) -> None:
    """`X | Y` is fine where it stays a string, not in an alias or a call."""
    for statement in ast.parse(file.read_text()).body:
        if isinstance(statement, ast.Assign):
            for node in ast.walk(statement.value):
                if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
                    names = [side.id for side in (node.left, node.right) if isinstance(side, ast.Name)]
                    assert not set(names) & {"str", "int", "bytes", "None", "Any", "Dict", "List"}
