"""Which packages a source needs, and where it says so: beside it, in its own head, or nowhere."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

from slipway.connection import ClientError

# The platform brings these along.
_PROVIDED = {"slipway", "Algorithmia"}
# https://packaging.python.org/en/latest/specifications/inline-script-metadata/
_INLINE = re.compile(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$")


def find(source: Path, text: str) -> bytes | None:
    """The requirements of a file: its `# /// script` block, else a requirements file beside it. Raises ClientError."""
    if (inline := _inline(source.name, text)) is not None:
        return "".join(f"{line}\n" for line in inline).encode()
    names = (f"{source.stem}_requirements.txt", f"{source.stem}-requirements.txt", "requirements.txt")
    beside = (source.parent / name for name in names)
    return next((file.read_bytes() for file in beside if file.is_file()), None)


def check(name: str, tree: ast.Module, places: Sequence[Path], *, alone: bool, given: bool) -> None:
    """Raises ClientError where a source imports what it will not find.

    `places`: where its own modules may lie; `alone`: they are not deployed with it; `given`: there are requirements.
    """
    strangers = []
    for module in _imported(tree):
        if module in sys.stdlib_module_names or module in _PROVIDED:
            continue
        place = next((one for one in places if (one / f"{module}.py").is_file() or (one / module).is_dir()), None)
        if place is None:
            strangers.append(module)
        elif alone:
            advice = f"deploy the directory: `slipway deploy {place}`"
            raise ClientError(f"{name} imports {module}, which lies beside it and would stay behind: {advice}")
    if strangers and not given:
        raise ClientError(
            f"{name} imports {', '.join(strangers)}, and no requirements say which package that is: "
            f"write {_advised(strangers)} into requirements.txt beside it, or name a file with -d"
        )


def _inline(name: str, text: str) -> Sequence[str] | None:
    found = _INLINE.search(text)
    if found is None:
        return None
    content = "".join(line[2:] if line.startswith("# ") else line[1:] for line in found["content"].splitlines(True))
    try:
        return [str(one) for one in tomllib.loads(content).get("dependencies", [])]
    except tomllib.TOMLDecodeError as error:
        raise ClientError(f"{name}: its `# /// script` block is no TOML: {error}") from error


def _imported(tree: ast.Module) -> list[str]:
    """Top-level modules that it cannot do without, each once, in order."""
    found: dict[str, None] = {}
    for node in _certain(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0]: None for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found[node.module.partition(".")[0]] = None
    return list(found)


def _certain(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes below this one, but for what is tried or only done under a condition."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Try, ast.If)):
            continue
        yield child
        yield from _certain(child)


def _advised(modules: Sequence[str]) -> str:
    """The modules as requirements: pinned as they are installed here, where they are."""
    providers = importlib.metadata.packages_distributions()
    names: dict[str, None] = {}
    for module in modules:
        distribution = next(iter(providers.get(module, ())), None)
        names[f"{distribution}=={importlib.metadata.version(distribution)}" if distribution else module] = None
    return ", ".join(names)
