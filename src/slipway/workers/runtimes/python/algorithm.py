"""Loads an author's module and calls it."""

from __future__ import annotations

import importlib.util
import inspect
import os
import sys
import sysconfig
import types
from typing import Any, Callable, List

_LAZY = frozenset({types.CoroutineType, types.GeneratorType})


class Algorithm:
    """An entry file with `apply(input)` and, optionally, `load()`. What `load` returns goes to an `apply` of two."""

    def __init__(self, directory: str, entry: str) -> None:
        self._directory, self._entry = directory, entry
        self._loop: Any = None  # made for the first coroutine
        self._function: Callable[..., Any] = _not_loaded
        self._state: Any = None
        self.apply: Callable[[Any], Any] = self._apply

    def load(self) -> None:
        """Import the entry and run its `load`. Raises whatever these raise, or AttributeError without `apply`."""
        module = self._import()
        function = getattr(module, "apply", None)
        if not callable(function):
            raise AttributeError(f"{self._entry} defines no function apply(input)")
        load = getattr(module, "load", None)
        self._state = self._finish(load()) if callable(load) else None
        self._function = function
        if _is_something(self._state) and _takes_two(function):
            self.apply = self._apply_with_state

    def _apply(self, value: Any) -> Any:
        result = self._function(value)
        return self._finish(result) if type(result) in _LAZY else result

    def _apply_with_state(self, value: Any) -> Any:
        result = self._function(value, self._state)
        return self._finish(result) if type(result) in _LAZY else result

    def _import(self) -> Any:
        path = os.path.join(self._directory, self._entry)
        for folder in (self._directory, os.path.dirname(path)):
            if folder not in sys.path:
                sys.path.insert(0, folder)
        os.chdir(self._directory)
        os.environ["SLIPWAY_MODELS"] = os.path.join(self._directory, "models")
        name = os.path.splitext(os.path.basename(path))[0]
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{self._entry} is no Python file")
        module = importlib.util.module_from_spec(spec)
        # Under its own name, so that what it pickles can be found again; never in place of a library's module.
        sys.modules.setdefault(name, module)
        spec.loader.exec_module(module)
        return module

    def _finish(self, result: Any) -> Any:
        if inspect.iscoroutine(result):
            if self._loop is None:
                # 25 ms that only authors of coroutines pay for.
                import asyncio

                self._loop = asyncio.new_event_loop()
            return self._loop.run_until_complete(result)
        return list(result) if inspect.isgenerator(result) else result


def environment_modules() -> List[str]:
    """Names of the loaded modules that come from the environment's packages, in the order of their import."""
    roots = tuple({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    found = []
    for name, module in list(sys.modules.items()):
        origin = getattr(getattr(module, "__spec__", None), "origin", None)
        if isinstance(origin, str) and origin.startswith(roots):
            found.append(name)
    return found


def _is_something(state: Any) -> bool:
    try:
        return bool(state)
    except Exception:
        # Arrays, data frames and unfitted estimators do not say, but they are not nothing.
        return True


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return False  # written in C
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in kinds for parameter in parameters) > 1


def _not_loaded(_value: Any) -> Any:
    raise RuntimeError("the algorithm is not loaded")
