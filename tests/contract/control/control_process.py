"""Control by itself: `python -m tests.contract.control.control_process DATA [SETTING=VALUE …]`."""

from __future__ import annotations

import logging
import sys

import uvloop

from slipway.control.app import run
from slipway.settings import load_settings

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    options = dict(option.split("=", 1) for option in sys.argv[2:])
    uvloop.run(run(load_settings({"data": sys.argv[1], **options}, {})))
