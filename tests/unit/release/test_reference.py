"""The reference page of slipway.toml names every key, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from slipway.errors import BuildFailed
from slipway.release.manifest import read_manifest
from slipway.release.sections import LATER_KEYS, LATER_SECTIONS, SECTIONS, ModelSection
from slipway.settings import Settings

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "slipway-toml.md"
ALL: dict[str, type[msgspec.Struct]] = {**SECTIONS, "models.NAME": ModelSection}


def documented(section: str) -> list[str]:
    """The keys in a section's table."""
    part = PAGE.read_text().split(f"\n## [{section}]\n")[1].split("\n## ")[0]
    return re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE)


@pytest.mark.parametrize("section", list(ALL))
def test_every_key_is_documented_in_order(section: str) -> None:
    assert documented(section) == [field.name for field in msgspec.structs.fields(ALL[section])]


def test_what_is_refused_for_now_is_named() -> None:
    later = PAGE.read_text().split("\n## Not yet\n")[1]
    for name in (*LATER_SECTIONS, *(key for keys in LATER_KEYS.values() for key in keys)):
        assert re.search(rf"`\[*{name}\]*`", later), name


def test_the_pages_example_is_valid(tmp_path: Path) -> None:
    (tmp_path / "slipway.toml").write_text(PAGE.read_text().split("```toml\n")[1].split("```")[0])
    with pytest.raises(BuildFailed, match=r"the repository has no src/movie_review_sentiment\.py"):
        read_manifest(tmp_path, "movie_review_sentiment", Settings())
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "movie_review_sentiment.py").touch()
    assert read_manifest(tmp_path, "movie_review_sentiment", Settings()).models
