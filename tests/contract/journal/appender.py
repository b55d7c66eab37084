"""Appends records until it is killed; prints each id once its record is durable. Usage: appender.py DIRECTORY

Every fourth call is recorded apart as start and end.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from slipway.ids import new_id_bytes
from slipway.journal.records import CallRecord, Payload, Phase
from slipway.journal.writer import JournalWriter


async def main() -> None:
    """Run for ever."""
    writer = JournalWriter(Path(sys.argv[1]) / "w", "w", segment_bytes=128 * 1024)
    writer.start(asyncio.get_running_loop())
    count = 0

    def begin() -> None:
        nonlocal count
        count += 1
        identity = new_id_bytes()
        if count % 4:
            append(identity, "call", lambda: answer(identity))
        else:
            append(identity, "start", lambda: append(identity, "end", lambda: answer(identity)))

    def append(identity: bytes, phase: Phase, durable: object) -> None:
        record = CallRecord(time=time.time(), call_id=identity, root_id=identity, phase=phase)
        payload = Payload(call_id=identity, input=b"x" * 100) if phase != "start" else None
        writer.append(record, payload, durable, begin)  # type: ignore[arg-type]

    def answer(identity: bytes) -> None:
        os.write(1, identity.hex().encode() + b"\n")
        begin()

    for _ in range(16):
        begin()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
