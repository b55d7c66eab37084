"""FastAPI with a plain `def` endpoint, in one process: what people write first. Usage: fastapi_echo.py PORT"""

from __future__ import annotations

import sys
from typing import Annotated

import uvicorn
from fastapi import Body, FastAPI

app = FastAPI()


@app.post("/echo")
def echo(value: Annotated[list[float], Body()]) -> dict[str, list[float]]:
    """Answer what was sent."""
    return {"result": value}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), access_log=False, log_level="warning")
