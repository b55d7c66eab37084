"""Server-sent events of a streamed call, as its client reads them."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from slipway.connection import ClientError

CONTENT_TYPE = "text/event-stream"


class Event(NamedTuple):
    """One event: an item where it has no name, else `end` or `error`."""

    name: str
    data: Any  # what its JSON says; bytes for a binary item


def read_events(chunks: Iterable[bytes]) -> Iterator[Event]:
    """The events of a reply's body. Raises ClientError where it is none, or where it stops without its last event.

    Lines end with a newline and nothing else: the text of an item may hold every other separator there is.
    """
    buffer, searched = bytearray(), 0
    for chunk in chunks:
        buffer += chunk
        while (end := buffer.find(b"\n\n", searched)) >= 0:
            event = _event(bytes(buffer[:end]))
            del buffer[: end + 2]
            searched = 0
            yield event
            if event.name:
                return
        searched = max(0, len(buffer) - 1)
    raise ClientError("the stream stopped before its end: the platform, or the way to it, was lost")


def _event(block: bytes) -> Event:
    fields = dict(line.partition(b": ")[::2] for line in block.split(b"\n"))
    try:
        data = json.loads(fields[b"data"])
    except (KeyError, ValueError) as error:
        raise ClientError(f"the platform does not stream as a Slipway platform does: {block[:80]!r}") from error
    if fields.get(b"content_type") == b"binary":
        data = base64.b64decode(data)
    return Event(fields.get(b"event", b"").decode(), data)
