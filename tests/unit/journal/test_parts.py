from __future__ import annotations

from hashlib import sha256

import pytest

from slipway.ids import new_id_bytes
from slipway.journal.parts import Parts
from slipway.journal.policy import PayloadPolicy, PolicyName
from slipway.journal.records import CallRecord, Payload

ITEMS = [b'"one"', b"2", b'{"three":3}']
ARRAY = b'["one",2,{"three":3}]'


def sealed(policy: PayloadPolicy, parts: Parts) -> tuple[CallRecord, Payload | None]:
    """A call's record and payload as the writer leaves them."""
    identity = new_id_bytes()
    record = CallRecord(time=1.0, call_id=identity, root_id=identity)
    payload = Payload(call_id=identity, input=b"in", result=b"")
    parts.put(record, payload)
    return record, policy.seal(record, payload, b"another salt")


def filled(policy: PayloadPolicy) -> Parts:
    """All items, one by one."""
    parts = policy.parts()
    for item in ITEMS:
        parts.add(item, len(item))
    return parts


@pytest.mark.parametrize(("limit", "kept"), [(len(ARRAY), ARRAY), (len(ARRAY) - 1, None), (10, None)])
def test_the_array_is_kept_up_to_the_limit_and_its_digest_always(limit: int, kept: bytes | None) -> None:
    policy = PayloadPolicy("full", limit)
    record, payload = sealed(policy, filled(policy))
    assert payload is not None
    assert (payload.input, payload.result) == (b"in", kept)
    assert record.result_digest == sha256(payload.salt + ARRAY).digest()
    assert record.input_digest == sha256(payload.salt + b"in").digest()


@pytest.mark.parametrize(("name", "has_digest"), [("none", False), ("digest", True)])
def test_a_policy_that_keeps_no_payload_keeps_no_part(name: PolicyName, has_digest: bool) -> None:
    policy = PayloadPolicy(name, 4096)
    parts = filled(policy)
    record, payload = sealed(policy, parts)
    assert parts.array() is None
    assert bool(record.result_digest) is has_digest
    assert payload is None or payload.result is None


def test_sizes_are_counted_whatever_is_kept() -> None:
    parts = Parts(None)
    parts.add(b'"AAE="', 2)
    parts.add(b"null", 4)
    assert (parts.count, parts.size) == (2, 6)


def test_no_more_than_the_limit_is_ever_held() -> None:
    parts = Parts(100)
    parts.add(b"x" * 1000, 1000)
    assert parts.array() is None
    parts.add(b"1", 1)
    assert parts.array() is None
