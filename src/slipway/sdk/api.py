"""The names behind `import slipway` inside an algorithm."""

from __future__ import annotations

import base64
import json
import os
from typing import Any, Optional, Tuple
from urllib.parse import quote

from slipway.sdk import platform


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


def call(algorithm: str, input: Any = None, timeout: Optional[float] = None) -> Any:
    """Call another algorithm, `OWNER/NAME` or `OWNER/NAME/VERSION`, as whoever calls this one; its result.

    `input` is bytes, text, or anything that JSON can say. `timeout` is in seconds. Raises CallError with the other's
    type of error, its message and both stack traces; the platform's refusals are of that class too.
    """
    kind, body = _encoded(input)
    query = f"?timeout={timeout:g}" if timeout is not None else ""
    answer = json.loads(platform.request("POST", f"/v1/algo/{quote(algorithm)}{query}", body, kind).body)
    if "error" in answer:
        error = answer["error"]
        raise CallError(algorithm, error.get("error_type", ""), error["message"], error.get("stacktrace") or "")
    if answer["metadata"]["content_type"] == "binary":
        return base64.b64decode(answer["result"])
    return answer["result"]


class CallError(AlgorithmError):
    """Another algorithm that was called failed, or could not be called."""

    def __init__(self, algorithm: str, error_type: str, message: str, stack_trace: str) -> None:
        trace = f"\n\nIn {algorithm}:\n{stack_trace}" if stack_trace else ""
        super().__init__(f"{algorithm}: {message}{trace}")
        self.algorithm, self.message, self.stack_trace = algorithm, message, stack_trace
        self.error_type = error_type or AlgorithmError.error_type


def _encoded(value: Any) -> Tuple[str, bytes]:
    if isinstance(value, (bytes, bytearray)):
        return "application/octet-stream", bytes(value)
    if isinstance(value, str):
        return "text/plain", value.encode()
    return "application/json", json.dumps(value).encode()
