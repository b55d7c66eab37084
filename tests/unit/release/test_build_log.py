"""Logs that are read while they grow."""

from __future__ import annotations

import asyncio
from pathlib import Path

from slipway.release.build_log import BuildLog, read_log


async def test_every_follower_sees_every_line_once(tmp_path: Path) -> None:
    log = BuildLog(tmp_path / "logs" / "1.log")

    async def follow() -> list[str]:
        return [line async for line in log.follow()]

    followers = [asyncio.create_task(follow()) for _ in range(3)]
    for number in range(100):
        log.write(f"line {number}")
        await asyncio.sleep(0)
    log.end()
    expected = [f"line {number}" for number in range(100)]
    assert await asyncio.gather(*followers) == [expected] * 3
    assert read_log(log.path).splitlines() == expected


async def test_a_log_without_a_line_ends_too(tmp_path: Path) -> None:
    log = BuildLog(tmp_path / "1.log")
    log.end()
    assert [line async for line in log.follow()] == []


async def test_a_runaway_build_is_cut_short_and_says_so(tmp_path: Path) -> None:
    log = BuildLog(tmp_path / "1.log")
    for _ in range(10):
        log.write("x" * (1 << 20))
    lines = read_log(log.path).splitlines()
    assert lines[-1].startswith("[the log is longer than 8 MiB")
    assert len(lines) == 8
    log.conclude("failed")
    assert read_log(log.path).splitlines()[-2:] == [lines[-1], "failed"]


async def test_a_line_is_never_cut_where_it_is_read_in_pieces(tmp_path: Path) -> None:
    log = BuildLog(tmp_path / "1.log")
    text = "ä" * 100_000
    log.write(f"{text}\nend")
    log.end()
    assert [line async for line in log.follow()] == [text, "end"]
