"""The names behind `import slipway` inside an algorithm."""

from __future__ import annotations

import os


class AlgorithmError(Exception):
    """Raise this, or a subclass, to answer a call with an error of that `error_type`."""

    error_type = "AlgorithmError"


class InputError(AlgorithmError):
    """The caller's input cannot be worked with."""

    error_type = "InputError"


class UnsupportedError(AlgorithmError):
    """What the caller asks for is not offered."""

    error_type = "UnsupportedError"


def model(name: str) -> str:
    """The path of the model that `slipway.toml` declares as `[models.NAME]`.

    Outside the platform, where no version's directory is set, the file of that name in the working directory. Raises
    FileNotFoundError if there is none.
    """
    directory = os.environ.get("SLIPWAY_MODELS", "")
    path = os.path.join(directory, name)
    if not os.path.exists(path):
        raise FileNotFoundError(f"no model {name!r} in {directory or os.getcwd()}: declare it in slipway.toml")
    return path
