"""Turns outcomes into journal records, and lets replies go once these are on disk."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

from slipway.gateway.admission import Admitted
from slipway.gateway.call import Call, Stream
from slipway.ids import new_id_bytes
from slipway.journal.parts import Parts
from slipway.journal.records import CallRecord, EventRecord, Payload, Phase
from slipway.journal.writer import JournalWriter

_COUNT_SECONDS = 1.0

Done = Callable[[], None]


class Recorder:
    """The only user of the gateway's journal."""

    def __init__(self, journal: JournalWriter, gateway: str) -> None:
        self._journal, self.gateway = journal, gateway
        self._refused: Counter[str] = Counter()

    @property
    def healthy(self) -> bool:
        """Whether calls can be recorded: they are refused before they start while the disk is full."""
        return self._journal.healthy

    def record(self, call: Call, admitted: Admitted, phase: Phase, durable: Done, failed: Done) -> None:
        """Record a call that was admitted; `durable` is called once the record is on disk."""
        failure, refusal, place = call.failure, call.refusal, call.place
        record: CallRecord = admitted.record.__copy__()  # type: ignore[attr-defined]
        record.time = time.time()
        record.call_id = record.root_id = call.id
        record.phase = phase
        record.replica, record.cold_start = call.replica_id, call.cold_start
        record.duration_us, record.queue_us, record.cpu_us = call.duration_us, call.queue_us, call.cpu_us
        record.input_size, record.input_type = len(call.body), call.content_type
        if call.result:
            record.result_size, record.result_type = len(call.result), call.result_type
        if place is not None:
            record.root_id, record.parent_id, record.origin = place.root_id, place.parent_id, place.origin
        if failure is not None:
            record.error_type = failure.error_type
        elif refusal is not None:
            record.status, record.error_type = refusal.status, refusal.error_type
        payload = None if phase == "start" else _payload(call)
        if call.stream is not None and payload is not None:
            _tell_items(call, call.stream, record, payload)
        self._journal.append(record, payload, durable, failed)

    def parts(self) -> Parts:
        """For what is to be kept of a call's items."""
        return self._journal.parts()

    def refused(
        self, caller: str, key_id: str, algorithm: str, status: int, error_type: str, durable: Done, known: bytes = b""
    ) -> bytes:
        """Record a request that was refused after authentication; returns its id, a new one unless it is `known`."""
        identity = known or new_id_bytes()
        record = CallRecord(
            time=time.time(),
            call_id=identity,
            root_id=identity,
            phase="call",
            caller=caller,
            origin=caller,
            key_id=key_id,
            algorithm=algorithm,
            status=status,
            error_type=error_type,
            gateway=self.gateway,
        )
        self._journal.append(record, None, durable, durable)
        return identity

    def count_unauthenticated(self, resource: str) -> None:
        """Before authentication nobody is named: refusals are counted, one event a second and algorithm."""
        if not self._refused:
            asyncio.get_running_loop().call_later(_COUNT_SECONDS, self._flush)
        self._refused[resource if len(self._refused) < 100 else "others"] += 1

    def _flush(self) -> None:
        refused, self._refused = self._refused, Counter()
        for resource, count in refused.items():
            event = EventRecord(
                time=time.time(),
                event_id=new_id_bytes(),
                actor="",
                verb="authenticate",
                resource=resource,
                outcome="refused",
                detail={"count": str(count)},
            )
            self._journal.append(event, None, _nothing, _nothing)


def _payload(call: Call) -> Payload:
    result = call.result
    if call.failure is not None:
        result = call.failure.message.encode("utf-8", "replace")
    return Payload(call_id=call.id, input=call.body, result=result, stdout=call.output)


def _tell_items(call: Call, stream: Stream, record: CallRecord, payload: Payload) -> None:
    """What its items came to, in place of a result; a failed call's message stays."""
    if stream.kept is None or not stream.kept.count:
        return
    record.result_size, record.result_type = stream.kept.size, "json"
    if call.failure is None:
        stream.kept.put(record, payload)


def _nothing() -> None:
    pass
