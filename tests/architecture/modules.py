"""The package's modules and what they import, read without importing them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "slipway"


def name_of(file: Path) -> str:
    """`slipway.gateway.server` of a file of the package."""
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {name_of(file): file for file in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(file.read_bytes()) for name, file in FILES.items()}


def imports(name: str, *, everywhere: bool = True) -> set[str]:
    """Modules that a module imports, of this package or not; `everywhere`: inside functions too."""
    found: set[str] = set()
    for node in _nodes(TREES[name], everywhere):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {_module(target) for target in found}


def own_imports(name: str, *, everywhere: bool = True) -> set[str]:
    """Those of this package."""
    return {target for target in imports(name, everywhere=everywhere) if target in FILES} - {name}


def _nodes(tree: ast.AST, everywhere: bool) -> Iterator[ast.AST]:
    """What may run; what stands under TYPE_CHECKING is not."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        if everywhere or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _nodes(node, everywhere)


def _module(target: str) -> str:
    """`slipway.types` of `slipway.types.Call`; anything foreign as it is."""
    if target in FILES or not target.startswith("slipway"):
        return target
    return target.rpartition(".")[0]
