"""The one translation of errors into HTTP."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from slipway.errors import AuthenticationError, InputError, NoSuchAlgorithm, NotFound, SlipwayError
from slipway.ids import new_id

logger = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Answer every error in the management API's form: `{"error":{"id","code","message"}}`."""

    @app.exception_handler(SlipwayError)
    async def ours(_request: Request, error: SlipwayError) -> JSONResponse:
        return response(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return response(InputError(_described(error)))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 404:
            return response(NotFound(f"there is nothing at {request.url.path}"))
        return _render(error.status_code, 5001, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        identity = new_id()
        logger.error("%s %s failed (%s)", request.method, request.url.path, identity, exc_info=error)
        return _render(500, 5000, f"the platform failed; its log names {identity}", {}, identity)


def response(error: SlipwayError) -> JSONResponse:
    """An error of the tree."""
    headers = {"X-Error-Message": _one_line(str(error))}
    if isinstance(error, AuthenticationError):
        headers["WWW-Authenticate"] = 'Simple realm="slipway"'
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, NoSuchAlgorithm):
        # What the classic clients look for.
        return JSONResponse({"error": "No such algorithm"}, error.status, headers)
    return _render(error.status, error.code, str(error), headers)


def _render(status: int, code: int, message: str, headers: dict[str, str], identity: str = "") -> JSONResponse:
    content: dict[str, Any] = {"error": {"id": identity or new_id(), "code": code, "message": message}}
    return JSONResponse(content, status, headers)


def _described(error: RequestValidationError) -> str:
    parts = []
    for found in error.errors():
        place = ".".join(str(part) for part in found["loc"] if part != "body")
        parts.append(f"{place}: {found['msg']}" if place else str(found["msg"]))
    return "; ".join(parts)


def _one_line(text: str) -> str:
    return " ".join(text.split()).encode("latin-1", "replace").decode("latin-1")[:500]
