"""Several sensors at once: their last values, and a table of them on one grid of time."""

import math
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.database import Connection
from api.pages import Begin, Cursor, End, Limit, Page, check_window, paginate, read_cursor
from api.problems import InvalidParameterError, NotFoundError, Problem
from api.queries import SQL
from api.sensors import QUALITY_NAMES, Reading
from telemetry import latest
from telemetry.alignment import Manner, align
from telemetry.batch import EPOCH
from telemetry.buckets import Resolution
from telemetry.latest import read_last_values
from telemetry.resolution import read_tally, source_of
from telemetry.trend import MOST_READINGS

__all__ = ["SensorValue", "Table", "router"]

router = APIRouter(tags=["sensors"])
_DEFAULT_WINDOW = timedelta(hours=24)
_DEFAULT_ROWS = 500
_MOST_CELLS = 200_000
_INSTANT = timedelta(microseconds=1)
_STEPS = [
    timedelta(seconds=seconds)
    for seconds in (1, 5, 10, 30, 60, 300, 600, 1_800, 3_600, 10_800, 21_600, 43_200, 86_400, 604_800, 2_592_000)
]

Names = Annotated[
    list[str] | None, Query(alias="sensor", max_length=1_000, description="only these; repeat it for several")
]


class SensorValue(BaseModel):
    """What a sensor said last."""

    sensor: str = Field(examples=["pump-1.temperature"])
    asset: str = Field(description="name of the asset it belongs to", examples=["pump-1"])
    unit: str = Field(description="of its values", examples=["degC"])
    newest: Reading | None = Field(description="newest reading of any quality; null: it never sent one")
    usable: Reading | None = Field(description="newest good or uncertain one; null: it never sent one")


class TableColumn(BaseModel):
    """One sensor of a table."""

    sensor: str = Field(examples=["pump-1.temperature"])
    unit: str = Field(examples=["degC"])


class TableRow(BaseModel):
    """One moment, or one bucket, of all sensors."""

    time: datetime
    values: list[float | None] = Field(
        description="in the order of `columns`; null: not known", examples=[[60.2, None]]
    )


class Table(BaseModel):
    """Several sensors on one grid of time."""

    begin: datetime | None = Field(description="time of the first row; null: no reading yet, and no window was given")
    end: datetime | None = Field(description="exclusive")
    step_s: float = Field(description="seconds from row to row")
    manner: Manner
    columns: list[TableColumn] = Field(description="in the order asked for")
    rows: list[TableRow]


@router.get(
    "/last-values",
    summary="Last values of sensors",
    responses={404: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
)
async def list_last_values(
    connection: Connection,
    asset: Annotated[str | None, Query(description="only sensors of this asset")] = None,
    names: Names = None,
    limit: Limit = 1_000,
    cursor: Cursor = None,
) -> Page[SensorValue]:
    """Sensors in use, in the order in which they were added, each with its newest reading and its newest usable one.

    A sensor that never sent anything is listed, too.
    """
    _, after = read_cursor(cursor)
    rows = await connection.fetch(SQL["sensors_named"], asset, names, min(after or 0, 2**31 - 1), limit + 1)
    if names is not None and cursor is None and not rows:
        raise NotFoundError(f"there is no sensor named {' or '.join(map(repr, names))} here; /sensors lists them")
    page, next_cursor = paginate(rows, limit, lambda row: (EPOCH, row["id"]))
    last_values = await read_last_values(connection, [row["id"] for row in page])
    return Page(
        items=[
            SensorValue(
                sensor=row["name"],
                asset=row["asset"],
                unit=row["unit"],
                newest=_reading(last.newest),
                usable=_reading(last.usable),
            )
            for row, last in zip(page, last_values, strict=True)
        ],
        next_cursor=next_cursor,
    )


def _reading(reading: latest.Reading | None) -> Reading | None:
    if reading is None:
        return None
    return Reading(time=reading.time, value=reading.value, quality=QUALITY_NAMES[reading.quality])


@router.get(
    "/table",
    summary="Several sensors on one grid of time",
    responses={404: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
)
async def get_table(
    connection: Connection,
    names: Annotated[
        list[str],
        Query(alias="sensor", min_length=1, max_length=100, description="a column each; repeat it for several"),
    ],
    begin: Begin = None,
    end: End = None,
    step_s: Annotated[
        float | None,
        Query(ge=0.001, le=31_536_000, description=f"seconds from row to row; default: about {_DEFAULT_ROWS} rows"),
    ] = None,
    manner: Annotated[
        Manner,
        Query(
            description="last: the value that holds at the row's time; mean: of the usable readings from the row's time"
            " to the next row's; linear: on the line between the readings before and after"
        ),
    ] = "mean",
    stale_after_s: Annotated[
        float | None,
        Query(
            gt=0,
            le=31_536_000,
            description="last, linear: after so many seconds without a reading a value is not known any more;"
            " default: three of the sensor's usual intervals, for states never",
        ),
    ] = None,
) -> Table:
    """A row for `begin`, `begin` + step ... before `end`, with a value for each sensor, null where it is not known.

    Bad and stale readings are not values: where the last reading is one, `last` is null, and no line leads over it.
    Without `to` the table ends with the newest reading of these sensors, without `from` it begins 24 hours before its
    end. Means over whole minutes are quick however long the range.
    """
    check_window(begin, end)
    found = {row["name"]: row for row in await connection.fetch(SQL["sensors_by_name"], names)}
    for name in names:
        if name not in found:
            raise NotFoundError(f"there is no sensor {name!r}; /sensors lists them")
    sensors = {name: int(found[name]["id"]) for name in names}
    if end is None:
        newest = [
            last.newest.time for last in await read_last_values(connection, list(sensors.values())) if last.newest
        ]
        end = max(newest) + _INSTANT if newest else None
    if end is not None and begin is None:
        begin = max(end - _DEFAULT_WINDOW, EPOCH)
    columns = [TableColumn(sensor=name, unit=found[name]["unit"]) for name in sensors]
    if begin is None or end is None:
        return Table(begin=begin, end=end, step_s=step_s or 0, manner=manner, columns=columns, rows=[])
    if begin >= end:
        raise InvalidParameterError("query.from", f"nothing is known after {end.isoformat()}, the newest reading")
    step = _step(end - begin) if step_s is None else timedelta(seconds=step_s)
    if (end - begin) / step * len(sensors) > _MOST_CELLS:
        raise InvalidParameterError(
            "query.step_s", f"the table would have more than {_MOST_CELLS:,} values; ask for a longer step"
        )
    if manner != "mean" or source_of(step, begin) is Resolution.RAW:
        readings = (await read_tally(connection, list(sensors.values()), begin, end)).readings
        if readings > MOST_READINGS:
            raise InvalidParameterError(
                "query.from",
                f"about {readings} readings of one sensor are in this range, more than such a table is made of"
                f" ({MOST_READINGS:,}); ask for a shorter range, or for means over whole minutes",
            )
    frame = await align(
        connection,
        sensors,
        begin,
        end,
        step,
        manner,
        stale_after=None if stale_after_s is None else timedelta(seconds=stale_after_s),
        on_change=[name for name in sensors if found[name]["kind"] == "state"],
    )
    return Table(
        begin=begin,
        end=end,
        step_s=step.total_seconds(),
        manner=manner,
        columns=columns,
        rows=[
            # Numbers of ours are valid.
            TableRow.model_construct(
                time=begin + place * step, values=[None if math.isnan(value) else value for value in row]
            )
            for place, row in enumerate(frame.to_numpy().tolist())
        ],
    )


def _step(length: timedelta) -> timedelta:
    """A step a person would choose."""
    return next((step for step in _STEPS if length / step <= _DEFAULT_ROWS), _STEPS[-1])
