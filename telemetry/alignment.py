"""Several sensors on one grid of time, as a pandas table: what analysis and models begin with."""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

import asyncpg
import numpy as np

from telemetry.batch import ReadingBatch, Time, to_datetime, to_micros
from telemetry.buckets import Count, Resolution, Value, read_sums
from telemetry.gaps import Sightings, silent_after
from telemetry.quality import usable
from telemetry.ranges import read_neighbours, read_readings
from telemetry.resolution import source_of

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Manner", "align"]

Manner: TypeAlias = Literal["last", "mean", "linear"]

_MICROSECOND = timedelta(microseconds=1)
_ROWS_TOGETHER = 500_000
"""of rollups read at once"""


async def align(
    connection: asyncpg.Connection,
    sensors: Mapping[str, int],
    begin: datetime,
    end: datetime,
    step: timedelta,
    manner: Manner,
    *,
    stale_after: timedelta | None = None,
    on_change: Collection[str] = (),
) -> "pd.DataFrame":
    """A row for `begin`, `begin + step` ... before `end`, a column a sensor, float64 in the sensor's unit.

    - `last`: the value that held at the row's time: that of the last reading at or before it.
    - `mean`: of the usable readings from the row's time to before the next row's, each counting the same. Where
      `begin` and `step` are whole UTC minutes, from the rollups: the same figure for less reading.
    - `linear`: on the straight line between the readings before and after the row's time.

    NaN is "not known": the reading that would say it is bad or stale, or lies longer ago than `stale_after`; for
    `linear`, the two readings lie further apart than that; for `mean`, there is no usable reading. One sensor's
    readings of the range are in memory at a time.

    Args:
        connection: to the database.
        sensors: the ids, by the names of the columns, in their order.
        begin, end: the range; rows are counted from `begin`.
        step: between rows.
        manner: which value a row gets.
        stale_after: None: three of the sensor's usual intervals, as for gaps; where those are not known, for ever.
        on_change: columns of sensors that report when something changes: None means for ever.
    """
    width = step // _MICROSECOND
    if width < 1:
        raise ValueError(f"a step of {step} leads nowhere; it must be positive")
    grid = np.arange(to_micros(begin), to_micros(end), width, dtype=np.int64)
    source = source_of(step, begin)
    if not grid.size or not sensors:
        columns = {name: np.empty(grid.size) for name in sensors}
    elif manner == "mean" and source is not Resolution.RAW:
        columns = await _means_of_rollups(connection, sensors, grid, width, source)
    elif manner == "mean":
        columns = {}
        for name, sensor_id in sensors.items():
            readings = await read_readings(connection, [sensor_id], begin, to_datetime(int(grid[-1])) + step)
            readings = readings.take(usable(readings.quality))
            columns[name] = _mean(readings.time, readings.value, np.ones(len(readings), np.int64), grid, width)
    else:
        place = _held if manner == "last" else _joined
        around = await read_neighbours(connection, list(sensors.values()), begin, end)
        columns = {}
        for name, sensor_id in sensors.items():
            readings = await read_readings(connection, [sensor_id], begin, end)
            usual = None if name in on_change else Sightings.of_readings(readings).interval
            limit = stale_after or silent_after(usual) or timedelta.max
            edges = around.take(around.sensor_id == sensor_id)
            columns[name] = place(ReadingBatch.concat([readings, edges]).sorted(), grid, limit)
    import pandas as pd  # noqa: PLC0415 - half a second of every start of an engine, which never asks for a table

    index = pd.DatetimeIndex(grid.view("datetime64[us]"), tz="UTC", name="time")
    return pd.DataFrame(columns, index=index, columns=list(sensors))


async def _means_of_rollups(
    connection: asyncpg.Connection, sensors: Mapping[str, int], grid: Time, width: int, source: Resolution
) -> dict[str, Value]:
    begin, end = to_datetime(int(grid[0])), to_datetime(int(grid[-1]) + width)
    together = max(1, _ROWS_TOGETHER // ((end - begin) // source.step))
    names = list(sensors)
    columns = {}
    for first in range(0, len(names), together):
        group = names[first : first + together]
        found = await read_sums(connection, [sensors[name] for name in group], begin, end, source)
        for name in group:
            own = found.of(sensors[name])
            columns[name] = _mean(own.time, own.sum, own.usable_count, grid, width)
    return columns


def _mean(time: Time, total: Value, count: Count, grid: Time, width: int) -> Value:
    row = (time - grid[0]) // width
    readings = np.bincount(row, count, grid.size)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(row, total, grid.size) / readings
    # A sum that overflowed says nothing of the mean.
    return np.where(np.isfinite(mean), mean, np.nan)


def _held(readings: ReadingBatch, grid: Time, limit: timedelta) -> Value:
    before = np.searchsorted(readings.time, grid, side="right") - 1
    known = before >= 0
    before = np.maximum(before, 0)
    if not len(readings):
        return np.full(grid.size, np.nan)
    known &= usable(readings.quality)[before] & (grid - readings.time[before] <= _micros(limit))
    return np.where(known, readings.value[before], np.nan)


def _joined(readings: ReadingBatch, grid: Time, limit: timedelta) -> Value:
    """A reading's own time has its value, whatever is around it."""
    if not len(readings):
        return np.full(grid.size, np.nan)
    before = np.searchsorted(readings.time, grid, side="right") - 1
    after = np.searchsorted(readings.time, grid, side="left")
    known = (before >= 0) & (after < len(readings))
    before, after = np.maximum(before, 0), np.minimum(after, len(readings) - 1)
    good = usable(readings.quality)
    length = readings.time[after] - readings.time[before]
    known &= good[before] & good[after] & (length <= _micros(limit))
    share = (grid - readings.time[before]) / np.maximum(length, 1)
    # Weighted, and not value + share of the difference: values far apart must not overflow on the way.
    return np.where(known, (1 - share) * readings.value[before] + share * readings.value[after], np.nan)


def _micros(length: timedelta) -> int:
    return min(length // _MICROSECOND, int(np.iinfo(np.int64).max))
