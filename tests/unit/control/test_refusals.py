"""Refusals before authentication are counted."""

from __future__ import annotations

from slipway.control.context import Context
from slipway.control.refusals import Refusals
from slipway.journal.reader import read_all
from slipway.journal.records import EventRecord, new_event


async def test_they_become_one_event_for_each_place_with_their_number(context: Context) -> None:
    refusals = Refusals(context.journal)
    for place in ("/v1/users", "/v1/users", "/v1/status"):
        refusals.count(place)
    refusals.flush()
    refusals.flush()
    await context.journal.write(new_event("", "end", "", "done", {}))
    events = [entry.record for entry in read_all(context.settings.journal_directory)]
    counted = {e.resource: e.detail["count"] for e in events if isinstance(e, EventRecord) and e.outcome == "refused"}
    assert counted == {"/v1/users": "2", "/v1/status": "1"}


async def test_a_flood_of_places_is_bounded(context: Context) -> None:
    refusals = Refusals(context.journal)
    for number in range(500):
        refusals.count(f"/{number}")
    assert len(refusals._counted) <= 101
    refusals.flush()
