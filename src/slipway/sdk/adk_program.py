"""An ADK algorithm as a program: `python src/NAME.py` answers a local payload, or input line by line."""

from __future__ import annotations

import base64
import json
import os
import sys
import traceback
from typing import Any, Callable, Dict, Optional

FIFO = "/tmp/algoout"  # noqa: S108 - where whoever started the program may wait for answers


class Program:
    """Answers on the FIFO where there is one, else by `pprint`."""

    def __init__(self, load: Callable[[], Any], answer: Callable[[Any], Any], pprint: Callable[[str], Any]) -> None:
        self._load, self._answer, self._pprint = load, answer, pprint
        self._local = not os.path.exists(FIFO)

    def run(self, local_payload: Any = None) -> None:
        """Load, then answer the payload, or what comes on standard input until that ends."""
        failure = self._loaded()
        print("loading complete" if self._local else "PIPE_INIT_COMPLETE", flush=True)
        if self._local and local_payload is not None:
            self._write(failure or self.applied(local_payload))
            return
        for line in sys.stdin:
            self._write(failure or self._answered(line))

    def _loaded(self) -> Optional[str]:
        try:
            self._load()
        except Exception as error:
            return failed(error, "LoadingError")
        return None

    def _answered(self, line: str) -> str:
        try:
            request = json.loads(line)
            payload = read_payload(request)
        except Exception as error:
            return failed(error, "ParsingError")
        return self.applied(payload)

    def applied(self, payload: Any) -> str:
        """The line of JSON that answers an input."""
        try:
            return answered(self._answer(payload))
        except Exception as error:
            return failed(error, "AlgorithmError")

    def _write(self, text: str) -> None:
        if self._local:
            self._pprint(text)
            return
        with open(FIFO, "w") as fifo:
            fifo.write(text + "\n")
        sys.stdout.flush()


def read_payload(request: Dict[str, Any]) -> Any:
    """The input in a line `{"content_type": "text|json|binary", "data": …}`. Raises ValueError, KeyError."""
    kind = request["content_type"]
    if kind == "binary":
        return base64.b64decode(request["data"])
    if kind in ("text", "json"):
        return request["data"]
    raise ValueError(f"Invalid content_type: {kind}")


def answered(result: Any) -> str:
    """A result as a line of JSON. Raises TypeError for what has no JSON form."""
    if isinstance(result, (bytes, bytearray)):
        kind, value = "binary", base64.b64encode(result).decode()
    else:
        kind, value = "text" if isinstance(result, str) else "json", result
    return json.dumps({"result": value, "metadata": {"content_type": kind}})


def failed(error: Exception, otherwise: str) -> str:
    """An error as a line of JSON; its type is the one that it declares."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(os.path.dirname(__file__)):
        trace = trace.tb_next
    details = {
        "message": str(error),
        "stacktrace": "".join(traceback.format_exception(type(error), error, trace)),
        "error_type": getattr(error, "error_type", None) or otherwise,
    }
    return json.dumps({"error": details})
