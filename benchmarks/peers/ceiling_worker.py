"""The ceiling's worker: echoes JSON bodies, or predicts from them. Usage: ceiling_worker.py SOCKET echo|predict

A frame is a little-endian u32 length and a body; replies come in the order of the requests, so they need no id.
"""

from __future__ import annotations

import asyncio
import os
import struct
import sys

import orjson
import uvloop
from model import load  # type: ignore[import-not-found]

LENGTH = struct.Struct("<I")
function = load() if sys.argv[2] == "predict" else list


class Worker(asyncio.Protocol):
    """Answers every whole frame of what it has read, in one write."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected to the gateway."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        """Whole frames, or pieces of them."""
        buffer, replies, position = self.buffer + data, [], 0
        while len(buffer) - position >= 4:
            (size,) = LENGTH.unpack_from(buffer, position)
            if len(buffer) - position - 4 < size:
                break
            reply = orjson.dumps(function(orjson.loads(buffer[position + 4 : position + 4 + size])))
            replies.append(LENGTH.pack(len(reply)) + reply)
            position += 4 + size
        self.buffer = buffer[position:]
        if replies:
            self.transport.write(b"".join(replies))

    def connection_lost(self, _error: Exception | None) -> None:
        """The gateway is gone."""
        os._exit(0)


async def main(path: str) -> None:
    """Serve until the gateway is gone."""
    await asyncio.get_running_loop().create_unix_connection(Worker, path)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
