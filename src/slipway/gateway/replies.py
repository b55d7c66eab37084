"""Replies of the call path as HTTP bytes."""

from __future__ import annotations

import base64
import http

import msgspec

from slipway.errors import AuthenticationError, SlipwayError
from slipway.gateway.call import Call

_encode = msgspec.json.encode
_STATUS = {
    status: b"HTTP/1.1 %d %s\r\n" % (status, http.HTTPStatus(status).phrase.encode())
    for status in (200, 400, 401, 403, 404, 413, 429, 500, 503, 504)
}
_RAW_TYPES = {"json": b"application/json", "text": b"text/plain; charset=utf-8", "binary": b"application/octet-stream"}


def response(status: int, content_type: bytes, extra: bytes, body: bytes) -> bytes:
    """A whole HTTP/1.1 response; `extra` is further header lines, each ended."""
    head = b"content-type: %b\r\ncontent-length: %d\r\n%b\r\n" % (content_type, len(body), extra)
    return _STATUS[status] + head + body


def result_body(call: Call, request_id: str, stdout: bool) -> bytes:
    """`{"result":…,"metadata":{…},"request_id":…}` of a call that succeeded."""
    kind = call.result_type
    if kind == "json":
        result = call.result
    elif kind == "text":
        result = _encode(call.result.decode("utf-8", "replace"))
    else:
        result = b'"%b"' % base64.b64encode(call.result)
    return b'{"result":%b,"metadata":{"content_type":"%b","duration":%b%b},"request_id":"%b"}' % (
        result,
        kind.encode(),
        _seconds(call.duration_us),
        b',"stdout":' + _encode(call.output.decode("utf-8", "replace")) if stdout else b"",
        request_id.encode(),
    )


def raw_result(call: Call) -> tuple[bytes, bytes]:
    """Content type and body for `output=raw`."""
    return _RAW_TYPES[call.result_type], call.result


def failure_body(call: Call, request_id: str, stdout: bool) -> bytes:
    """An error of the algorithm, which the common API answers with status 200."""
    failure = call.failure
    assert failure is not None
    metadata: dict[str, object] = {"duration": call.duration_us / 1e6}
    if stdout:
        metadata["stdout"] = call.output.decode("utf-8", "replace")
    return _encode(
        {
            "error": _error(failure.message, failure.error_type, failure.stack_trace),
            "metadata": metadata,
            "request_id": request_id,
        }
    )


def refusal_body(error: SlipwayError, request_id: str) -> bytes:
    """A refusal of the platform, in the same form as an algorithm's error."""
    return _encode({"error": _error(str(error), error.error_type, ""), "metadata": {}, "request_id": request_id})


def refusal_headers(error: SlipwayError) -> bytes:
    """Header lines that a refusal adds."""
    if isinstance(error, AuthenticationError):
        return b'www-authenticate: Simple realm="slipway"\r\n'
    if error.retry_after_seconds is not None:
        return b"retry-after: %d\r\n" % error.retry_after_seconds
    return b""


def void_body(request_id: str) -> bytes:
    """The answer to `output=void`: the work goes on."""
    return b'{"async":"void","request_id":"%b"}' % request_id.encode()


def _error(message: str, error_type: str, stack_trace: str) -> dict[str, str]:
    # Clients of either spelling exist.
    return {"message": message, "error_type": error_type, "stacktrace": stack_trace, "stack_trace": stack_trace}


def _seconds(microseconds: int) -> bytes:
    return b"%d.%06d" % divmod(microseconds, 1_000_000)
