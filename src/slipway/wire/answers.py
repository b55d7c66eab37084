"""The common API's answers to a call as JSON: the same for those who waited and for those who ask later."""

from __future__ import annotations

import base64

import msgspec

from slipway.types import AlgorithmFailure

_encode = msgspec.json.encode


def result_json(content_type: str, result: bytes) -> bytes:
    """A result as JSON: itself, a string of text, or base64 of bytes."""
    if content_type == "json":
        return result
    if content_type == "text":
        return _encode(result.decode("utf-8", "replace"))
    return b'"%b"' % base64.b64encode(result)


def metadata_json(content_type: str, duration_us: int, printed: bytes | None) -> bytes:
    """`metadata` of a call that succeeded; `printed` is None where its caller may not see that."""
    seconds = b"%d.%06d" % divmod(duration_us, 1_000_000)
    stdout = b"" if printed is None else b',"stdout":' + _encode(printed.decode("utf-8", "replace"))
    return b'{"content_type":"%b","duration":%b%b}' % (content_type.encode(), seconds, stdout)


def failure_metadata(duration_us: int, printed: bytes | None) -> dict[str, object]:
    """`metadata` of a call that failed."""
    metadata: dict[str, object] = {"duration": duration_us / 1e6}
    if printed is not None:
        metadata["stdout"] = printed.decode("utf-8", "replace")
    return metadata


def error_object(failure: AlgorithmFailure) -> dict[str, str]:
    """`error` of a call that failed, or was refused. Clients of either spelling of the trace exist."""
    trace = failure.stack_trace
    return {
        "message": failure.message,
        "error_type": failure.error_type,
        "stacktrace": trace,
        "stack_trace": trace,
    }
