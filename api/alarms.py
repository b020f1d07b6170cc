"""Alarms and what happened to them."""

from datetime import datetime
from typing import Annotated, Literal

import asyncpg
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.database import Connection
from api.pages import Begin, Cursor, End, Limit, Number, Page, check_window, paginate, read_cursor
from api.problems import NotFoundError, Problem
from api.queries import SQL
from rules.definition import Priority

__all__ = ["Alarm", "AlarmDetail", "AlarmEvent", "router"]

router = APIRouter(prefix="/alarms", tags=["alarms"])


class Alarm(BaseModel):
    """A rule's limit was violated for longer than its on-delay."""

    id: int
    rule: str = Field(examples=["bearing-hot"])
    sensor: str = Field(examples=["pump-1.temperature"])
    asset: str = Field(examples=["pump-1"])
    side: Literal["high", "low"] = Field(description="which limit")
    limit_value: float = Field(description="the limit, in `unit`", examples=[80.0])
    unit: str = Field(examples=["degC"])
    priority: Literal["low", "medium", "high"]
    failure_mode: str | None = Field(description="what it points to; null: no work order comes of it")
    active: bool = Field(description="whether it still stands")
    began_at: datetime = Field(description="event time at which it was raised, on-delay over")
    ended_at: datetime | None = Field(description="event time at which it cleared; null: it stands")
    value: float = Field(description="the value when it was raised, in `unit`")
    peak_value: float = Field(description="the worst value so far, in `unit`")
    peak_at: datetime
    work_order_id: int | None = Field(description="the work order that took it in")


class AlarmEvent(BaseModel):
    """One thing that happened to an alarm."""

    kind: str = Field(examples=["raised", "cleared"])
    at: datetime = Field(description="event time")
    value: float | None = Field(description="the sensor's value then, in the alarm's unit")
    actor: str = Field(description="`engine`, or who did it")
    note: str


class AlarmDetail(Alarm):
    """An alarm with its history."""

    events: list[AlarmEvent] = Field(description="oldest first")


@router.get("", summary="List alarms", responses={422: {"model": Problem}, 503: {"model": Problem}})
async def list_alarms(
    connection: Connection,
    active: Annotated[bool | None, Query(description="true: those that stand; false: those that ended")] = None,
    asset: Annotated[str | None, Query(description="only those of this asset")] = None,
    begin: Begin = None,
    end: End = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Alarm]:
    """Alarms that stood at some time in the window, the latest to begin first."""
    check_window(begin, end)
    after = read_cursor(cursor)
    rows = await connection.fetch(SQL["alarms"], active, asset, begin, end, *after, limit + 1)
    page, next_cursor = paginate(rows, limit, lambda row: (row["began_at"], row["id"]))
    return Page(items=[Alarm(**_fields(row)) for row in page], next_cursor=next_cursor)


@router.get(
    "/{id}",
    summary="One alarm and its history",
    responses={404: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
)
async def get_alarm(connection: Connection, id: Number) -> AlarmDetail:  # noqa: A002 - the path says /alarms/{id}
    """An alarm and what happened to it, oldest first."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        row = await connection.fetchrow(SQL["alarm"], id)
        if row is None:
            raise NotFoundError(f"there is no alarm {id}")
        events = await connection.fetch(SQL["alarm_events"], id)
    return AlarmDetail(**_fields(row), events=[AlarmEvent(**event) for event in events])


def _fields(row: asyncpg.Record) -> dict[str, object]:
    return {**row, "priority": Priority(row["priority"]).name.lower(), "active": row["ended_at"] is None}
