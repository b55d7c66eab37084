"""Imports an author's entry file the way that repositories have come to rely on.

`src/NAME.py` is a module of the package `src` (`from .sibling import x`, `from src.sibling import x`), and its folder
is on the path beside (`import sibling`). It runs once, whichever of its two names somebody imports.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from typing import Any


def import_entry(directory: str, entry: str) -> Any:
    """The module of `entry`, a path below `directory`. Raises what it raises, or ImportError."""
    path = os.path.join(directory, entry)
    folder = os.path.dirname(path)
    for place in (directory, folder):
        if place not in sys.path:
            sys.path.insert(0, place)
    os.chdir(directory)
    name = os.path.splitext(os.path.basename(path))[0]
    package = _package(os.path.dirname(entry).replace(os.sep, "."), folder)
    full_name = f"{package}.{name}" if package else name
    for known in (full_name, name):
        # A package's own __init__ may have imported it.
        if _file(sys.modules.get(known)) == path:
            return sys.modules[known]
    return _run(full_name, name, path)


def _package(name: str, folder: str) -> str:
    """The package that Python finds there by that name; none where an installed one has the name."""
    if not all(part.isidentifier() for part in name.split(".")):
        return ""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):
        return ""
    if spec is None or folder not in list(spec.submodule_search_locations or ()):
        return ""
    importlib.import_module(name)
    return name


def _run(full_name: str, name: str, path: str) -> Any:
    spec = importlib.util.spec_from_file_location(full_name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{os.path.basename(path)} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Under its short name too, so that what it pickles can be found; never in place of a library's module.
    for known in dict.fromkeys((full_name, name)):
        sys.modules.setdefault(known, module)
    spec.loader.exec_module(module)
    return module


def _file(module: Any) -> Any:
    return getattr(module, "__file__", None)
