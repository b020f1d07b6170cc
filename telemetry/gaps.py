"""Gaps: when nothing usable was known of a sensor, because it was silent or because what it sent was bad."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from telemetry.batch import ReadingBatch, Time, to_datetime, to_micros
from telemetry.buckets import Buckets
from telemetry.quality import usable

__all__ = ["Gap", "Sightings", "find_gaps", "silent_after"]

Mask: TypeAlias = npt.NDArray[np.bool_]
Reason: TypeAlias = Literal["silent", "unusable"]

_MISSED = 3
"""so many usual intervals without a reading are silence: two lost messages in a row are not"""
_FEW = 3
_MICROSECOND = timedelta(microseconds=1)
_REASONS: dict[int, Reason] = {1: "silent", 2: "unusable"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A stretch of time without usable readings."""

    begin: datetime
    end: datetime
    reason: Reason
    """`silent`: nothing came for too long; `unusable`: what came was bad or stale"""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end - self.begin).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sightings:
    """When one sensor was heard: instants of readings, or buckets with readings in them; in order, not overlapping."""

    begin: Time
    """int64, µs since 1970"""
    end: Time
    """int64, µs since 1970; of a reading the same as `begin`"""
    usable: Mask
    """whether there was anything usable"""
    interval: timedelta | None
    """the sensor's usual time between readings, seen from these; None: too few of them"""

    @classmethod
    def of_readings(cls, readings: ReadingBatch) -> "Sightings":
        """Of one sensor's readings, by time."""
        return cls(
            begin=readings.time,
            end=readings.time,
            usable=usable(readings.quality),
            interval=_usual(np.diff(readings.time)),
        )

    @classmethod
    def of_buckets(cls, buckets: Buckets) -> "Sightings":
        """Of one sensor's rollups, by time. A bucket with one usable reading is usable."""
        interval = _usual(np.diff(buckets.time))
        if interval is not None and np.median(buckets.count) >= 2:
            interval = buckets.step / float(np.median(buckets.count))
        return cls(
            begin=buckets.time,
            end=buckets.time + buckets.step // _MICROSECOND,
            usable=buckets.usable_count > 0,
            interval=interval,
        )


def silent_after(interval: timedelta | None) -> timedelta | None:
    """How long a sensor that reports at this interval may say nothing before that is a gap; None: for ever."""
    return None if interval is None else _MISSED * interval


def find_gaps(sightings: Sightings, begin: datetime, end: datetime, tolerance: timedelta | None) -> list[Gap]:
    """The gaps in [begin, end), in order of time.

    Silence begins with the last reading before it and ends with the next one; a bad or stale reading makes a gap from
    itself to the next reading. So also before the first reading and after the last one. Of buckets, silence is what is
    certain: from the end of one to the begin of the next. Nothing at all in the window is one silence.

    Args:
        sightings: of one sensor, inside the window, buckets at the edges may reach over it.
        begin, end: the window; let it end now, or before: what is still to come is not missing.
        tolerance: longer silence is a gap; None: the sensor reports when it likes, and only bad values make gaps.
    """
    edges = np.array([to_micros(begin), to_micros(end)])
    count = sightings.begin.size
    if not count:
        return [] if edges[0] >= edges[1] else [Gap(begin=begin, end=end, reason="silent")]
    # Window's begin, sighting, between, sighting, ..., sighting, window's end: 2 n + 1 stretches by their borders.
    borders = np.concatenate(([edges[0]], np.stack((sightings.begin, sightings.end), axis=1).ravel(), [edges[1]]))
    borders = np.clip(borders, *edges)
    reason = np.zeros(2 * count + 1, np.int8)
    reason[1::2] = reason[2::2] = np.where(sightings.usable, 0, 2)
    if tolerance is not None:
        reason[::2][np.diff(borders)[::2] > tolerance // _MICROSECOND] = 1
    # Neighbours of one reason are one gap.
    starts = np.flatnonzero(np.diff(reason, prepend=np.int8(-1)) != 0)
    ends = np.append(starts[1:], reason.size)
    return [
        Gap(begin=to_datetime(borders[first]), end=to_datetime(borders[after]), reason=_REASONS[int(reason[first])])
        for first, after in zip(starts.tolist(), ends.tolist(), strict=True)
        if reason[first] and borders[first] < borders[after]
    ]


def _usual(intervals: npt.NDArray[np.int64]) -> timedelta | None:
    """An interval that nine of ten are no longer than: the usual one of a sensor that is regular or nearly so.

    Not the median: a sensor that sends on change, or slower at rest, would be silent half of its time.
    """
    if intervals.size < _FEW:
        return None
    return int(np.quantile(intervals, 0.9, method="lower")) * _MICROSECOND
