from __future__ import annotations

from pathlib import Path

import pytest

import slipway
import slipway.sdk


def test_errors_carry_the_common_apis_types() -> None:
    assert issubclass(slipway.InputError, slipway.AlgorithmError)
    assert [error.error_type for error in (slipway.AlgorithmError, slipway.InputError, slipway.UnsupportedError)] == [
        "AlgorithmError",
        "InputError",
        "UnsupportedError",
    ]


def test_a_model_is_found_in_the_versions_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_MODELS", str(tmp_path))
    (tmp_path / "words").touch()

    assert slipway.model("words") == str(tmp_path / "words")


def test_a_model_that_is_missing_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_MODELS", str(tmp_path))

    with pytest.raises(FileNotFoundError, match=f"no model 'words' in {tmp_path}"):
        slipway.model("words")


def test_outside_the_platform_models_lie_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLIPWAY_MODELS", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("words").touch()

    assert slipway.model("words") == "words"
