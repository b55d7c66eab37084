"""Loads an author's module and calls it."""

from __future__ import annotations

import inspect
import itertools
import os
import sys
import sysconfig
from typing import Any, Callable, List, Optional, Tuple

from slipway.sdk import platform
from slipway.sdk.adk import ADK, collect, is_something, needs, takes
from slipway.sdk.client_transport import connect_client
from slipway.workers.runtimes.python.entry import import_entry
from slipway.workers.runtimes.python.lazy import complete

_CLASSIC_FILE = "algorithmia.conf"
_ASYNC_TESTS = (inspect.iscoroutinefunction, inspect.isasyncgenfunction)


class Algorithm:
    """An entry file with `apply(input)` and, optionally, `load()`. What `load` returns goes to an `apply` of two.

    `apply_batch(inputs)`, beside `apply` or in its place, takes several inputs and returns as many results.

    An entry that makes an `ADK` is the algorithm that this describes. What `apply` gives back may be a coroutine or a
    generator, whose work is not done yet.
    """

    def __init__(self, directory: str, entry: str) -> None:
        self._directory, self._entry = directory, entry
        self._inherited = len(sys.modules)  # from a zygote, which knows them
        self._function: Callable[..., Any] = _not_loaded
        self._batch: Callable[..., Any] = _not_loaded
        self._state: Any = None
        self.apply: Callable[[Any], Any] = _not_loaded
        self.apply_batch: Optional[Callable[[List[Any]], List[Any]]] = None
        # Callers of repositories made for Algorithmia know an error's message without the name of its class.
        self.plain_messages = os.path.exists(os.path.join(directory, _CLASSIC_FILE))

    def load(self) -> None:
        """Import the entry and run its `load`. Raises whatever these raise, or AttributeError without `apply`."""
        function, batch, load = self._functions()
        self._state = complete(load()) if callable(load) else None
        if callable(batch):
            self._batch = batch
            self.apply_batch = self._apply_batch
        if not callable(function):
            self.apply = self._apply_alone
            return
        self._function = self.apply = function
        if is_something(self._state) and takes(function) > 1:
            self.apply = self._apply_with_state

    @property
    def is_async(self) -> bool:
        """Whether `apply` is made for an event loop."""
        called: Any = type(self._function).__call__  # of an instance
        return any(test(function) for function in (self._function, called) for test in _ASYNC_TESTS)

    def imported(self) -> List[str]:
        """Names of the environment's modules that loading has imported, in that order.

        What a zygote had imported is left out: merely to look at a module copies pages that are shared with it, which
        made up half of what a worker of scikit-learn takes.
        """
        roots = tuple({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
        found = []
        for name, module in itertools.islice(reversed(sys.modules.items()), len(sys.modules) - self._inherited):
            origin = getattr(getattr(module, "__spec__", None), "origin", None)
            if isinstance(origin, str) and origin.startswith(roots):
                found.append(name)
        return found[::-1]

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

    def _apply_with_state(self, value: Any) -> Any:
        return self._function(value, self._state)

    def _apply_batch(self, values: List[Any]) -> List[Any]:
        with_state = is_something(self._state) and takes(self._batch) > 1
        results = complete(self._batch(values, self._state) if with_state else self._batch(values))
        if callable(getattr(results, "tolist", None)):
            results = results.tolist()  # an array or a series
        if not isinstance(results, (list, tuple)) or len(results) != len(values):
            count = f"{len(results)} results" if isinstance(results, (list, tuple)) else type(results).__name__
            raise ValueError(f"apply_batch returned {count} for {len(values)} inputs: return a list with one for each")
        return list(results)

    def _apply_alone(self, value: Any) -> Any:
        return self._apply_batch([value])[0]


def _not_loaded(_value: Any) -> Any:
    raise RuntimeError("the algorithm is not loaded")
