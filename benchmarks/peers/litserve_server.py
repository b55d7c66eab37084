"""LitServe with its defaults and one worker. Usage: litserve_server.py PORT echo|predict"""

from __future__ import annotations

import sys

import litserve  # type: ignore[import-not-found]
from model import load  # type: ignore[import-not-found]


class Server(litserve.LitAPI):  # type: ignore[misc]
    """One flower a call."""

    def setup(self, device: str) -> None:
        """In the worker."""
        self.function = load() if sys.argv[2] == "predict" else list

    def decode_request(self, request):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201 - LitServe reads types
        """The row."""
        return request

    def predict(self, row):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Its class, or the row itself."""
        return self.function(row)

    def encode_response(self, output):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """As every peer answers."""
        return {"result": output}


if __name__ == "__main__":
    server = litserve.LitServer(Server(), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)
