"""Readings of names the plant does not have: what is kept aside, and its release into history."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Protocol

import asyncpg
from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import BaseModel, Field

from api.database import Connection
from api.pages import Cursor, Limit, Page, paginate, read_cursor
from api.problems import InvalidParameterError, NotFoundError, Problem
from ingest.quarantine import NotHeldError, drop
from telemetry.batch import EPOCH
from telemetry.errors import ConfigurationError
from telemetry.sql import load_queries

__all__ = ["Dropped", "HeldName", "ReleaseOrder", "Released", "Releaser", "router"]

router = APIRouter(prefix="/quarantine", tags=["quarantine"])
_SQL = load_queries("api", "quarantine.sql")
_NUMBERS = 2**31 - 1

Source = Annotated[str | None, Query(description="only what this gateway sent")]


class HeldName(BaseModel):
    """A name the plant did not have, and how much is kept aside of it."""

    name: str = Field(description="as sent", examples=["pump-1.temperatur"])
    source: str = Field(description="the gateway that sent it")
    unit: str = Field(description="as sent; empty: none. One name in two units is kept aside twice")
    readings: int
    first_at: datetime = Field(description="when it came first, by our clock")
    last_at: datetime = Field(description="when it came last")
    begin: datetime | None = Field(description="time of its first reading")
    end: datetime | None = Field(description="time of its last reading")
    sensor: str | None = Field(description="ready to be released as this sensor of the plant; null: it has none yet")


class ReleaseOrder(BaseModel):
    """Which name goes into which history."""

    name: str = Field(description="as sent", min_length=1, examples=["pump-1.temperatur"])
    source: str | None = Field(default=None, description="only what this gateway sent")
    sensor: str | None = Field(
        default=None, description="the sensor it is; default: the one the plant has", examples=["pump-1.temperature"]
    )
    unit: str | None = Field(
        default=None, description="what unit the values are in, where the device said another", examples=["degC"]
    )


class Released(BaseModel):
    """What became of readings: received = stored + duplicate + rejected."""

    name: str
    source: str
    unit: str
    sensor: str
    obstacle: str | None = Field(description="why none of them can be released; null: nothing is in the way")
    received: int = Field(description="taken out of quarantine")
    stored: int
    duplicate: int
    rejected: int = Field(description="another value is stored for their time; /rejected shows them")
    rejected_by_reason: dict[str, int]
    staying: int = Field(description="still kept aside, because they cannot be stored")
    staying_by_reason: dict[str, int] = Field(examples=[{"unknown_state": 3}])
    details: dict[str, str] = Field(description="for each reason what is wrong with the first of them")


class Dropped(BaseModel):
    """What was thrown away."""

    readings: int


class _Outcome(Protocol):
    def document(self) -> Mapping[str, object]: ...


class Releaser(Protocol):
    """Moves readings of a name into history; the server that has one is given it by whoever makes the app."""

    async def __call__(
        self, connection: asyncpg.Connection, *, name: str, source: str | None, sensor: str | None, unit: str | None
    ) -> Sequence[_Outcome]:
        """What became of the readings of each source and unit.

        Raises:
            NotHeldError: nothing of this name is kept aside.
            ConfigurationError: the plant has no such sensor.
        """
        ...


@router.get("", summary="List what is kept aside", responses={422: {"model": Problem}, 503: {"model": Problem}})
async def list_held(
    connection: Connection,
    name: Annotated[str | None, Query(description="only this name")] = None,
    source: Source = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[HeldName]:
    """Names the plant did not have, in the order in which they came, each with the sensor it is by now."""
    _, after = read_cursor(cursor)
    rows = await connection.fetch(_SQL["held"], name, source, min(after or 0, _NUMBERS), limit + 1)
    page, next_cursor = paginate(rows, limit, lambda row: (EPOCH, row["id"]))
    return Page(items=[HeldName(**row) for row in page], next_cursor=next_cursor)


@router.post(
    "/release",
    summary="Release readings into history",
    responses={
        404: {"model": Problem},
        422: {"model": Problem},
        501: {"model": Problem, "description": "this server only reads"},
        503: {"model": Problem},
    },
)
async def post_release(request: Request, connection: Connection, order: ReleaseOrder) -> list[Released]:
    """Store the readings kept aside of a name as a sensor's: in rollups and KPIs, without alarms.

    One outcome for each source and unit of the name. What cannot be stored stays, with the reason.
    """
    release: Releaser | None = request.app.state.release
    if release is None:
        raise HTTPException(501, "this server does not release readings; use `precursor quarantine release`")
    try:
        outcomes = await release(connection, name=order.name, source=order.source, sensor=order.sensor, unit=order.unit)
    except NotHeldError as error:
        raise _nothing(order.name) from error
    except ConfigurationError as error:
        raise InvalidParameterError("body.sensor", str(error)) from error
    return [Released.model_validate(outcome.document()) for outcome in outcomes]


@router.delete(
    "",
    summary="Throw readings away",
    responses={404: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
)
async def delete_held(
    connection: Connection,
    name: Annotated[str, Query(description="the name, as sent")],
    source: Source = None,
) -> Dropped:
    """Throw away what is kept aside of a name, for good. The ledger has counted it as rejected when it came."""
    try:
        return Dropped(readings=await drop(connection, name, source=source))
    except NotHeldError as error:
        raise _nothing(name) from error


def _nothing(name: str) -> NotFoundError:
    return NotFoundError(f"no reading named {name!r} is kept aside; /quarantine lists what is")
