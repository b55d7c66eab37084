"""FastAPI with plain `def` endpoints, in one process: what people write first. Usage: fastapi_server.py PORT"""

from __future__ import annotations

import sys
from typing import Annotated

import uvicorn
from fastapi import Body, FastAPI
from model import load  # type: ignore[import-not-found]

app = FastAPI()
classify = load()


@app.post("/echo")
def echo(value: Annotated[list[float], Body()]) -> dict[str, list[float]]:
    """Answer what was sent."""
    return {"result": value}


@app.post("/predict")
def predict(value: Annotated[list[float], Body()]) -> dict[str, int]:
    """The class of one flower."""
    return {"result": classify(value)}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning")
