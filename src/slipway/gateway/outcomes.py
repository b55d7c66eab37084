"""A call's outcome as frames between gateways: results, errors of the algorithm, refusals of the platform."""

from __future__ import annotations

from slipway import errors
from slipway.errors import SlipwayError
from slipway.gateway.call import Call
from slipway.types import AlgorithmFailure
from slipway.wire.frames import ERROR, REPLY, STREAM_END, encode, encode_fields
from slipway.wire.messages import STOPPED

_REFUSALS = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, SlipwayError)
}
_MESSAGE_LIMIT = 16 * 1024

# Ends of which nobody knows the reason: the platform's own processes were lost.
WORKER_LOST = AlgorithmFailure(error_type="SystemExit", message="the worker ended during the call")
GATEWAY_LOST = AlgorithmFailure(error_type="SystemError", message="the gateway that ran the call was lost")


def reply_frame(call: Call) -> bytes:
    """The frame that tells a peer how its call ended."""
    fields = {
        "queue_us": str(call.queue_us),
        "us": str(call.duration_us),
        "cpu_us": str(call.cpu_us),
        "replica": call.replica_id,
        "cold": "1" if call.cold_start else "0",
    }
    if call.refusal is not None:
        return encode(ERROR, call.id, encode_fields({**fields, **_refusal_fields(call.refusal)}))
    if call.failure is not None:
        failed = {"type": call.failure.error_type, "message": call.failure.message[:_MESSAGE_LIMIT]}
        if _is_lost(call.failure):
            failed["lost"] = "1"
        return encode(ERROR, call.id, encode_fields({**fields, **failed}), call.failure.stack_trace.encode())
    if call.stream is not None and call.stream.ended:
        return encode(STREAM_END, call.id, encode_fields(fields))
    return encode(REPLY, call.id, encode_fields({**fields, "content_type": call.result_type}), call.result)


def failure_frame(error: SlipwayError) -> bytes:
    """Header fields of a refusal that no call stands behind."""
    nothing = {"queue_us": "0", "us": "0", "cpu_us": "0", "replica": "", "cold": "0"}
    return encode_fields({**nothing, **_refusal_fields(error)})


def outcome_from_error(fields: dict[str, str], body: bytes) -> SlipwayError | AlgorithmFailure:
    """The reverse, for an ERROR frame."""
    if "refusal" in fields:
        return _REFUSALS.get(fields["refusal"], SlipwayError)(fields["message"])
    return AlgorithmFailure(
        error_type=fields["type"], message=fields["message"], stack_trace=body.decode("utf-8", "replace")
    )


def _is_lost(failure: AlgorithmFailure) -> bool:
    """Whether the call may well succeed when it is run again: it was ended from outside."""
    return failure in (WORKER_LOST, GATEWAY_LOST) or (failure.message.startswith(STOPPED) and not failure.stack_trace)


def _refusal_fields(error: SlipwayError) -> dict[str, str]:
    return {"refusal": type(error).__name__, "message": str(error)[:_MESSAGE_LIMIT]}
