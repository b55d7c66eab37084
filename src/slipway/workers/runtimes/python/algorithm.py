"""Loads an author's module and calls it."""

from __future__ import annotations

import inspect
import os
import sys
import sysconfig
import types
from typing import Any, Callable, List, Optional, Tuple

from slipway.sdk import platform
from slipway.sdk.adk import ADK, collect, is_something, needs, takes
from slipway.sdk.client_transport import connect_client
from slipway.workers.runtimes.python.entry import import_entry

_CLASSIC_FILE = "algorithmia.conf"
_LAZY = frozenset({types.CoroutineType, types.GeneratorType})


class Algorithm:
    """An entry file with `apply(input)` and, optionally, `load()`. What `load` returns goes to an `apply` of two.

    `apply_batch(inputs)`, beside `apply` or in its place, takes several inputs and returns as many results.

    An entry that makes an `ADK` is the algorithm that this describes.
    """

    def __init__(self, directory: str, entry: str) -> None:
        self._directory, self._entry = directory, entry
        self._loop: Any = None  # made for the first coroutine
        self._function: Callable[..., Any] = _not_loaded
        self._batch: Callable[..., Any] = _not_loaded
        self._state: Any = None
        self.streaming = False  # generators are handed on as they are
        self.apply: Callable[[Any], Any] = self._apply
        self.apply_batch: Optional[Callable[[List[Any]], List[Any]]] = None
        # Callers of repositories made for Algorithmia know an error's message without the name of its class.
        self.plain_messages = os.path.exists(os.path.join(directory, _CLASSIC_FILE))

    def load(self) -> None:
        """Import the entry and run its `load`. Raises whatever these raise, or AttributeError without `apply`."""
        function, batch, load = self._functions()
        self._state = self._finish(load()) if callable(load) else None
        if callable(batch):
            self._batch = batch
            self.apply_batch = self._apply_batch
        if not callable(function):
            self.apply = self._apply_alone
            return
        self._function = function
        if is_something(self._state) and takes(function) > 1:
            self.apply = self._apply_with_state

    def _functions(self) -> Tuple[Any, Any, Any]:
        os.environ["SLIPWAY_MODELS"] = os.path.join(self._directory, "models")
        connect_client(platform.request)
        made = collect()
        module = import_entry(self._directory, self._entry)
        if made:
            self.plain_messages = True
            return made[-1].apply_func, None, made[-1].load
        function, load = getattr(module, "apply", None), getattr(module, "load", None)
        batch = getattr(module, "apply_batch", None)
        if not callable(function) and not callable(batch):
            raise AttributeError(f"{self._entry} defines no function apply(input)")
        if callable(function) and callable(load) and needs(load):
            # It makes its ADK only where it runs as a program.
            load = ADK(function, load).load
        return function, batch, load

    def _apply(self, value: Any) -> Any:
        result = self._function(value)
        return self._finish(result) if type(result) in _LAZY else result

    def _apply_with_state(self, value: Any) -> Any:
        result = self._function(value, self._state)
        return self._finish(result) if type(result) in _LAZY else result

    def _apply_batch(self, values: List[Any]) -> List[Any]:
        with_state = is_something(self._state) and takes(self._batch) > 1
        results = self._finish(self._batch(values, self._state) if with_state else self._batch(values))
        if callable(getattr(results, "tolist", None)):
            results = results.tolist()  # an array or a series
        if not isinstance(results, (list, tuple)) or len(results) != len(values):
            count = f"{len(results)} results" if isinstance(results, (list, tuple)) else type(results).__name__
            raise ValueError(f"apply_batch returned {count} for {len(values)} inputs: return a list with one for each")
        return list(results)

    def _apply_alone(self, value: Any) -> Any:
        return self._apply_batch([value])[0]

    def _finish(self, result: Any) -> Any:
        if inspect.iscoroutine(result):
            if self._loop is None:
                # 25 ms that only authors of coroutines pay for.
                import asyncio

                self._loop = asyncio.new_event_loop()
            return self._loop.run_until_complete(result)
        if self.streaming and inspect.isgenerator(result):
            return result
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


def _not_loaded(_value: Any) -> Any:
    raise RuntimeError("the algorithm is not loaded")
