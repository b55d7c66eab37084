"""What became of an asynchronous call."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Response

from slipway.access.decisions import Action, Resource
from slipway.control.authentication import Who, decides
from slipway.control.context import Context, Ctx
from slipway.registry import requests
from slipway.registry.requests import Request
from slipway.wire.answers import error_object, failure_metadata, metadata_json, result_json

router = APIRouter(prefix="/v1/requests", tags=["asynchronous calls"])

_STATUS = {"type": "string", "enum": ["queued", "running", "succeeded", "failed"]}
_SCHEMA = {
    "type": "object",
    "required": ["request_id", "status"],
    "properties": {
        "request_id": {"type": "string"},
        "status": _STATUS,
        "result": {"description": "of a call that succeeded: any JSON, text, or base64 of bytes"},
        "error": {"type": "object", "description": "of a call that failed: `message`, `error_type`, `stacktrace`"},
        "metadata": {"type": "object", "description": "`content_type`, `duration` in seconds, `stdout`"},
    },
}
_REPLY: dict[int | str, dict[str, Any]] = {200: {"content": {"application/json": {"schema": _SCHEMA}}}}


@decides
async def _own(request_id: str, context: Ctx, principal: Who) -> Request:
    """The request, if the caller of the route made it."""
    async with context.store.read() as connection:
        request = await requests.get(connection, request_id)
    owner, _, name = request.call.algorithm.partition("/")
    await context.allow(principal, Action.RESULT, Resource("request", request.call.caller), f"requests/{request_id}")
    # Who may read it may not with every key: one that is for some algorithms only must be for this one.
    await context.allow(principal, Action.CALL, Resource("algorithm", owner, public=True, name=name), f"{owner}/{name}")
    return request


@router.get("/{request_id}", response_class=Response, responses=_REPLY)
async def get_request(context: Ctx, request: Annotated[Request, Depends(_own)]) -> Response:
    """How an asynchronous call stands, and its result or error once it has ended."""
    return Response(await _rendered(context, request), media_type="application/json")


async def _rendered(context: Context, request: Request) -> bytes:
    call, outcome = request.call, request.outcome
    if request.state != "recorded" or outcome is None:
        return _encode(call.request_id, await _standing(context, request))
    printed = outcome.printed if call.stdout else None
    if outcome.failure is not None:
        error, metadata = error_object(outcome.failure), failure_metadata(outcome.duration_us, printed)
        return _encode(call.request_id, "failed", error=error, metadata=metadata)
    result = request.result or b""
    if outcome.result_file:
        result = await context.request_files.result(outcome.result_file)
    return _encode(
        call.request_id,
        "succeeded",
        result=msgspec.Raw(result_json(outcome.result_type, result)),
        metadata=msgspec.Raw(metadata_json(outcome.result_type, outcome.duration_us, printed)),
    )


async def _standing(context: Context, request: Request) -> str:
    if request.state != "pending":
        return "running"
    async with context.store.read() as connection:
        state = await requests.job_state(connection, request.call.request_id)
    return "queued" if state == "queued" else "running"


def _encode(request_id: str, status: str, **more: object) -> bytes:
    return msgspec.json.encode({"request_id": request_id, "status": status, **more})
