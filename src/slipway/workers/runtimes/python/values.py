"""From a call's bytes to what `apply` takes, and from what it returns to bytes."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from enum import Enum
from json.encoder import JSONEncoder
from pathlib import PurePath
from typing import Any, Optional, Tuple
from uuid import UUID

from slipway.sdk.frames import decode_fields

_JSON_INPUT = b"\x0ccontent_type\x00\x04json"
_decoder = json.JSONDecoder()
_scan = _decoder.scan_once  # type: ignore[attr-defined]


class ResultError(Exception):
    """What `apply` returned has no JSON form. The message says which part of it."""


class UnreadableInput(Exception):
    """The body is not what its content type says."""

    error_type = "ParsingError"


def input_kind(header: bytes) -> str:
    """The content type that a call's header says."""
    return "json" if _JSON_INPUT in header else decode_fields(header)["content_type"]


def decode_input(content_type: str, body: bytes) -> Any:
    """A JSON value, a string or bytes. Raises UnreadableInput if the body is not what it says."""
    try:
        if content_type == "json":
            return decode_json(body)
        return body.decode() if content_type == "text" else body
    except (ValueError, RecursionError) as error:
        raise UnreadableInput(f"the input is no {content_type}: {error}") from None


def decode_json(body: bytes) -> Any:
    """A JSON value. Raises ValueError or RecursionError."""
    text = body.decode()
    try:
        # Most bodies are nothing but the value, and then this is all that `loads` would do.
        value, end = _scan(text, 0)
    except StopIteration:
        return _decoder.decode(text)
    return value if end == len(text) else _decoder.decode(text)


def encode_result(value: Any) -> Tuple[bytes, bytes]:
    """Content type (json, text, binary) and body of what `apply` returned. Raises ResultError."""
    if isinstance(value, str):
        return b"text", value.encode("utf-8", "replace")
    if isinstance(value, (bytes, bytearray, memoryview)):
        return b"binary", bytes(value)
    return b"json", encode_json(value)


def encode_json(value: Any) -> bytes:
    """JSON text in UTF-8. Raises ResultError."""
    try:
        text = _encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        text = _encode_anew(value, error)
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Half a character, as in text that was cut in two: only its escape is valid UTF-8.
        return json.dumps(_decoder.decode(text), separators=(",", ":")).encode()


def to_plain(value: Any) -> Any:
    """What the JSON encoder cannot take by itself: numpy and pandas values, sets, dates, without importing either."""
    kind = type(value).__name__
    if kind == "DataFrame":
        return value.to_dict(orient="records")
    if getattr(getattr(value, "dtype", None), "kind", "") == "M":
        return value.astype(str).tolist()  # times; as nanoseconds nobody would know them
    for method in ("tolist", "isoformat", "model_dump"):
        convert = getattr(value, method, None)
        if callable(convert):
            plain = convert()
            return float(plain) if type(plain) is type(value) else plain
    if isinstance(value, (Decimal, UUID, PurePath)):
        return str(value)
    if isinstance(value, Enum):
        return value.value
    return _parts(value, kind)


def _parts(value: Any, kind: str) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    if isinstance(value, (bytes, bytearray, memoryview)):
        raise ResultError("bytes have no place inside JSON: return them alone, or encode them as base64 text")
    if hasattr(value, "__iter__"):
        return list(value)
    raise ResultError(f"apply returned a {kind}, which has no JSON form: return numbers, text, lists or dictionaries")


def _encode_anew(value: Any, error: Exception) -> str:
    """A second, slow attempt after the first has failed: with keys made plain, and with words for what is wrong."""
    try:
        if isinstance(error, RecursionError) or "Circular" in str(error):
            raise RecursionError
        plain = _with_plain_keys(value)
        place = _not_finite(plain)
        if place is None:
            return _encode(plain)
    except RecursionError:
        raise ResultError("apply returned a value that contains itself, or is nested too deeply for JSON") from None
    except (TypeError, ValueError) as again:
        raise ResultError(f"what apply returned has no JSON form: {again}") from None
    raise ResultError(f"apply returned {place}, which JSON cannot carry: return None or a finite number")


def _with_plain_keys(value: Any) -> Any:
    if isinstance(value, dict):
        return {_plain_key(key): _with_plain_keys(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_with_plain_keys(item) for item in value]
    if value is None or isinstance(value, (str, int, float)):
        return value
    if hasattr(value, "__next__"):
        # The first attempt may have used it up.
        raise ResultError(f"apply returned a {type(value).__name__} inside JSON: make it a list")
    return _with_plain_keys(to_plain(value))


def _plain_key(key: Any) -> Any:
    if key is None or isinstance(key, (str, int, float)):
        return key
    if isinstance(key, tuple):
        raise ResultError(f"a key of a dictionary is the tuple {key!r:.100}: JSON's keys are text")
    plain = to_plain(key)
    return plain if plain is None or isinstance(plain, (str, int, float)) else str(plain)


def _not_finite(value: Any, place: str = "") -> Optional[str]:
    """Such as `NaN at ["scores"][3]`; None where all numbers are finite."""
    if isinstance(value, float) and not math.isfinite(value):
        name = "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        return f"{name} at {place}" if place else name
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in parts:
        found = _not_finite(item, f"{place}[{json.dumps(key)}]")
        if found:
            return found
    return None


_encode = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=to_plain).encode
