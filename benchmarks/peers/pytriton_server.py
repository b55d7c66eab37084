"""PyTriton: Triton with a Python callable, batches of up to 16. Usage: pytriton_server.py PORT"""

from __future__ import annotations

import sys
from typing import Any

import numpy
from model import train  # type: ignore[import-not-found]
from pytriton.decorators import batch  # type: ignore[import-not-found]
from pytriton.model_config import ModelConfig, Tensor  # type: ignore[import-not-found]
from pytriton.triton import Triton, TritonConfig  # type: ignore[import-not-found]

model: Any = train()


@batch  # type: ignore[untyped-decorator]
def echo(x: Any) -> list[Any]:  # noqa: ANN401
    """Answer what was sent."""
    return [x]


@batch  # type: ignore[untyped-decorator]
def predict(x: Any) -> list[Any]:  # noqa: ANN401
    """The classes of some flowers."""
    return [model.predict(x).astype(numpy.int64).reshape(-1, 1)]


def main(port: int) -> None:
    """Serve; it takes the two ports after the given one as well."""
    ports = {"http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    config = TritonConfig(**ports, http_address="127.0.0.1", grpc_address="127.0.0.1")
    outputs = {
        "echo": (echo, Tensor(name="y", dtype=numpy.float64, shape=(4,))),
        "predict": (predict, Tensor(name="y", dtype=numpy.int64, shape=(1,))),
    }
    with Triton(config=config) as triton:
        for name, (function, output) in outputs.items():
            inputs = [Tensor(name="x", dtype=numpy.float64, shape=(4,))]
            triton.bind(name, function, inputs, [output], config=ModelConfig(max_batch_size=16))
        triton.serve()


if __name__ == "__main__":
    main(int(sys.argv[1]))
