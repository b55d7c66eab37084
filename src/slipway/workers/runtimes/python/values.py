"""From a call's bytes to what `apply` takes, and from what it returns to bytes."""

from __future__ import annotations

import json
from typing import Any, Tuple

_parse = json.loads


def decode_input(content_type: str, body: bytes) -> Any:
    """A JSON value, a string or bytes. Raises ValueError if the body is not what it says."""
    if content_type == "json":
        return _parse(body)
    return body.decode() if content_type == "text" else body


def encode_result(value: Any) -> Tuple[bytes, bytes]:
    """Content type (json, text, binary) and body of what `apply` returned. Raises TypeError or ValueError."""
    if isinstance(value, str):
        return b"text", value.encode("utf-8", "surrogatepass")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return b"binary", bytes(value)
    return b"json", _dump(value).encode("utf-8", "surrogatepass")


def to_plain(value: Any) -> Any:
    """What the JSON encoder cannot take by itself: numpy and pandas values, sets, dates, without importing either."""
    kind = type(value).__name__
    if kind == "DataFrame":
        return value.to_dict(orient="records")
    for method in ("tolist", "isoformat"):
        convert = getattr(value, method, None)
        if callable(convert):
            return convert()
    if isinstance(value, (set, frozenset)):
        return list(value)
    if hasattr(value, "__iter__"):
        return list(value)
    if kind in ("Decimal", "UUID", "PosixPath"):
        return str(value)
    raise TypeError(f"apply returned a {kind}, which has no JSON form: return numbers, text, lists or dictionaries")


_dump = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=to_plain).encode
