"""Which resolution answers a question with a wanted number of points: chosen by what the rollups count."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import numpy as np

from telemetry.batch import EPOCH, SensorId, Time
from telemetry.buckets import Count, Resolution, ceiling, floor
from telemetry.copy_rows import POSTGRES_EPOCH_US, fetch_rows, row_type
from telemetry.sql import load_queries

__all__ = ["Choice", "Tally", "choose", "read_tally", "source_of"]

_SQL = load_queries("telemetry", "ranges.sql")
_ROW = row_type(time="i8", sensor_id="i4", count="i8")
_COUNT = {Resolution.MINUTE: "count_minutes", Resolution.HOUR: "count_hours", Resolution.DAY: "count_days"}
_MICROSECOND = timedelta(microseconds=1)

# Widths a person can read off an axis.
_STEPS = (
    *(timedelta(minutes=number) for number in (1, 2, 5, 10, 15, 30)),
    *(timedelta(hours=number) for number in (1, 2, 3, 6, 12)),
)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tally:
    """How many readings there are about when, by (sensor_id, time); counted from rollups."""

    step: timedelta
    """width of a bucket"""
    time: Time
    """begin of the bucket, µs since 1970; whole buckets, also at the edges of the range"""
    sensor_id: SensorId
    count: Count

    @property
    def readings(self) -> int:
        """Readings of the sensor that has the most."""
        return self._most(self.count)

    def buckets(self, step: timedelta) -> int:
        """The most buckets of this width that a sensor can have readings in."""
        if step < self.step:
            return self._most(np.minimum(self.count, self.step // step))
        begin = self.time // (step // _MICROSECOND)
        new = np.ones(begin.size, np.int64)
        new[1:] = (np.diff(begin) != 0) | (np.diff(self.sensor_id) != 0)
        return self._most(new)

    def _most(self, weight: Count) -> int:
        starts = np.flatnonzero(np.diff(self.sensor_id, prepend=np.int32(-1)) != 0)
        return int(np.add.reduceat(weight, starts).max()) if starts.size else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What to read, and how wide the buckets of the answer are."""

    resolution: Resolution
    step: timedelta
    """a multiple of the resolution's step; zero for raw"""


async def read_tally(
    connection: asyncpg.Connection, sensor_ids: Sequence[int], begin: datetime, end: datetime
) -> Tally:
    """How many readings these sensors have in [begin, end), from a few thousand rows of rollups a sensor at most."""
    length = end - begin
    if length <= timedelta(days=2):
        resolution = Resolution.MINUTE
    elif length <= timedelta(days=90):
        resolution = Resolution.HOUR
    else:
        resolution = Resolution.DAY
    rows = np.empty(0, _ROW)
    if len(sensor_ids) and begin < end:
        edges = floor(begin, resolution.step), ceiling(end, resolution.step)
        rows = await fetch_rows(connection, _SQL[_COUNT[resolution]], list(sensor_ids), *edges, row=_ROW)
    rows = rows[np.lexsort((rows["time"], rows["sensor_id"]))]
    return Tally(
        step=resolution.step,
        time=rows["time"].astype(np.int64) + POSTGRES_EPOCH_US,
        sensor_id=rows["sensor_id"].astype(np.int32),
        count=rows["count"].astype(np.int64),
    )


def choose(tally: Tally, points: int, finest: Resolution = Resolution.RAW) -> Choice:
    """The finest answer with at most `points` points a sensor: every reading, or buckets of a step.

    Steps are whole minutes, hours or days, and bucket edges are those of UTC. Nothing finer than `finest` is chosen.
    """
    if points < 1:
        raise ValueError(f"{points} points show nothing")
    if finest is Resolution.RAW and tally.readings <= points:
        return Choice(resolution=Resolution.RAW, step=Resolution.RAW.step)
    days = 1
    for step in _STEPS:
        if finest.step <= step and tally.buckets(step) <= points:
            return Choice(resolution=source_of(step), step=step)
    while tally.buckets(days * _DAY) > points:
        days *= 2
    return Choice(resolution=Resolution.DAY, step=days * _DAY)


def source_of(step: timedelta, begin: datetime = EPOCH) -> Resolution:
    """The coarsest rollup of which buckets of this width, counted from `begin`, are made exactly; raw if none is."""
    for resolution in (Resolution.DAY, Resolution.HOUR, Resolution.MINUTE):
        if step and not step % resolution.step and floor(begin, resolution.step) == begin:
            return resolution
    return Resolution.RAW
