"""A version's queue: its bounds, callers that leave, workers that are lost, replicas that are reserved."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import CallerGone, CapacityError, QueueFull
from slipway.gateway.call import Call
from slipway.routing.reservations import Reserved
from slipway.types import AlgorithmFailure
from slipway.wire.messages import Exited, StartFailed
from tests.unit.gateway.queues import Rig, Worker


def later(seconds: float) -> float:
    return time.monotonic() + seconds


def begun(rig: Rig, worker: Worker, caller: str = "ann") -> Call:
    """A call that the worker is at."""
    call = rig.call(caller)
    worker.accept(call.id)
    return call


def test_a_call_over_the_queue_limit_is_refused_and_does_not_wait() -> None:
    rig = Rig(queue_limit=2)
    waiting = [rig.call(), rig.call()]
    assert isinstance(rig.call().refusal, QueueFull)
    assert list(rig.queue.waiting) == waiting


def test_waiting_bodies_hold_no_more_memory_than_they_may() -> None:
    rig = Rig(limit=1000)
    first, second = rig.call(body=b"x" * 600), rig.call(body=b"x" * 400)
    refused = rig.call(body=b"x")
    assert isinstance(refused.refusal, CapacityError)
    assert refused.refusal.retry_after_seconds
    assert rig.holding.size == 1000
    rig.queue.withdraw(first)
    assert rig.call(body=b"x" * 600).refusal is None
    worker = rig.worker()
    assert worker.calls == [second.id]
    assert rig.holding.size == 600


@given(st.lists(st.tuples(st.sampled_from(["call", "leave", "work", "start", "end", "fail"]), st.integers(0, 400))))
def test_the_bytes_that_wait_are_counted_right_whatever_happens(steps: list[tuple[str, int]]) -> None:
    rig = Rig(limit=1000)
    calls: list[Call] = []
    workers: list[Worker] = []
    for step, number in steps:
        if step == "call":
            calls.append(rig.call(body=b"x" * number))
        elif step == "leave" and calls:
            rig.queue.withdraw(calls[number % len(calls)])
        elif step == "start":
            workers.append(rig.worker())
        elif step == "fail":
            failure = AlgorithmFailure(error_type="LoadingError", message="no")
            rig.queue.start_failed(StartFailed(version_id="", failure=failure, retry_after_seconds=1))
        elif workers and step == "work":
            workers[number % len(workers)].work()
        elif workers and step == "end":
            workers.pop(number % len(workers)).end()
        assert rig.holding.size == sum(len(call.body) for call in rig.queue.waiting) <= 1000 + 400


def test_a_caller_that_leaves_while_it_waits_leaves_the_line() -> None:
    rig = Rig()
    call = rig.call()
    rig.queue.withdraw(call)
    assert isinstance(call.refusal, CallerGone)
    assert not rig.queue.waiting
    assert rig.worker().calls == []


def test_a_worker_has_a_second_for_a_call_whose_caller_has_left() -> None:
    rig = Rig()
    worker = rig.worker()
    call = begun(rig, worker)
    rig.queue.withdraw(call)
    assert isinstance(call.refusal, CallerGone)
    assert worker.cancelled == [call.id]
    rig.queue.sweep(time.monotonic())
    rig.queue.sweep(later(0.9))
    worker.reply(call.id)
    rig.queue.sweep(later(2))
    assert rig.host.discarded == []
    next_one = rig.call()
    assert worker.calls == [next_one.id]


def test_a_worker_that_goes_on_for_longer_is_replaced() -> None:
    rig = Rig()
    worker = rig.worker()
    rig.queue.withdraw(begun(rig, worker))
    rig.queue.sweep(time.monotonic())
    waiting = rig.call()
    assert waiting.id not in worker.calls  # it could wait for long
    rig.queue.sweep(later(1.1))
    assert rig.host.discarded == ["timeout"]
    assert rig.worker().calls == [waiting.id]


def test_a_worker_that_is_also_at_calls_of_others_is_not_ended_for_one_whose_caller_has_left() -> None:
    rig = Rig(concurrency=2)
    worker = rig.worker(concurrency=2)
    gone, other = begun(rig, worker), begun(rig, worker)
    rig.queue.withdraw(gone)
    for seconds in (0.0, 5.0, 10.0):
        rig.queue.sweep(later(seconds))
    assert rig.host.discarded == []
    worker.reply(other.id)
    assert other.result == b"1"
    rig.queue.sweep(later(10))
    rig.queue.sweep(later(12))
    assert rig.host.discarded == ["timeout"]


def test_a_call_that_was_sent_ahead_and_left_is_ended_when_its_worker_begins_it() -> None:
    rig = Rig()
    worker = rig.worker(concurrency=2)
    first, ahead = begun(rig, worker), rig.call()
    assert worker.calls == [first.id, ahead.id]
    rig.queue.withdraw(ahead)
    rig.queue.sweep(later(5))
    rig.queue.sweep(later(7))
    worker.reply(first.id)
    assert rig.host.discarded == []
    worker.accept(ahead.id)
    rig.queue.sweep(later(8))
    rig.queue.sweep(later(10))
    assert rig.host.discarded == ["timeout"]


async def test_a_call_that_no_worker_had_begun_is_tried_once_more() -> None:
    rig = Rig()
    one, two = rig.worker(), rig.worker()
    call = rig.call()
    one.end()
    assert two.calls == [call.id]
    two.end()
    assert isinstance(call.refusal, CapacityError)


async def test_a_call_that_a_worker_had_begun_is_tried_again_only_if_it_is_idempotent() -> None:
    for idempotent in (False, True):
        rig = Rig(idempotent=idempotent)
        one, two = rig.worker(), rig.worker()
        call = begun(rig, one)
        one.end()
        assert two.calls == ([call.id] if idempotent else [])
        if idempotent:
            two.work()
            assert call.result == b"1"
            continue
        failure = AlgorithmFailure(error_type="SystemExit", message="gone")
        rig.queue.exited(Exited(replica=one.replica.id, version_id="", failure=failure))
        assert call.failure == failure


async def test_an_idempotent_call_is_tried_twice_and_no_more_and_not_if_it_has_called_others() -> None:
    rig = Rig(idempotent=True)
    one, two, three = rig.worker(), rig.worker(), rig.worker()
    call = begun(rig, one)
    one.end()
    two.accept(call.id)
    two.end()
    assert three.calls == []
    parent = begun(rig, three)
    parent.children = set()
    three.end()
    assert rig.worker().calls == []


def test_a_result_over_the_limit_is_an_error_of_its_call_and_costs_no_worker() -> None:
    for limit, size in ((1000, 1001), (600_000, 600_001)):
        rig = Rig(reply_limit=limit)
        worker = rig.worker()
        call, fitting = begun(rig, worker), rig.call()
        worker.reply(call.id, b"1" * size)
        assert call.failure is not None
        assert call.failure.error_type == "TooLargeError"
        assert str(limit) in call.failure.message
        worker.accept(fitting.id)
        worker.reply(fitting.id, b"1" * limit)
        assert len(fitting.result) == limit
        assert rig.host.discarded == []


# --- reservations ---------------------------------------------------------------------------------------------------


def test_what_is_reserved_is_wanted_without_any_call_and_given_up_with_the_reservation() -> None:
    rig = Rig(max_replicas=2, idle_seconds=60)
    rig.queue.reserve(Reserved(everyone=3, callers={"ann": 1}))
    assert rig.host.wanted == 4
    rig.queue.sweep(later(1000))
    assert rig.host.wanted == 4
    for _ in range(4):
        rig.worker()
    rig.queue.reserve(Reserved())
    rig.queue.sweep(later(1000))
    assert rig.host.wanted == 0
    assert rig.host.discarded == ["idle"] * 4


def test_others_leave_the_last_replicas_to_the_account_for_which_they_are_reserved() -> None:
    rig = Rig(max_replicas=2)
    rig.queue.reserve(Reserved(callers={"ann": 2}))
    workers = [rig.worker() for _ in range(3)]
    bobs = [rig.call("bob") for _ in range(3)]
    assert [call for worker in workers for call in worker.calls] == [bobs[0].id]
    anns = [rig.call("ann") for _ in range(3)]
    at_work = {call for worker in workers for call in worker.calls}
    assert at_work == {bobs[0].id, anns[0].id, anns[1].id}
    assert list(rig.queue.waiting) == [bobs[1], bobs[2], anns[2]]
    next(worker for worker in workers if anns[0].id in worker.calls).work()
    # Ann has one at work, and two are hers: the one that is free goes to her next, past those who came before.
    assert list(rig.queue.waiting) == [bobs[1], bobs[2]]


@pytest.mark.parametrize("batch", [1, 4])
def test_a_replica_that_somebody_may_take_takes_a_whole_batch_along(batch: int) -> None:
    rig = Rig(max_batch=batch)
    rig.queue.reserve(Reserved(callers={"ann": 1}))
    bobs = [rig.call("bob") for _ in range(4)]
    worker = rig.worker(batch=batch)
    assert worker.calls == []
    ann = rig.call("ann")
    assert worker.calls == [ann.id, *[call.id for call in bobs]][:batch]


def test_others_are_given_replicas_of_their_own_beside_the_reserved_ones() -> None:
    rig = Rig(max_replicas=1)
    rig.queue.reserve(Reserved(callers={"ann": 2}))
    for _ in range(2):
        rig.worker()
    rig.call("bob")
    assert rig.host.wanted == 3
    assert rig.worker().calls


def test_what_loads_is_not_given_up() -> None:
    rig = Rig(max_replicas=4, idle_seconds=1, load_seconds=100)
    worker = rig.worker()
    rig.queue.served(1.0)
    calls = [rig.call() for _ in range(4)]
    assert rig.host.wanted == 4
    for call in calls[1:]:
        rig.queue.withdraw(call)
    worker.work()
    rig.queue.sweep(later(50))
    assert rig.host.wanted == 3  # the one that is there has been idle for long enough
    assert rig.host.discarded == []
    rig.queue.sweep(later(150))  # they should be there by now: the host has no room for them
    assert rig.host.wanted == 0


# --- what goes where ------------------------------------------------------------------------------------------------


@given(
    st.lists(st.one_of(st.just("call"), st.integers(0, 7)), min_size=20, max_size=80),
    st.integers(1, 4),
    st.integers(1, 8),
)
def test_batches_are_never_too_large_keep_the_order_and_nobody_waits_beside_an_idle_replica(
    steps: list[str | int], replicas: int, batch: int
) -> None:
    rig = Rig(max_batch=batch)
    workers = [rig.worker(batch=batch) for _ in range(replicas)]
    sent: list[bytes] = []
    calls = []
    for step in steps:
        before = {worker: list(worker.calls) for worker in workers}
        if step == "call":
            calls.append(rig.call())
        elif isinstance(step, int):
            worker = workers[step % replicas]
            for identity in list(worker.calls):
                worker.accept(identity)
            for identity in list(worker.calls[:]):
                if identity in before[worker]:
                    worker.reply(identity, us=50_000, batch=len(before[worker]))
        for worker in workers:
            sent += [identity for identity in worker.calls if identity not in sent]
            assert len(worker.calls) <= batch
        assert not rig.queue.waiting or all(worker.calls for worker in workers)
    assert sent == [call.id for call in calls][: len(sent)]


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 40))
def test_no_replica_has_more_than_it_takes_and_none_two_more_than_another(
    replicas: int, concurrency: int, calls: int
) -> None:
    rig = Rig(concurrency=concurrency)
    workers = [rig.worker(concurrency=concurrency) for _ in range(replicas)]
    for _ in range(calls):
        rig.call()
        loads = [len(worker.calls) for worker in workers]
        assert max(loads) <= concurrency
        assert max(loads) - min(loads) <= 1
    assert sum(loads) == min(calls, replicas * concurrency)
