"""What an algorithm's source says about itself, read without running it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from slipway.connection import ClientError

_PACKAGE, _FUNCTION = "slipway", "model"
_SAMPLE_NAMES = ("SAMPLE_INPUT", "sample_input")

MISSING = object()


def parse(file: Path) -> ast.Module:
    """The file's syntax tree; raises ClientError naming the line that is wrong, or that there is no `apply`."""
    try:
        return parse_text(file.read_bytes(), file.name)
    except OSError as error:
        raise ClientError(f"{file} cannot be read: {error.strerror}") from error


def parse_text(content: bytes, name: str) -> ast.Module:
    """As `parse`, for the content of a file of that name."""
    try:
        tree = ast.parse(content, filename=name)
    except SyntaxError as error:
        raise ClientError(f"{name} line {error.lineno}: {error.msg}") from error
    except ValueError as error:
        raise ClientError(f"{name} is no Python: {error}") from error
    if not _has_apply(tree):
        raise ClientError(f"{name} has no `def apply(input)`: that is what a call runs")
    return tree


def has_apply(content: bytes) -> bool:
    """Whether it is Python that defines `apply`."""
    try:
        return _has_apply(ast.parse(content))
    except (SyntaxError, ValueError):
        return False


def model_files(tree: ast.Module) -> list[str]:
    """The names in `slipway.model("NAME")`, each once, in order; however the file imports that function."""
    modules, functions = _bound_names(tree)
    found: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and _is_model(node.func, modules, functions):
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                found[argument.value] = None
    return list(found)


def sample_input(tree: ast.Module) -> Any:  # noqa: ANN401 - any literal
    """The literal that the file assigns to SAMPLE_INPUT; MISSING where it does not."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(_is_sample(target) for target in node.targets):
            try:
                return ast.literal_eval(node.value)
            except ValueError:
                return MISSING
    return MISSING


def _has_apply(tree: ast.Module) -> bool:
    return any(_defines_apply(node) for node in tree.body)


def _defines_apply(node: ast.stmt) -> bool:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return node.name == "apply"
    if isinstance(node, ast.Assign):
        return any(isinstance(target, ast.Name) and target.id == "apply" for target in node.targets)
    if isinstance(node, ast.ImportFrom):
        return any((name.asname or name.name) in ("apply", "*") for name in node.names)
    return False


def _bound_names(tree: ast.Module) -> tuple[set[str], set[str]]:
    """The names under which the file knows the package, and its function."""
    modules: set[str] = set()
    functions: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {name.asname or name.name for name in node.names if name.name == _PACKAGE}
        elif isinstance(node, ast.ImportFrom) and node.module == _PACKAGE:
            functions |= {name.asname or name.name for name in node.names if name.name == _FUNCTION}
    return modules, functions


def _is_model(function: ast.expr, modules: set[str], functions: set[str]) -> bool:
    if isinstance(function, ast.Attribute):
        return function.attr == _FUNCTION and isinstance(function.value, ast.Name) and function.value.id in modules
    return isinstance(function, ast.Name) and function.id in functions


def _is_sample(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id in _SAMPLE_NAMES
