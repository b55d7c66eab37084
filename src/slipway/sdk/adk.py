"""What `from Algorithmia import ADK` leads to: algorithms made of functions that are handed over, not found by name.

The published client imports ADK from a package `adk`. Workers find this one there first, so that the client works as it
is while no release of the published ADK has to be right for the environment's Python.
"""

from __future__ import annotations

import inspect
from typing import Any, Callable, List, Optional

from slipway.sdk.adk_program import Program
from slipway.sdk.model_data import ModelData

MANIFEST = "model_manifest.json"

# Where a worker collects the instances that the author's module makes. None: that module runs as a program.
_collected: Optional[List[ADK]] = None


class ADK:
    """An algorithm: `apply(input)` or `apply(input, globals)`, and `load()` or `load(model_data)`.

    Raises ModelFileError where the manifest of its model files was changed by hand.
    """

    def __init__(
        self,
        apply_func: Callable[..., Any],
        load_func: Optional[Callable[..., Any]] = None,
        client: Any = None,
    ) -> None:
        if load_func is not None and needs(load_func) > 1:
            raise TypeError("load takes nothing, or the model data: it has more than one parameter")
        self.apply_func, self.load_func, self.client = apply_func, load_func, client
        self.model_data = ModelData(client, MANIFEST)
        self.load_result: Any = None
        if _collected is not None:
            _collected.append(self)

    def init(self, local_payload: Any = None, pprint: Callable[[str], Any] = print, mlops: bool = False) -> None:
        """On the platform nothing: calls come from there. As a program, answer `local_payload`, or lines of input."""
        if mlops:
            print("mlops: the platform has no agent of that kind; calls are on record here without one")
        if _collected is not None:
            _collected.append(self)  # the last one counts
            return
        Program(self.load, self._answer, pprint).run(local_payload)

    def load(self) -> Any:
        """Fetch the model files that the manifest requires and run the author's `load`; what that returns."""
        if self.model_data.available():
            self.model_data.initialize()
        if self.load_func is not None:
            self.load_result = self.load_func(self.model_data) if takes(self.load_func) else self.load_func()
        return self.load_result

    def apply(self, payload: Any) -> str:
        """What a program answers to one input: a line of JSON, with the result or the error."""
        return Program(self.load, self._answer, print).applied(payload)

    def _answer(self, payload: Any) -> Any:
        if is_something(self.load_result) and takes(self.apply_func) > 1:
            return self.apply_func(payload, self.load_result)
        return self.apply_func(payload)


def collect() -> List[ADK]:
    """From now on this process is a worker: a list that instances come into. The last one is the algorithm."""
    global _collected
    _collected = []
    return _collected


def is_something(state: Any) -> bool:
    """Whether what `load` returned is meant for `apply`."""
    try:
        return bool(state)
    except Exception:
        # Arrays, data frames and unfitted estimators do not say, but they are not nothing.
        return True


def takes(function: Callable[..., Any]) -> int:
    """How many positional arguments a function can be given by name; 0 where it does not say."""
    return len(_positional(function))


def needs(function: Callable[..., Any]) -> int:
    """How many positional arguments a function must be given."""
    return sum(parameter.default is inspect.Parameter.empty for parameter in _positional(function))


def _positional(function: Callable[..., Any]) -> List[inspect.Parameter]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []  # written in C
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [parameter for parameter in parameters if parameter.kind in kinds]
