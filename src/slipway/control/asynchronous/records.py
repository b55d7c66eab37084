"""An asynchronous call in the journal: its start when it is taken, its end once it has an outcome."""

from __future__ import annotations

import time

from slipway.ids import id_bytes
from slipway.journal.records import CallRecord, Payload, Phase
from slipway.types import AsyncCall, Outcome

WRITER = "async"  # the name of the journal


def start_record(call: AsyncCall) -> CallRecord:
    """It was taken."""
    return _record(call, "start")


def end_record(call: AsyncCall, outcome: Outcome) -> CallRecord:
    """It has its outcome."""
    record = _record(call, "end")
    record.status = outcome.status
    record.error_type = outcome.failure.error_type if outcome.failure else ""
    record.replica, record.cold_start = outcome.replica, outcome.cold_start
    record.duration_us, record.queue_us, record.cpu_us = outcome.duration_us, outcome.queue_us, outcome.cpu_us
    record.result_size, record.result_type = outcome.result_size, outcome.result_type
    return record


def start_payload(call: AsyncCall, body: bytes) -> Payload:
    """What it was given."""
    return Payload(call_id=id_bytes(call.request_id), input=body)


def end_payload(call: AsyncCall, outcome: Outcome, result: bytes) -> Payload:
    """What it answered: of a failed call, the error's message."""
    if outcome.failure is not None:
        result = outcome.failure.message.encode("utf-8", "replace")
    return Payload(call_id=id_bytes(call.request_id), result=result, stdout=outcome.printed)


def _record(call: AsyncCall, phase: Phase) -> CallRecord:
    identity = id_bytes(call.request_id)
    return CallRecord(
        time=time.time(),
        call_id=identity,
        root_id=id_bytes(call.root_id) if call.root_id else identity,
        parent_id=id_bytes(call.parent_id) if call.parent_id else b"",
        phase=phase,
        caller=call.caller,
        origin=call.origin or call.caller,
        key_id=call.key_id,
        algorithm=call.algorithm,
        version=call.version,
        version_id=call.version_id,
        input_size=call.input_size,
        input_type=call.content_type,
        gateway=call.gateway,
        job=True,
    )
