from __future__ import annotations

import pytest

from slipway.workers.ends import explain
from slipway.workers.processes import WorkerProcess

LIMIT = 100 * 2**20


def ended(status: int, peak_bytes: int = 0) -> WorkerProcess:
    """A process that ended so."""
    process = WorkerProcess(lambda: None)
    process.status, process.peak_bytes = status, peak_bytes
    return process


@pytest.mark.parametrize(
    ("status", "peak", "kind", "message"),
    [
        (3 << 8, 0, "SystemExit", "the worker exited with status 3"),
        (9, 0, "SystemExit", "the worker exited with signal 9 (SIGKILL)"),
        (9, LIMIT, "OutOfMemoryError", f"the worker passed its memory limit of {LIMIT} bytes"),
        (6, LIMIT, "OutOfMemoryError", f"the worker passed its memory limit of {LIMIT} bytes"),
        (15, LIMIT, "SystemExit", "the worker exited with signal 15 (SIGTERM)"),
        (137 << 8, 0, "OutOfMemoryError", f"the worker passed its memory limit of {LIMIT} bytes"),
        (41, 0, "SystemExit", "the worker exited with signal 41"),
    ],
)
def test_an_exit_is_told_in_the_common_apis_words(status: int, peak: int, kind: str, message: str) -> None:
    failure = explain(ended(status, peak), LIMIT)

    assert (failure.error_type, failure.message) == (kind, message)
