"""BentoML with its defaults and one worker. Usage: bentoml_server.py PORT"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import bentoml  # type: ignore[import-not-found]
from model import load  # type: ignore[import-not-found]


@bentoml.service
class Server:
    """One flower a call."""

    def __init__(self) -> None:
        self.classify = load()

    @bentoml.api  # type: ignore[untyped-decorator]
    def echo(self, value: list[float]) -> dict[str, list[float]]:
        """Answer what was sent."""
        return {"result": value}

    @bentoml.api  # type: ignore[untyped-decorator]
    def predict(self, value: list[float]) -> dict[str, int]:
        """The class of one flower."""
        return {"result": self.classify(value)}


if __name__ == "__main__":
    os.environ["BENTOML_DO_NOT_TRACK"] = "True"
    os.chdir(Path(__file__).parent)
    program = str(Path(sys.executable).with_name("bentoml"))
    os.execv(program, [program, "serve", "bentoml_server:Server", "--host", "127.0.0.1", "--port", sys.argv[1]])
