"""LitServe with its defaults and one worker. Usage: litserve_predict.py PORT"""

from __future__ import annotations

import sys

import litserve  # type: ignore[import-not-found]
from model import load  # type: ignore[import-not-found]


class Iris(litserve.LitAPI):  # type: ignore[misc]
    """One flower a call."""

    def setup(self, device: str) -> None:
        """In the worker."""
        self.classify = load()

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - LitServe reads types
        """The row."""
        return request

    def predict(self, row: list[float]) -> int:
        """Its class."""
        return int(self.classify(row))

    def encode_response(self, output: int) -> dict[str, int]:
        """As every peer answers."""
        return {"result": output}


if __name__ == "__main__":
    server = litserve.LitServer(Iris(), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
