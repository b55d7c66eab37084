from __future__ import annotations

from slipway.types import AlgorithmFailure
from slipway.workers.backoff import BackOff
from tests.conditions import eventually

FAILURE = AlgorithmFailure(error_type="LoadingError", message="no model")


def test_pauses_double_up_to_the_last() -> None:
    back_off = BackOff(0.001, 0.005)
    pauses = []
    for _ in range(5):
        pauses.append(round(back_off.failed("v", FAILURE), 4))
        eventually(lambda: not back_off.remaining("v"))

    assert pauses == [0.001, 0.002, 0.004, 0.005, 0.005]


def test_failures_of_one_attempt_count_once() -> None:
    back_off = BackOff(10, 100)
    first = back_off.failed("v", FAILURE)

    assert first == 10
    assert 9 < back_off.failed("v", FAILURE) <= 10
    assert back_off.last_failure("v") == FAILURE


def test_success_forgets_and_versions_are_apart() -> None:
    back_off = BackOff(10, 100)
    back_off.failed("v", FAILURE)
    assert not back_off.remaining("w")

    back_off.worked("v")

    assert not back_off.remaining("v")
    assert back_off.last_failure("v") is None
