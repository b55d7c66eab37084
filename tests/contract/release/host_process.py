"""A host by itself: `python -m tests.contract.release.host_process DATA`."""

from __future__ import annotations

import asyncio
import sys

from slipway.settings import Settings
from slipway.workers.host import run
from slipway.workers.sandbox import levels

if __name__ == "__main__":
    level = levels.choose("auto")
    levels.prepare(level)
    asyncio.run(run(Settings(data=sys.argv[1]), level, lambda *_: None))
