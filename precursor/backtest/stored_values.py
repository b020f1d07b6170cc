"""Stored readings of sensors with rules on plain values: only those in which something can happen.

A day at a time: hours in which the rollups say that nothing can happen are passed over, then minutes of the others;
what is left is read. Hours that late readings came to and that were not counted again since are read whole.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import numpy as np
import numpy.typing as npt

from precursor.backtest.quiet import Bands, Calm, quiet
from precursor.backtest.readings import Progress, Seen
from telemetry.batch import ReadingBatch, to_datetime, to_micros
from telemetry.buckets import ceiling, floor
from telemetry.copy_rows import POSTGRES_EPOCH_US, fetch_rows, row_type
from telemetry.sql import load_queries

__all__ = ["Levels", "eventful_readings"]

_SQL = load_queries("precursor.backtest")
_LEVEL = row_type(time="i8", sensor_id="i4", count="i8", usable_count="i8", min="f8", max="f8")
_TOUCHED = row_type(time="i8", sensor_id="i4")
_READING = row_type(time="i8", sensor_id="i4", value="f8", quality="i2")
_DAY = timedelta(days=1)
_HOUR, _MINUTE = timedelta(hours=1), timedelta(minutes=1)
_HOUR_US, _MINUTE_US = 3_600_000_000, 60_000_000
_BATCH_ROWS = 400_000

_COLUMNS = ("sensor_id", "time", "count", "usable", "low", "high")
_KEY_BITS = 32
"""minutes since 1970 fit in"""

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Spans = npt.NDArray[np.int64]
"""rows of sensor, begin and end (us), and readings expected"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Levels:
    """Rollups, by (sensor_id, time)."""

    sensor_id: npt.NDArray[np.int32]
    time: Ints
    """begin of the bucket, us"""
    count: Ints
    usable: Ints
    low: npt.NDArray[np.float64]
    """of usable values; NaN: there are none"""
    high: npt.NDArray[np.float64]
    width_us: int

    @property
    def key(self) -> Ints:
        """Sensor and time in one number: times are whole minutes."""
        return self.sensor_id.astype(np.int64) << _KEY_BITS | self.time // _MINUTE_US

    def take(self, index: npt.NDArray[np.bool_] | npt.NDArray[np.intp]) -> "Levels":
        """Those where this is true, or at these positions."""
        return Levels(**{name: getattr(self, name)[index] for name in _COLUMNS}, width_us=self.width_us)

    def without(self, others: "Levels") -> "Levels":
        """Those of which `others` has no bucket that begins with them."""
        return self.take(~np.isin(self.key, others.key))

    def joined(self, others: "Levels") -> "Levels":
        """With these among them."""
        both = Levels(
            **{name: np.concatenate((getattr(self, name), getattr(others, name))) for name in _COLUMNS},
            width_us=self.width_us,
        )
        return both.take(np.argsort(both.key, kind="stable"))


async def eventful_readings(
    connection: asyncpg.Connection,
    bands: Bands,
    sensor_ids: Sequence[int],
    begin: datetime,
    end: datetime,
    seen: Seen,
    *,
    passed_over: Callable[[Levels], None],
    on_progress: Progress,
) -> AsyncGenerator[ReadingBatch, None]:
    """Readings in [begin, end) in which something can happen, each sensor ascending. In a transaction of one snapshot.

    What is passed over counts in `seen` as well, and `passed_over` is told of it.
    """
    ids = sorted(sensor_ids)
    fresh = (max(ids, default=0) + 1, bands.columns)
    # Nothing stands before the first reading.
    before = Calm(resting=np.ones(fresh, np.bool_), band=np.full(fresh, -1, np.int8))
    skipped = _Skipped(seen, passed_over)
    at = floor(begin, _DAY)
    while at < end:
        first, last = max(at, floor(begin, _HOUR)), min(at + _DAY, ceiling(end, _HOUR))
        at += _DAY
        hours = await _levels(connection, "read_hours", ids, first, last, _HOUR_US)
        late = await _late_hours(connection, ids, first, last)
        hours = hours.without(late).joined(late)
        loud, resting = _loud(
            hours, bands, late, begin, end, before, np.zeros((hours.time.size, bands.columns), np.bool_)
        )
        skipped.add(hours.take(~loud))
        # Not every minute of a late hour is known: it is read whole. It stands among the minutes all the same, as what
        # comes after it has to be looked at.
        minutes = (await _minutes_of(connection, hours.take(loud).without(late))).joined(late)
        unknown = Calm(resting=np.zeros(fresh, np.bool_), band=np.full(fresh, -1, np.int8))
        loud, _ = _loud(minutes, bands, late, begin, end, unknown, _at_hours(minutes, hours, resting))
        skipped.add(minutes.take(~loud))
        spans = _spans(late, minutes.take(loud).without(late))
        async for batch in _read(connection, spans, begin, end):
            seen.rows += len(batch)
            seen.note(batch)
            yield batch
        on_progress(seen.readings, min(1.0, (min(at, end) - begin) / (end - begin)))


class _Skipped:
    """Takes note of what is passed over."""

    def __init__(self, seen: Seen, passed_over: Callable[[Levels], None]) -> None:
        self._seen, self._passed_over = seen, passed_over

    def add(self, levels: Levels) -> None:
        if len(levels.time):
            readings = int(levels.count.sum())
            self._seen.readings += readings
            self._seen.rows += readings
            self._seen.sensors.update(np.unique(levels.sensor_id).tolist())
            self._passed_over(levels)


def _loud(
    levels: Levels, bands: Bands, late: Levels, begin: datetime, end: datetime, before: Calm, given: Flags
) -> tuple[Flags, Flags]:
    """Which buckets have to be looked into, and which alarms are known not to stand when each begins."""
    until = levels.time + levels.width_us
    # Of a bucket at an edge some readings are outside.
    unknown = (levels.time < to_micros(begin)) | (until > to_micros(end)) | np.isin(levels.key, late.key)
    judged = bands.judge(levels.sensor_id, levels.low, levels.high, levels.count > levels.usable, unknown)
    calm, resting = quiet(levels.sensor_id, levels.time, until, judged, before, given)
    return ~calm | unknown, resting


def _at_hours(minutes: Levels, hours: Levels, resting: Flags) -> Flags:
    """For the first minute of each hour what is known of the hour."""
    hour = minutes.sensor_id.astype(np.int64) << _KEY_BITS | minutes.time // _HOUR_US * (_HOUR_US // _MINUTE_US)
    given = resting[np.searchsorted(hours.key, hour)]
    given[1:][hour[1:] == hour[:-1]] = False
    return given


async def _levels(
    connection: asyncpg.Connection, query: str, ids: Sequence[int], begin: datetime, end: datetime, width_us: int
) -> Levels:
    rows = await fetch_rows(connection, _SQL[query], list(ids), begin, end, row=_LEVEL)
    rows = rows[np.lexsort((rows["time"], rows["sensor_id"]))]
    return Levels(
        sensor_id=rows["sensor_id"].astype(np.int32),
        time=rows["time"].astype(np.int64) + POSTGRES_EPOCH_US,
        count=rows["count"].astype(np.int64),
        usable=rows["usable_count"].astype(np.int64),
        low=rows["min"].astype(np.float64),
        high=rows["max"].astype(np.float64),
        width_us=width_us,
    )


async def _late_hours(connection: asyncpg.Connection, ids: Sequence[int], begin: datetime, end: datetime) -> Levels:
    """Hours that nobody has counted again since late readings came, as buckets of which nothing is known."""
    rows = await fetch_rows(connection, _SQL["read_touched"], list(ids), begin, end, row=_TOUCHED)
    rows = rows[np.lexsort((rows["time"], rows["sensor_id"]))]
    nothing, unknown = np.zeros(rows.size, np.int64), np.full(rows.size, np.nan)
    return Levels(
        sensor_id=rows["sensor_id"].astype(np.int32),
        time=rows["time"].astype(np.int64) + POSTGRES_EPOCH_US,
        count=nothing,
        usable=nothing,
        low=unknown,
        high=unknown,
        width_us=_HOUR_US,
    )


async def _minutes_of(connection: asyncpg.Connection, hours: Levels) -> Levels:
    """The minutes of these hours."""
    if not hours.time.size:
        return Levels(**{name: getattr(hours, name) for name in _COLUMNS}, width_us=_MINUTE_US)
    ids = np.unique(hours.sensor_id).tolist()
    begin, end = to_datetime(int(hours.time.min())), to_datetime(int(hours.time.max()) + _HOUR_US)
    minutes = await _levels(connection, "read_minutes", ids, begin, end, _MINUTE_US)
    hour = minutes.time // _HOUR_US * (_HOUR_US // _MINUTE_US)
    return minutes.take(np.isin(minutes.sensor_id.astype(np.int64) << _KEY_BITS | hour, hours.key))


def _spans(hours: Levels, minutes: Levels) -> Spans:
    """What is to be read, by sensor and time; what adjoins is one."""
    every = np.concatenate([
        np.column_stack((each.sensor_id.astype(np.int64), each.time, each.time + each.width_us, each.count))
        for each in (hours, minutes)
    ])  # fmt: skip
    every = every[np.lexsort((every[:, 1], every[:, 0]))]
    if not len(every):
        return every
    first = np.concatenate(([True], (every[1:, 0] != every[:-1, 0]) | (every[1:, 1] != every[:-1, 2])))
    starts = np.flatnonzero(first)
    last = np.append(starts[1:], len(every)) - 1
    return np.column_stack((every[starts, :2], every[last, 2], np.add.reduceat(every[:, 3], starts)))


async def _read(
    connection: asyncpg.Connection, spans: Spans, begin: datetime, end: datetime
) -> AsyncGenerator[ReadingBatch, None]:
    """The readings of spans, about as many at once as a batch holds."""
    batch_of = np.cumsum(spans[:, 3]) // _BATCH_ROWS
    for number in np.unique(batch_of).tolist():
        part = spans[batch_of == number]
        inside = max(begin, to_datetime(int(part[:, 1].min()))), min(end, to_datetime(int(part[:, 2].max())))
        rows = await fetch_rows(
            connection,
            _SQL["read_spans"],
            part[:, 0].tolist(),
            [to_datetime(moment) for moment in part[:, 1].tolist()],
            [to_datetime(moment) for moment in part[:, 2].tolist()],
            *inside,
            row=_READING,
        )
        batch = ReadingBatch(
            time=rows["time"].astype(np.int64) + POSTGRES_EPOCH_US,
            sensor_id=rows["sensor_id"].astype(np.int32),
            value=rows["value"].astype(np.float64),
            quality=rows["quality"].astype(np.int16),
        )
        if len(batch):
            yield batch.sorted()
