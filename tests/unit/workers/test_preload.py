from __future__ import annotations

from pathlib import Path

from slipway.workers.preload import known_modules, remember_modules


def test_modules_are_kept_in_the_order_of_their_import(tmp_path: Path) -> None:
    remember_modules(tmp_path, "digest", ["numpy", "scipy"])

    assert remember_modules(tmp_path, "digest", ["scipy", "sklearn"]) == ["numpy", "scipy", "sklearn"]
    assert known_modules(tmp_path, "digest") == ["numpy", "scipy", "sklearn"]
    assert [path.name for path in tmp_path.iterdir()] == ["digest.preload"]


def test_a_damaged_list_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "digest.preload").write_text("{")

    assert known_modules(tmp_path, "digest") == []


def test_a_list_that_cannot_be_kept_is_used_all_the_same(tmp_path: Path) -> None:
    assert remember_modules(tmp_path / "missing", "digest", ["numpy"]) == ["numpy"]
