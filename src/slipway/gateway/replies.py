"""Replies of the call path as HTTP bytes."""

from __future__ import annotations

import http

import msgspec

from slipway.errors import AuthenticationError, SlipwayError
from slipway.gateway.call import Call
from slipway.types import AlgorithmFailure
from slipway.wire.answers import error_object, failure_metadata, metadata_json, result_json

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


def json_response(call: Call, request_id: str, extra: bytes) -> bytes:
    """The response to most calls, made in one go: JSON, and nothing of what was printed."""
    seconds, micros = divmod(call.duration_us, 1_000_000)
    body = b'{"result":%b,"metadata":{"content_type":"json","duration":%d.%06d},"request_id":"%b"}' % (
        call.result,
        seconds,
        micros,
        request_id.encode(),
    )
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%b\r\n%b" % (
        len(body),
        extra,
        body,
    )


def parsed(whole: bytes) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of what `response` has made."""
    head, _, body = whole.partition(b"\r\n\r\n")
    status_line, *lines = head.split(b"\r\n")
    headers = [(name, value) for name, _, value in (line.partition(b": ") for line in lines)]
    return int(status_line.split()[1]), headers, body


def result_body(call: Call, request_id: str, stdout: bool) -> bytes:
    """`{"result":…,"metadata":{…},"request_id":…}` of a call that succeeded."""
    return b'{"result":%b,"metadata":%b,"request_id":"%b"}' % (
        result_json(call.result_type, call.result),
        metadata_json(call.result_type, call.duration_us, call.output if stdout else None),
        request_id.encode(),
    )


def raw_result(call: Call) -> tuple[bytes, bytes]:
    """Content type and body for `output=raw`."""
    return _RAW_TYPES[call.result_type], call.result


def failure_body(call: Call, request_id: str, stdout: bool) -> bytes:
    """An error of the algorithm, which the common API answers with status 200."""
    failure = call.failure
    assert failure is not None
    metadata = failure_metadata(call.duration_us, call.output if stdout else None)
    return _encode({"error": error_object(failure), "metadata": metadata, "request_id": request_id})


def refusal_body(error: SlipwayError, request_id: str) -> bytes:
    """A refusal of the platform, in the same form as an algorithm's error."""
    failure = AlgorithmFailure(error_type=error.error_type, message=str(error))
    return _encode({"error": error_object(failure), "metadata": {}, "request_id": request_id})


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
