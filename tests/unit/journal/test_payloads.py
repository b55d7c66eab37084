from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from slipway.journal.format import payload_path
from slipway.journal.payloads import Payloads, find_payload
from slipway.journal.policy import PayloadPolicy
from slipway.journal.reader import read_all
from slipway.journal.records import CallRecord, Payload
from tests.unit.journal.journals import append, call, names, open_writer, problems, segment, write


async def test_payloads_are_found_beside_their_records(tmp_path: Path) -> None:
    await write(tmp_path, [call(number) for number in range(200)], segment_bytes=16_384)
    payloads = Payloads(tmp_path)

    found = [(entry.record, payloads.find(entry)) for entry in read_all(tmp_path)]

    for record, payload in found:
        assert isinstance(record, CallRecord)
        assert payload is not None
        assert (payload.input, payload.result, payload.stdout) == (record.algorithm.encode(), b"r", b"printed")
        assert record.input_digest == sha256(payload.salt + record.algorithm.encode()).digest()
        assert record.result_digest == sha256(payload.salt + b"r").digest()
        assert find_payload(tmp_path, record.call_id) == payload


async def test_payloads_are_found_in_any_order_and_in_a_journal_that_grows(tmp_path: Path) -> None:
    await write(tmp_path, [call(1), call(2)])
    payloads = Payloads(tmp_path)
    first, second = read_all(tmp_path)
    assert payloads.find(second) is not None
    assert payloads.find(first) is not None

    await write(tmp_path, [call(3)])

    third = list(read_all(tmp_path))[2]
    found = payloads.find(third)
    assert found is not None
    assert found.input == b"ann/a3"


async def test_erased_payloads_leave_the_chain_whole(tmp_path: Path) -> None:
    await write(tmp_path, [call(1)])
    payload_path(segment(tmp_path)).unlink()

    assert names(tmp_path) == ["ann/a1"]
    assert problems(tmp_path) == []
    assert [Payloads(tmp_path).find(entry) for entry in read_all(tmp_path)] == [None]


async def test_a_payload_that_is_damaged_does_not_hide_the_others(tmp_path: Path) -> None:
    await write(tmp_path, [call(1), call(2), call(3)])
    path = payload_path(segment(tmp_path))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"ann/a2", b"ann/aX"))
    payloads = Payloads(tmp_path)

    found = [payloads.find(entry) for entry in read_all(tmp_path)]

    assert [payload and payload.input for payload in found] == [b"ann/a1", None, b"ann/a3"]


async def test_a_call_and_its_payload_may_be_missing_from_a_frame(tmp_path: Path) -> None:
    writer = open_writer(tmp_path)
    await append(writer, call(1))
    second = call(2)
    await append(writer, second, Payload(call_id=second.call_id, input=b"i"))
    writer.close()
    payloads = Payloads(tmp_path)

    found = [payloads.find(entry) for entry in read_all(tmp_path)]

    assert [payload and payload.input for payload in found] == [None, b"i"]
    assert find_payload(tmp_path, b"no such call") is None


def test_long_inputs_and_results_are_kept_as_digests_only_each_by_itself() -> None:
    record, payload = call(1), Payload(call_id=b"c", input=b"12345", result=b"123", stdout=b"123456")

    kept = PayloadPolicy("full", limit_bytes=4).seal(record, payload, b"s" * 16)

    assert kept is not None
    assert (kept.input, kept.result, kept.stdout) == (None, b"123", b"1234")
    assert record.input_digest == sha256(b"s" * 16 + b"12345").digest()
    assert record.result_digest == sha256(b"s" * 16 + b"123").digest()


@pytest.mark.parametrize(
    ("name", "rate", "kept"), [("digest", 1.0, False), ("sample", 0.0, False), ("sample", 1.0, True)]
)
def test_the_policy_says_whose_payloads_are_kept(name: str, rate: float, kept: bool) -> None:
    record, payload = call(1), Payload(call_id=b"c", input=b"i", result=b"r", stdout=b"o")

    sealed = PayloadPolicy(name, sample_rate=rate).seal(record, payload, b"s" * 16)  # type: ignore[arg-type]

    assert sealed is not None
    assert (sealed.input, sealed.result, sealed.stdout) == ((b"i", b"r", b"o") if kept else (None, None, b""))
    assert sealed.salt == b"s" * 16
    assert len(record.input_digest) == len(record.result_digest) == 32


def test_the_policy_none_keeps_not_even_digests() -> None:
    record = call(1)

    assert PayloadPolicy("none").seal(record, Payload(call_id=b"c", input=b"i"), b"s" * 16) is None
    assert record.input_digest == b""
