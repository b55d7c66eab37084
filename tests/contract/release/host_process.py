"""A host by itself: `python -m tests.contract.release.host_process DATA`."""

from __future__ import annotations

import asyncio
import sys

from slipway.settings import Settings
from slipway.workers.host import run

if __name__ == "__main__":
    asyncio.run(run(Settings(data=sys.argv[1]), lambda *_: None))
