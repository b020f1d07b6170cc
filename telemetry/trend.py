"""A trend: one sensor over a range of time, in a number of points, with the gaps in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import asyncpg
import numpy as np
import numpy.typing as npt

from telemetry.batch import ReadingBatch, Time, to_micros
from telemetry.buckets import Buckets, Count, Resolution, Value, ceiling, floor, read_buckets
from telemetry.drawing import FEWEST_POINTS, draw
from telemetry.errors import PrecursorError
from telemetry.gaps import Gap, Sightings, find_gaps, silent_after
from telemetry.quality import usable
from telemetry.ranges import read_readings
from telemetry.resolution import Choice, Tally, choose, read_tally

__all__ = ["MOST_READINGS", "RangeTooLongError", "Trend", "read_trend"]

MOST_READINGS = 2_000_000
"""of which a line of raw values is drawn: about 100 MB"""
_MICROSECOND = timedelta(microseconds=1)


class RangeTooLongError(PrecursorError):
    """Raw values were asked for, of more readings than one answer is made of."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trend:
    """Equally long columns, by time, and what they stand for.

    A row whose `value` is NaN is a break: before it and after it something is known, between them not.
    """

    resolution: Resolution
    """what it was read from"""
    step: timedelta
    """width of a bucket; zero for raw"""
    begin: datetime
    """of what is covered: whole buckets, so up to a step before what was asked for"""
    end: datetime
    """exclusive; up to a step after what was asked for"""
    time: Time
    """int64, µs since 1970: of the reading, or the begin of the bucket"""
    value: Value
    """float64: the reading, or the mean of the bucket's usable readings"""
    min: Value
    max: Value
    count: Count
    """usable readings that the row stands for; 0 at a break"""
    gaps: Sequence[Gap]
    """all of them, as fine as the resolution shows them"""
    interval: timedelta | None
    """the sensor's usual time between readings; None: not known"""


async def read_trend(
    connection: asyncpg.Connection,
    sensor_id: int,
    begin: datetime,
    end: datetime,
    points: int,
    *,
    now: datetime,
    resolution: Resolution | None = None,
    interval: timedelta | None = None,
    on_change: bool = False,
) -> Trend:
    """One sensor in [begin, end), in at most `points` rows, breaks included.

    Args:
        connection: to the database.
        sensor_id: `sensor.id`.
        begin, end: the range.
        points: `telemetry.drawing.FEWEST_POINTS` or more.
        now: after it nothing is missing yet.
        resolution: None: the finest that has at most `points` rows. Raw: readings, thinned out for drawing. Another:
            buckets of this width, or wider ones where there are too many.
        interval: usual time between readings; None: estimated from the readings.
        on_change: the sensor reports when something changes: its silence is no gap.

    Raises:
        RangeTooLongError: raw, of more readings than one answer is made of.
    """
    if points < FEWEST_POINTS:
        raise ValueError(f"{points} points are too few for a trend; ask for {FEWEST_POINTS} or more")
    tally = await read_tally(connection, [sensor_id], begin, end)
    choice = _choice(tally, points, resolution)

    def gaps_of(sightings: Sightings) -> Sequence[Gap]:
        if on_change and not sightings.begin.size:
            return []
        tolerance = None if on_change else silent_after(interval or sightings.interval)
        return find_gaps(sightings, begin, min(end, now), tolerance)

    if choice.resolution is Resolution.RAW:
        readings = await read_readings(connection, [sensor_id], begin, end)
        sightings = Sightings.of_readings(readings)
        gaps = gaps_of(sightings)
        return Trend(
            resolution=choice.resolution,
            step=choice.step,
            begin=begin,
            end=end,
            gaps=gaps,
            interval=interval or sightings.interval,
            **_of_readings(readings, gaps, points),
        )
    step = choice.step
    while True:
        edges = floor(begin, step), ceiling(end, step)
        buckets = await read_buckets(connection, [sensor_id], *edges, choice.resolution)
        sightings = Sightings.of_buckets(buckets)
        gaps = gaps_of(sightings)
        columns = _of_buckets(buckets.merged(step), gaps, points)
        if columns is not None:
            return Trend(
                resolution=choice.resolution,
                step=step,
                begin=edges[0],
                end=edges[1],
                gaps=gaps,
                interval=interval or sightings.interval,
                **columns,
            )
        # What the tally did not know of: breaks, and whole buckets at the edges. Twice as wide is as exact.
        step *= 2


def _choice(tally: Tally, points: int, resolution: Resolution | None) -> Choice:
    if resolution is Resolution.RAW:
        if tally.readings > MOST_READINGS:
            raise RangeTooLongError(
                f"about {tally.readings} readings are in this range, too many for raw values (at most {MOST_READINGS});"
                " ask for a shorter range, or for another resolution"
            )
        return Choice(resolution=resolution, step=resolution.step)
    return choose(tally, points, resolution or Resolution.RAW)


def _of_readings(readings: ReadingBatch, gaps: Sequence[Gap], points: int) -> dict[str, Any]:
    valued = readings.take(usable(readings.quality))
    line = draw(valued.time, valued.value, _broken(valued.time, valued.time, gaps), points)
    known = ~np.isnan(line.value)
    return {
        "time": line.time,
        "value": line.value,
        "min": line.value,
        "max": line.value,
        "count": known.astype(np.int64),
    }


def _of_buckets(buckets: Buckets, gaps: Sequence[Gap], points: int) -> dict[str, Any] | None:
    """None: they do not fit, with breaks, into so many points."""
    rows = np.flatnonzero(buckets.usable_count > 0)
    begin = buckets.time[rows]
    end = begin + buckets.step // _MICROSECOND
    breaks = np.flatnonzero(_broken(begin, end, gaps))
    if rows.size + min(breaks.size, points // 4) > points:
        return None
    longest = np.argsort(end[breaks] - begin[breaks + 1], kind="stable")[: points - rows.size]
    breaks = np.sort(breaks[longest])
    middle = end[breaks] + (begin[breaks + 1] - end[breaks]) // 2
    columns = {"value": buckets.mean[rows], "min": buckets.min[rows], "max": buckets.max[rows]}
    return {
        "time": np.insert(begin, breaks + 1, middle),
        "count": np.insert(buckets.usable_count[rows], breaks + 1, 0),
        **{name: np.insert(column, breaks + 1, np.nan) for name, column in columns.items()},
    }


def _broken(begin: Time, end: Time, gaps: Sequence[Gap]) -> npt.NDArray[np.bool_]:
    """Whether a part of a gap lies between the end of a point and the begin of the next. Shape (n - 1,)."""
    gap_begin = np.array([to_micros(gap.begin) for gap in gaps] + [np.iinfo(np.int64).max])
    gap_end = np.array([to_micros(gap.end) for gap in gaps])
    # The first gap that ends after the point does.
    following = np.searchsorted(gap_end, end[:-1], side="right")
    return np.asarray((gap_begin[following] < begin[1:]) & (end[:-1] < begin[1:]))
