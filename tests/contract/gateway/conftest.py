from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway.testing import Platform

SOURCE = """
import os, sys, time

def apply(input):
    kind = input.get("do") if isinstance(input, dict) else None
    if kind == "sleep":
        if "mark" in input:
            open(input["mark"], "w").close()
        time.sleep(input["seconds"])
    elif kind == "raise":
        raise ValueError("no")
    elif kind == "kill":
        os._exit(9)
    elif kind == "print":
        print("seen")
    elif kind == "memory":
        return len(bytearray(2 * 1024 * 1024 * 1024))
    elif kind == "bytes":
        return b"\\x00\\x01"
    elif kind == "pid":
        return os.getpid()
    return input
"""


class Deployed:
    """A platform with the algorithm `ann/probe`, published privately as 0.1.0."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.key = platform.account("ann")
        self.stranger = platform.account("bob")
        self.commit = platform.deploy("ann", "probe", self.key, SOURCE, resources='memory = "512 MiB"')
        platform.publish("ann", "probe", self.key)
        self.url = f"{platform.url}/v1/algo/ann/probe"


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    data: Path = tmp_path_factory.mktemp("platform") / "data"
    # Some of its calls leave marks in files of the tests: hence no sandboxes here.
    with Platform(data, sandbox="none", cors_origins="https://shop.example", body_limit_bytes=1_000_000) as platform:
        yield Deployed(platform)
