"""Reservations of replicas. The gateways follow them with the routes, and keep what is reserved."""

from __future__ import annotations

import time
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from slipway.access.principals import Principal
from slipway.control.authentication import administrator
from slipway.control.context import Ctx
from slipway.control.rendering import utc
from slipway.ids import new_id
from slipway.registry import accounts, algorithms, reservations, versions
from slipway.types import Reservation

router = APIRouter(prefix="/v1/admin/reservations", tags=["reservations"])


class NewReservation(BaseModel):
    """Replicas to keep for an algorithm; `calling_user`: for that account's calls."""

    username: str  # the algorithm's owner
    algoname: str
    num_slots: Annotated[int, Field(ge=1, le=10_000)]
    calling_user: str | None = None
    version_type: Literal["latest", "latestPrivate", "exact"] | None = None
    version_identifier: str | None = None  # a commit hash or semantic version; it must be one of the algorithm's


@router.get("")
async def list_reservations(context: Ctx, principal: Principal = administrator()) -> list[dict[str, Any]]:
    """All reservations."""
    async with context.store.read() as connection:
        return [_render(found) for found in await reservations.list_all(connection)]


@router.post("", status_code=201)
async def reserve(body: NewReservation, context: Ctx, principal: Principal = administrator()) -> dict[str, Any]:
    """Keep a reservation."""
    async with context.store.begin() as connection:
        algorithm = await algorithms.get(connection, body.username, body.algoname)
        if body.calling_user:
            await accounts.get(connection, body.calling_user)
        if body.version_identifier:
            await versions.get(connection, algorithm.id, body.version_identifier)
        reservation = Reservation(
            id=new_id(),
            algorithm_id=algorithm.id,
            owner=algorithm.owner,
            algorithm=algorithm.name,
            calling_user=body.calling_user or "",
            version_type=body.version_type or ("exact" if body.version_identifier else "latest"),
            version_identifier=body.version_identifier or "",
            num_slots=body.num_slots,
            created_at=time.time(),
        )
        await reservations.add(connection, reservation)
    resource = f"{algorithm.owner}/{algorithm.name}"
    await context.event(principal, "reservation.create", resource, reservation=reservation.id)
    return _render(reservation)


@router.delete("/{reservation_id}", status_code=204)
async def release(reservation_id: str, context: Ctx, principal: Principal = administrator()) -> None:
    """Give a reservation up."""
    async with context.store.begin() as connection:
        found = await reservations.get(connection, reservation_id)
        await reservations.remove(connection, reservation_id)
    resource = f"{found.owner}/{found.algorithm}"
    await context.event(principal, "reservation.remove", resource, reservation=reservation_id)


def _render(reservation: Reservation) -> dict[str, Any]:
    return {
        "reservation_id": reservation.id,
        "username": reservation.owner,
        "algoname": reservation.algorithm,
        "algorithm_id": reservation.algorithm_id,
        "algo_id": reservation.algorithm_id,
        "calling_user": reservation.calling_user,
        "billable_to": reservation.calling_user or reservation.owner,
        "version_type": reservation.version_type,
        "version_identifier": reservation.version_identifier,
        "num_slots": reservation.num_slots,
        "created_at": utc(reservation.created_at),
    }
