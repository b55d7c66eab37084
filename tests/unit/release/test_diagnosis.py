"""One line that says what to do."""

from __future__ import annotations

import pytest

from slipway.release.diagnosis import explain_check, explain_import, explain_uv
from slipway.types import AlgorithmFailure

TRACE = """Traceback (most recent call last):
  File "/data/versions/1/src/echo.py", line 7, in load
    model = joblib.load("x")
  File "/envs/1/lib/joblib/numpy_pickle.py", line 650, in load
    with open(filename, "rb") as f:
FileNotFoundError: [Errno 2] No such file or directory: 'x'
"""


@pytest.mark.parametrize(
    ("module", "distribution"),
    [
        ("sklearn", "scikit-learn"),
        ("cv2", "opencv-python-headless"),
        ("yaml", "PyYAML"),
        ("PIL.Image", "Pillow"),
        ("a.b", "a"),
    ],
)
def test_a_missing_module_names_its_distribution(module: str, distribution: str) -> None:
    assert explain_import(module) == f"No module named {module!r}: add {distribution} to requirements.txt"


def test_a_load_that_fails_is_told_with_the_authors_own_line() -> None:
    failure = AlgorithmFailure(error_type="LoadingError", message="no file", stack_trace=TRACE)
    assert explain_check(failure, "/data/versions/1", sampled=False) == (
        "it does not load: FileNotFoundError: [Errno 2] No such file or directory: 'x' (src/echo.py line 7)"
    )


def test_a_failure_without_a_trace_is_told_with_its_type() -> None:
    failure = AlgorithmFailure(error_type="OutOfMemoryError", message="the worker passed\nits limit")
    told = explain_check(failure, "/data/versions/1", sampled=True)
    assert told == "the sample input is answered with OutOfMemoryError: the worker passed its limit"


def test_uvs_words_are_condensed() -> None:
    lines = [
        "  x No solution found when resolving dependencies:",
        "  ╰─▶ Because a depends on b<2 and you require b>=2, we can",
    ]
    lines[-1] += " conclude that your requirements are unsatisfiable."
    assert explain_uv(lines, "the requirements cannot be met") == (
        "the requirements cannot be met: a depends on b<2 and requirements.txt asks for b>=2"
    )


def test_other_words_are_passed_on() -> None:
    lines = ["error: Failed to fetch: `https://example.com/simple/six/`", "  cause: connection refused"]
    told = explain_uv(lines, "the requirements cannot be met")
    assert told.endswith("Failed to fetch: `https://example.com/simple/six/`; connection refused")
    assert explain_uv([], "it failed") == "it failed"
