"""Manifests that deployments write, and objects that they carry."""

from __future__ import annotations

import runpy
import tomllib
from pathlib import Path
from typing import Any

import pytest

from slipway.connection import ClientError
from slipway.deployment import model_files, pickled

MODELS = {"a b.bin": ("data://ann/x/a-1.bin", "0" * 64)}


def test_the_least_manifest_names_the_algorithm_its_sample_and_its_models() -> None:
    found = tomllib.loads(model_files.manifest("", "echo", MODELS, {"a": [1, "ü", True]}))
    assert found["algorithm"] == {"name": "echo", "sample_input": {"a": [1, "ü", True]}}
    assert found["models"] == {"a b.bin": {"source": "data://ann/x/a-1.bin", "sha256": "0" * 64}}


def test_what_toml_cannot_say_is_left_out() -> None:
    assert "sample_input" not in model_files.manifest("", "echo", {}, [None])


def test_what_the_author_wrote_stays() -> None:
    given = '[algorithm]\nname = "mine"\n[models."a b.bin"]\nsource = "file.bin"\n'
    assert tomllib.loads(model_files.manifest(given, "echo", MODELS)) == tomllib.loads(given)


def test_an_authors_broken_manifest_is_an_error() -> None:
    with pytest.raises(ClientError, match=r"slipway\.toml"):
        model_files.manifest("[algorithm", "echo", {})


def test_content_is_part_of_a_models_address(tmp_path: Path) -> None:
    (tmp_path / "m.joblib").write_bytes(b"one")
    [first] = model_files.find_model_files(["m.joblib"], tmp_path, [])
    (tmp_path / "m.joblib").write_bytes(b"two")
    [second] = model_files.find_model_files(["m.joblib"], tmp_path, [])
    assert first.address("data://ann/x") != second.address("data://ann/x")
    assert first.address("data://ann/x").startswith("data://ann/x/m-")
    assert first.address("data://ann/x").endswith(".joblib")


def served(directory: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The module that a pickle's source makes, loaded."""
    monkeypatch.setenv("SLIPWAY_MODELS", str(directory))
    module = runpy.run_path(str(directory / "model.py"))
    module["load"]()
    return module


def test_a_fitted_model_answers_one_row_or_many_and_pins_what_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = pytest.importorskip("sklearn.linear_model").LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0])
    made = pickled.write(fitted, tmp_path, None)
    apply = served(tmp_path, monkeypatch)["apply"]
    assert apply([3.0]) == pytest.approx(6.0)
    assert list(apply([[3.0], [4.0]])) == pytest.approx([6.0, 8.0])
    pins = made.requirements.read_text().splitlines()
    assert {pin.partition("==")[0] for pin in pins} >= {"joblib", "numpy", "scikit-learn"}
    assert all("==" in pin for pin in pins)


def test_a_function_of_a_module_is_called_with_the_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = pickled.write(str.upper, tmp_path, None)
    assert served(tmp_path, monkeypatch)["apply"]("quiet") == "QUIET"
    assert made.requirements.read_text() == ""


def test_what_can_answer_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(pickled.CannotPickle, match="predict"):
        pickled.write(object(), tmp_path, None)


class Local:
    """A class that only the notebook has."""

    def predict(self, rows: list[int]) -> list[int]:
        """The rows."""
        return rows


def test_code_of_the_notebook_is_refused_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import __main__

    monkeypatch.setattr(Local, "__module__", "__main__")
    monkeypatch.setattr(__main__, "Local", Local, raising=False)
    with pytest.raises(pickled.CannotPickle, match="put it into a file"):
        pickled.write(Local(), tmp_path, None)
