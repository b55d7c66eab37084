"""A host by itself, on the platform's loop: `python -m tests.contract.workers.host_process DATA OPTIONS` (JSON)."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import uvloop

from slipway.settings import Settings
from slipway.workers.host import run
from slipway.workers.sandbox import levels


def main() -> None:
    """Serve; what happens is appended to DATA/events."""
    settings = Settings(data=sys.argv[1], **json.loads(sys.argv[2]))
    level = levels.choose(settings.sandbox)
    levels.prepare(level)
    with (Path(sys.argv[1]) / "events").open("a", buffering=1) as events:

        def on_event(*event: object) -> None:
            events.write(json.dumps(event) + "\n")

        uvloop.run(run(settings, level, on_event))


if __name__ == "__main__":
    main()
