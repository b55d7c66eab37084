"""Descriptors that pretend to tell of refused system calls."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from slipway.workers.sandbox.refusals import Refusals


@pytest.mark.parametrize("kind", ["pipe", "closed pipe", "file"])
def test_what_is_no_listener_is_let_go(tmp_path: Path, kind: str) -> None:
    async def listen() -> None:
        refusals = Refusals(lambda *_: None)
        if kind == "file":
            (tmp_path / "file").write_text("x")
            descriptor, other = os.open(tmp_path / "file", os.O_RDONLY), -1
        else:
            descriptor, other = os.pipe()
            os.write(other, b"x" * 200)
            if kind == "closed pipe":
                os.close(other)
        refusals.listen("replica", descriptor)
        async with asyncio.timeout(10.0):
            while refusals._listeners:
                await asyncio.sleep(0)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
        if kind == "pipe":
            os.close(other)

    asyncio.run(listen())
