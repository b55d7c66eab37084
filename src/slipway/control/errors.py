"""The one translation of errors into HTTP."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import BaseRoute, Route

from slipway.errors import (
    AuthenticationError,
    CallerGone,
    InputError,
    NoSuchAlgorithm,
    NotFound,
    ParsingError,
    SlipwayError,
    UsageError,
)
from slipway.ids import new_id

logger = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    """Answer every error in the management API's form: `{"error":{"id","code","message"}}`."""

    @app.exception_handler(SlipwayError)
    async def ours(_request: Request, error: SlipwayError) -> JSONResponse:
        return response(error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return response(_described(error))

    @app.exception_handler(ClientDisconnect)
    async def gone(_request: Request, _error: ClientDisconnect) -> JSONResponse:
        return response(CallerGone("the caller went away"))

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code == 404:
            return response(NotFound(f"there is nothing at {request.url.path}"))
        headers = dict(error.headers or {})
        if error.status_code == 405:
            # The framework names the methods of one route only; a path has one for each method.
            headers["Allow"] = ", ".join(sorted(_methods(app.routes, request.url.path)))
        return _render(error.status_code, UsageError.code, str(error.detail), headers)

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> JSONResponse:
        identity = new_id()
        logger.error("%s %s failed (%s): %r", request.method, request.url.path, identity, error)
        return _render(500, SlipwayError.code, f"the platform failed; control's log names {identity}", {}, identity)


def response(error: SlipwayError, **extra: Any) -> JSONResponse:  # noqa: ANN401 - any JSON
    """An error of the tree; `extra` stands beside its message."""
    headers = {}
    if isinstance(error, AuthenticationError):
        headers["WWW-Authenticate"] = 'Simple realm="slipway"'
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(error.retry_after_seconds)
    if isinstance(error, NoSuchAlgorithm):
        # What the classic clients look for.
        headers["X-Error-Message"] = "No such algorithm"
        return JSONResponse({"error": "No such algorithm"}, error.status, headers)
    return _render(error.status, error.code, str(error), headers, **extra)


def _methods(routes: Iterable[BaseRoute], path: str) -> set[str]:
    """The methods that the path answers to, of the first template that fits it."""
    fitting = [route for route in _flat(routes) if route.path_regex.match(path)]
    return {method for route in fitting if route.path == fitting[0].path for method in route.methods or ()}


def _flat(routes: Iterable[BaseRoute]) -> Iterator[Route]:
    for route in routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            yield from _flat(included.routes)
        elif isinstance(route, Route):
            yield route


def _render(
    status: int,
    code: int,
    message: str,
    headers: dict[str, str],
    identity: str = "",
    **extra: Any,  # noqa: ANN401
) -> JSONResponse:
    content = {"error": {"id": identity or new_id(), "code": code, "message": message, **extra}}
    return JSONResponse(content, status, {"X-Error-Message": _one_line(message), **headers})


def _described(error: RequestValidationError) -> SlipwayError:
    parts = []
    for found in error.errors():
        if found["type"] == "json_invalid":
            return ParsingError(f"the body is no valid JSON: {found.get('ctx', {}).get('error', found['msg'])}")
        place = ".".join(str(part) for part in found["loc"][1:]) or str(found["loc"][0])
        parts.append(f"{place}: {found['msg']}")
    return InputError("; ".join(parts))


def _one_line(text: str) -> str:
    """The text as a header can carry it: no control characters, whatever a request's path held."""
    plain = " ".join(text.split()).encode("latin-1", "replace").decode("latin-1")[:500]
    return "".join(letter if letter.isprintable() else "?" for letter in plain)
