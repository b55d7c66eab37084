from __future__ import annotations

import threading

from slipway.workers.runtimes.python.output import FLUSH_AT, CallOutput


def collected() -> tuple[CallOutput, list[str]]:
    """An output that has loaded, and what it emits."""
    emitted: list[str] = []
    output = CallOutput(emitted.append, 1)
    output.flush_at = FLUSH_AT
    return output, emitted


def test_short_output_is_emitted_when_the_call_ends() -> None:
    output, emitted = collected()
    print("hello", 1, file=output)
    assert emitted == []

    output.next_call()

    assert emitted == ["hello 1\n"]


def test_long_output_is_emitted_in_between() -> None:
    output, emitted = collected()
    print("x" * (FLUSH_AT + 1), file=output, end="")

    assert emitted == ["x" * (FLUSH_AT + 1)]


def test_another_threads_output_is_emitted_by_the_first() -> None:
    output, emitted = collected()
    thread = threading.Thread(target=lambda: print("x" * FLUSH_AT * 2, file=output))
    thread.start()
    thread.join()
    assert emitted == []

    output.next_call()

    assert len(emitted[0]) == FLUSH_AT * 2 + 1


def test_output_is_limited_for_each_call_anew() -> None:
    output, emitted = collected()
    for _ in range(2):
        for _ in range(100):
            print("x" * 4096, file=output)
        output.next_call()

    whole = "".join(emitted)
    assert whole.count("[output truncated]") == 2
    assert len(whole) < 2 * (256 * 1024 + 30)
