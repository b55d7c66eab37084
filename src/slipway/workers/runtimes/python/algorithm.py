"""Loads an author's module and calls it."""

from __future__ import annotations

import asyncio
import importlib.util
import inspect
import os
import sys
import sysconfig
import traceback
from typing import Any, Callable, List, Optional

_HERE = os.path.dirname(os.path.abspath(__file__))


class Algorithm:
    """An entry file with `apply(input)` and, optionally, `load()`. What `load` returns goes to an `apply` of two."""

    def __init__(self, directory: str, entry: str) -> None:
        self._directory, self._entry = directory, entry
        self._loop: Optional[asyncio.AbstractEventLoop] = None
        self.apply: Callable[[Any], Any] = self._not_loaded

    def load(self) -> None:
        """Import the entry and run its `load`. Raises whatever these raise, or AttributeError without `apply`."""
        module = self._import()
        apply = getattr(module, "apply", None)
        if not callable(apply):
            raise AttributeError(f"{self._entry} defines no function apply(input)")
        load = getattr(module, "load", None)
        state = load() if callable(load) else None
        if state and _positional(apply) > 1:
            self.apply = lambda value: self._finish(apply(value, state))
        else:
            self.apply = lambda value: self._finish(apply(value))

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
                self._loop = asyncio.new_event_loop()
            return self._loop.run_until_complete(result)
        return list(result) if inspect.isgenerator(result) else result

    @staticmethod
    def _not_loaded(_value: Any) -> Any:
        raise RuntimeError("the algorithm is not loaded")


def stack_trace(error: BaseException) -> str:
    """The traceback as text, without the platform's own frames."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith((_HERE, "<frozen importlib")):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace))


def environment_modules() -> List[str]:
    """Names of the loaded modules that come from the environment's packages, in the order of their import."""
    roots = tuple({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    found = []
    for name, module in list(sys.modules.items()):
        origin = getattr(getattr(module, "__spec__", None), "origin", None)
        if isinstance(origin, str) and origin.startswith(roots):
            found.append(name)
    return found


def _positional(function: Callable[..., Any]) -> int:
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in kinds for parameter in inspect.signature(function).parameters.values())
