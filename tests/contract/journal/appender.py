"""Appends records until it is killed; prints each id once its record is durable. Usage: appender.py DIRECTORY"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from slipway.ids import new_id_bytes
from slipway.journal.records import CallRecord, Payload
from slipway.journal.writer import JournalWriter


async def main() -> None:
    """Run for ever."""
    writer = JournalWriter(Path(sys.argv[1]) / "w", "w", segment_bytes=128 * 1024)
    writer.start(asyncio.get_running_loop())

    def append() -> None:
        identity = new_id_bytes()

        def durable() -> None:
            os.write(1, identity.hex().encode() + b"\n")
            append()

        record = CallRecord(time=time.time(), call_id=identity, root_id=identity)
        writer.append(record, Payload(call_id=identity, input=b"x" * 100), durable, durable)

    for _ in range(16):
        append()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
