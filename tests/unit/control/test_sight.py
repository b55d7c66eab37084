"""Who sees which records."""

from __future__ import annotations

import time
from typing import Any

import pytest

from slipway.control.reading import Visibility, own
from slipway.ids import new_id_bytes
from slipway.journal.records import CallRecord, EventRecord
from tests.factories import make_account

ANN, ADMIN = make_account("ann"), make_account("root", admin=True)
NOTHING, RECORD, ALL = Visibility(False), Visibility(True), Visibility(True, True)


def call(**fields: Any) -> CallRecord:
    """A call."""
    identity = new_id_bytes()
    return CallRecord(time=time.time(), call_id=identity, root_id=identity, **fields)


def event(**fields: Any) -> EventRecord:
    """An event."""
    return EventRecord(time=time.time(), event_id=new_id_bytes(), verb="x", **fields)


@pytest.mark.parametrize(
    ("record", "seen"),
    [
        (call(caller="bob", algorithm="ann/echo"), ALL),
        (call(caller="ann", algorithm="bob/echo"), RECORD),
        (call(caller="bob", origin="ann", algorithm="carl/echo"), RECORD),
        (call(caller="bob", algorithm="anna/echo"), NOTHING),
        (event(actor="ann", resource="bob/echo"), RECORD),
        (event(actor="root", resource="ann/echo"), RECORD),
        (event(actor="root", resource="ann"), RECORD),
        (event(actor="root", resource="data://ann/files/one"), RECORD),
        (event(actor="", resource="/v1/users"), NOTHING),
    ],
)
def test_one_sees_what_one_did_and_what_concerns_ones_own(record: CallRecord | EventRecord, seen: Visibility) -> None:
    assert (own(ANN)(record).record, own(ANN)(record).record and own(ANN)(record).printed) == (
        seen.record,
        seen.printed,
    )
    assert own(ADMIN)(record) == ALL
