"""What the tests of this folder share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.release.wheels import make_wheel
from tests.contract.release.workshop import Workshop, open_workshop


@pytest.fixture
def wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel folder; uv's cache is the test's own."""
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv cache"))
    folder = tmp_path / "wheel folder"
    make_wheel(folder, "greeting", "1.0")
    make_wheel(folder, "greeting", "2.0")
    make_wheel(folder, "picky", "1.0", requires=["greeting<2"])
    return folder


@pytest.fixture
async def workshop(tmp_path: Path, wheels: Path) -> AsyncIterator[Workshop]:
    """A workshop below a path with spaces that holds the algorithm `ann/echo`."""
    async with open_workshop(tmp_path / "the data", find_links=str(wheels)) as opened:
        await opened.algorithm()
        yield opened
