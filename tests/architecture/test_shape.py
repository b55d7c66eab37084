"""Habits that a machine can check: everything typed, everything documented, nothing too long."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from statistics import median

import pytest

from tests.architecture.modules import FILES, TREES

LONGEST_FUNCTION = 60
LONGEST_MODULE = 400


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions of a module, nested ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def is_typed(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether arguments and result are annotated."""
    arguments = function.args
    named = arguments.posonlyargs + arguments.args + arguments.kwonlyargs
    named += [one for one in (arguments.vararg, arguments.kwarg) if one is not None]
    return function.returns is not None and all(
        argument.annotation is not None for argument in named if argument.arg not in ("self", "cls")
    )


@pytest.mark.parametrize("name", FILES)
def test_every_function_is_typed(name: str) -> None:
    untyped = [function.name for function in functions(TREES[name]) if not is_typed(function)]
    assert not untyped


@pytest.mark.parametrize("name", FILES)
def test_every_module_and_everything_public_has_a_docstring(name: str) -> None:
    tree = TREES[name]
    assert ast.get_docstring(tree), "the module has none"
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), node.name


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_so_long_that_nobody_reads_it(name: str) -> None:
    assert len(FILES[name].read_text().splitlines()) <= LONGEST_MODULE
    for function in functions(TREES[name]):
        assert (function.end_lineno or 0) - function.lineno < LONGEST_FUNCTION, function.name


def test_functions_are_short_on_the_whole() -> None:
    lengths = [(f.end_lineno or 0) - f.lineno + 1 for tree in TREES.values() for f in functions(tree)]
    assert median(lengths) <= 12


@pytest.mark.parametrize("name", FILES)
def test_annotations_are_lazy(name: str) -> None:
    tree = TREES[name]
    if any(not isinstance(node, ast.Expr) for node in tree.body):
        assert "annotations" in {
            alias.name
            for node in tree.body
            if isinstance(node, ast.ImportFrom) and node.module == "__future__"
            for alias in node.names
        }
