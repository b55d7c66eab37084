"""An object from a notebook as a source file, a pickle and pinned requirements."""

from __future__ import annotations

import importlib
import importlib.metadata
import io
import pickle
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

_FILE = "model.pickle"
_JOBLIB_FILE = "model.joblib"
_OWN = "slipway"

_SOURCE = '''\
"""Made by slipway.deploy.model from a {kind}."""

import {loader}

import slipway

fitted = None


def load():
    """Read the model, once for each worker."""
    global fitted
    {reading}


def apply(input):
    """Answer one call{plural}."""
    {answering}
'''
_ANSWER_PREDICT = """single = not isinstance(input, list){nested}
    predictions = fitted.predict([input] if single else input)
    return predictions[0] if single else predictions"""


class CannotPickle(Exception):
    """The object cannot be carried to another process. Put its code into a file and deploy that."""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """The files that stand for the object."""

    source: Path
    requirements: Path


def write(fitted: object, directory: Path, requirements: Sequence[str] | None) -> Made:
    """Write source, pickle and requirements into a directory. Raises CannotPickle."""
    predicts = callable(getattr(fitted, "predict", None))
    if not predicts and not callable(fitted):
        raise CannotPickle(f"a {type(fitted).__name__} has no `predict` and cannot be called: nothing could answer")
    content = _pickled(fitted)
    modules = _modules_in(content)
    if "__main__" in modules:
        raise CannotPickle(
            f"the {type(fitted).__name__} uses code that is defined in this notebook, which no worker has: "
            "put it into a file with `apply`, and deploy that with `%run -m slipway.deploy`"
        )
    joblib_like = "sklearn" in modules or "joblib" in modules
    source, pinned = directory / "model.py", directory / "requirements.txt"
    _write_model(fitted, content, directory, joblib_like)
    source.write_text(_source(fitted, predicts, joblib_like))
    needed = requirements if requirements is not None else _pins([*modules, *(["joblib"] if joblib_like else [])])
    pinned.write_text("".join(f"{line}\n" for line in needed))
    return Made(source=source, requirements=pinned)


def _pickled(fitted: object) -> bytes:
    try:
        return pickle.dumps(fitted)
    except Exception as error:  # whatever the object's own code raises
        raise CannotPickle(f"the {type(fitted).__name__} cannot be pickled: {error}") from error


def _write_model(fitted: object, content: bytes, directory: Path, joblib_like: bool) -> None:
    if not joblib_like:
        (directory / _FILE).write_bytes(content)
        return
    # The object's own library brought it along; the client does not need it otherwise.
    joblib: Any = importlib.import_module("joblib")
    joblib.dump(fitted, directory / _JOBLIB_FILE, compress=3)


def _source(fitted: object, predicts: bool, joblib_like: bool) -> str:
    if joblib_like:
        loader, reading = "joblib", f'fitted = joblib.load(slipway.model("{_JOBLIB_FILE}"))'
    else:
        loader = "pickle"
        reading = f'with open(slipway.model("{_FILE}"), "rb") as file:\n        fitted = pickle.load(file)'
    # A row of numbers is one example, a list of rows or of texts is several.
    nested = " or (input and not isinstance(input[0], (list, str, dict)))"
    return _SOURCE.format(
        kind=type(fitted).__name__,
        loader=loader,
        reading=reading,
        plural=": one example, or a list of them" if predicts else "",
        answering=_ANSWER_PREDICT.format(nested=nested) if predicts else "return fitted(input)",
    )


class _Recorder(pickle.Unpickler):
    """Notes which modules unpickling imports."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))
        self.modules: dict[str, None] = {}

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - any class or function
        """As the base, noted."""
        self.modules[module.partition(".")[0]] = None
        return super().find_class(module, name)


def _modules_in(content: bytes) -> list[str]:
    """Top-level modules that unpickling imports; the bytes were made here a moment ago."""
    recorder = _Recorder(content)
    recorder.load()
    return list(recorder.modules)


def _pins(modules: Iterable[str]) -> list[str]:
    """`distribution==version` of what provides the modules here; the standard library needs none."""
    providers = importlib.metadata.packages_distributions()
    pins: dict[str, None] = {}
    for module in modules:
        if module in sys.stdlib_module_names or module == _OWN:
            continue
        for distribution in providers.get(module, ())[:1]:
            pins[f"{distribution}=={importlib.metadata.version(distribution)}"] = None
    return sorted(pins)
