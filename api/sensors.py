"""Sensors and their readings."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.database import Connection
from api.pages import Begin, Cursor, End, Limit, Page, check_window, paginate, read_cursor
from api.problems import NotFoundError, Problem
from api.queries import SQL
from telemetry.batch import EPOCH, to_datetime, to_micros
from telemetry.quality import Quality

__all__ = ["QUALITY_NAMES", "Reading", "Readings", "Sensor", "SensorDetail", "router"]

router = APIRouter(prefix="/sensors", tags=["sensors"])
_DEFAULT_WINDOW = timedelta(hours=24)
_INSTANT = timedelta(microseconds=1)

QualityName = Literal["good", "uncertain", "bad", "stale"]
QUALITY_NAMES: dict[int, QualityName] = {
    Quality.GOOD: "good",
    Quality.UNCERTAIN: "uncertain",
    Quality.BAD: "bad",
    Quality.STALE: "stale",
}


class Sensor(BaseModel):
    """A measuring point: one series of readings."""

    name: str = Field(description="unique; by convention asset.point", examples=["pump-1.temperature"])
    title: str
    asset: str = Field(description="name of the asset it belongs to", examples=["pump-1"])
    kind: Literal["measured", "state", "derived"] = Field(
        description="measured: sent by a device; state: sent, 0 stopped, 1 running, 2 failed; derived: computed here"
    )
    quantity: str = Field(examples=["temperature"])
    unit: str = Field(description="of the values as they are stored", examples=["degC"])
    topic: str | None = Field(description="MQTT topic on which it arrives alone")
    computed_from: str | None = Field(description="derived: the sensor it is computed from")


class Reading(BaseModel):
    """One value of a sensor."""

    time: datetime = Field(description="event time, UTC")
    value: float = Field(description="in the sensor's unit")
    quality: QualityName = Field(description="bad and stale values are kept and must not be used as values")


class SensorDetail(Sensor):
    """A sensor and its newest reading."""

    retired_at: datetime | None = Field(description="when it left the plant file; null: in use")
    newest: Reading | None = Field(description="null: it never sent one")


class Readings(Page[Reading]):
    """Readings of one sensor."""

    sensor: str = Field(examples=["pump-1.temperature"])
    unit: str = Field(description="of all values", examples=["degC"])


@router.get("", summary="List sensors", responses={422: {"model": Problem}, 503: {"model": Problem}})
async def list_sensors(
    connection: Connection,
    asset: Annotated[str | None, Query(description="only those of this asset")] = None,
    kind: Annotated[Literal["measured", "state", "derived"] | None, Query(description="only this kind")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Sensor]:
    """Sensors in use, in the order in which they were added."""
    _, after = read_cursor(cursor)
    rows = await connection.fetch(SQL["sensors"], asset, kind, min(after or 0, 2**31 - 1), limit + 1)
    page, next_cursor = paginate(rows, limit, lambda row: (EPOCH, row["id"]))
    return Page(items=[Sensor(**row) for row in page], next_cursor=next_cursor)


@router.get(
    "/{name}",
    summary="One sensor",
    responses={404: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
)
async def get_sensor(connection: Connection, name: str) -> SensorDetail:
    """A sensor, in use or retired, with its newest reading."""
    row = await connection.fetchrow(SQL["sensor"], name)
    if row is None:
        raise NotFoundError(f"there is no sensor {name!r}; /sensors lists them")
    newest = None
    if row["newest_at"] is not None:
        newest = Reading(time=row["newest_at"], value=row["newest_value"], quality=QUALITY_NAMES[row["newest_quality"]])
    return SensorDetail(**row, newest=newest)


@router.get(
    "/{name}/readings",
    summary="Readings of a sensor",
    responses={404: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
)
async def get_readings(
    connection: Connection,
    name: str,
    begin: Begin = None,
    end: End = None,
    order: Annotated[Literal["oldest", "newest"], Query(description="which come first")] = "oldest",
    limit: Annotated[int, Query(ge=1, le=100_000, description="most readings in one page")] = 1_000,
    cursor: Cursor = None,
) -> Readings:
    """Readings with from <= time < to, as they are stored: every quality, the sensor's own unit.

    Without `to` up to the newest reading; without `from` the 24 hours before `to` (the data's hours, not the
    clock's: of a sensor that went silent last month these are its last hours).
    """
    check_window(begin, end)
    sensor = await connection.fetchrow(SQL["sensor"], name)
    if sensor is None:
        raise NotFoundError(f"there is no sensor {name!r}; /sensors lists them")
    after, window_us = read_cursor(cursor)
    if sensor["newest_at"] is None:
        return Readings(sensor=sensor["name"], unit=sensor["unit"], items=[], next_cursor=None)
    if end is None:
        end = sensor["newest_at"] + _INSTANT
    if after is not None and window_us is not None:
        # The default begin moves with the data: later pages take the first page's from the cursor.
        begin = begin or to_datetime(min(window_us, to_micros(after)))
    elif begin is None:
        begin = max(end - _DEFAULT_WINDOW, EPOCH)
    window_us = to_micros(begin)
    if after is not None:
        begin, end = (max(begin, after + _INSTANT), end) if order == "oldest" else (begin, min(end, after))
    rows = await connection.fetch(SQL[f"readings_{order}_first"], sensor["id"], begin, end, limit + 1)
    page, next_cursor = paginate(rows, limit, lambda row: (row["time"], window_us))
    return Readings(
        sensor=sensor["name"],
        unit=sensor["unit"],
        items=[
            # What comes from the database is valid; at 100,000 readings checking it again would be most of the work.
            Reading.model_construct(time=row["time"], value=row["value"], quality=QUALITY_NAMES[row["quality"]])
            for row in page
        ],
        next_cursor=next_cursor,
    )
