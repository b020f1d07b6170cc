"""`Buckets`: rows of the rollups as columns, and what follows from them: mean, spread, wider buckets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

import asyncpg
import numpy as np
import numpy.typing as npt

from telemetry.batch import SensorId, Time, to_datetime, to_micros
from telemetry.copy_rows import POSTGRES_EPOCH_US, fetch_rows, row_type
from telemetry.sql import load_queries

__all__ = ["Buckets", "Count", "Resolution", "Sums", "Value", "ceiling", "floor", "read_buckets", "read_sums"]

_SQL = load_queries("telemetry", "ranges.sql")
_INTEGERS = ("count", "good_count", "usable_count")
_FLOATS = ("min", "max", "sum", "sum_sq", "first", "last")
_COLUMNS = ("time", "sensor_id", *_INTEGERS, *_FLOATS)
_SUM_COLUMNS = ("time", "sensor_id", "usable_count", "sum")
_SUM_ROW = row_type(time="i8", sensor_id="i4", usable_count="i8", sum="f8")
_ROW = row_type(time="i8", sensor_id="i4", **dict.fromkeys(_INTEGERS, "i8"), **dict.fromkeys(_FLOATS, "f8"))
_MICROSECOND = timedelta(microseconds=1)
_ROUNDINGS = 4
_PRECISION = 0.1
"""of a variance; its root is twice as precise"""

Count = npt.NDArray[np.int64]
Value = npt.NDArray[np.float64]


class Resolution(StrEnum):
    """How finely a series is looked at: every reading, or a row a sensor and UTC minute, hour or day."""

    RAW = "raw"
    MINUTE = "1m"
    HOUR = "1h"
    DAY = "1d"

    @property
    def step(self) -> timedelta:
        """Width of a bucket; zero for raw."""
        return _STEPS[self]


_STEPS = {
    Resolution.RAW: timedelta(0),
    Resolution.MINUTE: timedelta(minutes=1),
    Resolution.HOUR: timedelta(hours=1),
    Resolution.DAY: timedelta(days=1),
}
_READ = {Resolution.MINUTE: "read_minutes", Resolution.HOUR: "read_hours", Resolution.DAY: "read_days"}
_SUM = {Resolution.MINUTE: "sum_minutes", Resolution.HOUR: "sum_hours", Resolution.DAY: "sum_days"}


def floor(moment: datetime, step: timedelta) -> datetime:
    """Begin of the bucket a moment lies in. Buckets of every width are counted from 1970-01-01 UTC."""
    width = step // _MICROSECOND
    return to_datetime(to_micros(moment) // width * width)


def ceiling(moment: datetime, step: timedelta) -> datetime:
    """Begin of the first bucket that begins at the moment or after it."""
    width = step // _MICROSECOND
    return to_datetime(-(-to_micros(moment) // width) * width)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Buckets:
    """Rollups as equally long columns, by (sensor_id, time): a row a bucket in which readings are stored."""

    step: timedelta
    """width of each bucket"""
    time: Time
    """int64, begin of the bucket, microseconds since 1970-01-01 UTC"""
    sensor_id: SensorId
    """int32"""
    count: Count
    """int64, all readings"""
    good_count: Count
    """int64, those with quality good"""
    usable_count: Count
    """int64, good and uncertain ones: what the columns below are of; NaN where there are none"""
    min: Value
    max: Value
    sum: Value
    """infinite, or NaN, where a value was beyond 1e300"""
    sum_sq: Value
    """sum of squares; infinite where a value was beyond 1e150"""
    first: Value
    """by time"""
    last: Value

    def __len__(self) -> int:
        return int(self.time.size)

    @property
    def mean(self) -> Value:
        """Mean of the usable readings, each counting the same; NaN without any, and where the sum is not finite."""
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(np.isfinite(self.sum), self.sum / self.usable_count, np.nan)
        # The sum is rounded: a mean does not lie outside its values for that.
        return np.asarray(np.clip(mean, self.min, self.max), np.float64)

    @property
    def standard_deviation(self) -> Value:
        """Standard deviation of the usable readings (the root of the mean squared distance from the mean).

        NaN without any, where `sum_sq` is not finite, and where it is not known: mean square less square of mean loses
        all digits where the spread is small beside the values (0.01 at 1e8). What is left is held between what n values
        with this minimum, mean and maximum have at least, (max - min)² / 2n, and at most, (max - mean) · (mean - min):
        never negative, and 0 where all values are the same.

        Source of the upper bound: Bhatia, Davis, "A better bound on the variance", Amer. Math. Monthly 107 (2000).
        """
        mean, count = self.mean, self.usable_count
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            mean_square = self.sum_sq / count
            least = (self.max - self.min) ** 2 / (2 * count)
            most = (self.max - mean) * (mean - self.min)
            variance = np.maximum(np.minimum(np.maximum(mean_square - mean * mean, least), most), 0)
            # What summing up n rounded squares may be off by.
            noise = _ROUNDINGS * np.finfo(np.float64).eps * np.sqrt(count) * mean_square
            known = np.isfinite(self.sum_sq) & ((noise < _PRECISION * variance) | (most <= 0))
            return np.where(known, np.sqrt(variance), np.nan)

    def of(self, sensor_id: int) -> "Buckets":
        """Those of one sensor."""
        return self.take(self.sensor_id == sensor_id)

    def take(self, mask: npt.NDArray[np.bool_]) -> "Buckets":
        """Those where the mask is true."""
        return replace(self, **{name: getattr(self, name)[mask] for name in _COLUMNS})

    def merged(self, step: timedelta) -> "Buckets":
        """The same readings in wider buckets, exactly.

        Raises:
            ValueError: `step` is not a multiple of ours.
        """
        if step % self.step:
            raise ValueError(f"buckets of {step} cannot be made of buckets of {self.step}")
        if step == self.step or not len(self):
            return replace(self, step=step)
        begin = self.time // (step // _MICROSECOND) * (step // _MICROSECOND)
        new = np.ones(len(self), np.bool_)
        new[1:] = (np.diff(begin) != 0) | (np.diff(self.sensor_id) != 0)
        starts = np.flatnonzero(new)
        ends = np.append(starts[1:], len(self))
        valued = np.flatnonzero(self.usable_count > 0)
        first, after = np.searchsorted(valued, starts), np.searchsorted(valued, ends)
        some = first < after
        # Where there is none the position does not matter, as long as it is one.
        rows = valued if valued.size else np.zeros(1, np.intp)

        def known(column: Value) -> Value:
            return np.where(some, column, np.nan)

        def total(column: Value) -> Value:
            with np.errstate(invalid="ignore", over="ignore"):
                return known(np.add.reduceat(np.where(self.usable_count > 0, column, 0.0), starts))

        return Buckets(
            step=step,
            time=begin[starts],
            sensor_id=self.sensor_id[starts],
            count=np.add.reduceat(self.count, starts),
            good_count=np.add.reduceat(self.good_count, starts),
            usable_count=np.add.reduceat(self.usable_count, starts),
            min=np.fmin.reduceat(self.min, starts),
            max=np.fmax.reduceat(self.max, starts),
            sum=total(self.sum),
            sum_sq=total(self.sum_sq),
            first=known(self.first[rows[np.minimum(first, rows.size - 1)]]),
            last=known(self.last[rows[np.maximum(after - 1, 0)]]),
        )


async def read_buckets(
    connection: asyncpg.Connection,
    sensor_ids: Sequence[int],
    begin: datetime,
    end: datetime,
    resolution: Resolution,
) -> Buckets:
    """Rollups of these sensors: every bucket that has a part in [begin, end), whole, also at the edges.

    Raises:
        ValueError: `resolution` is raw, which has no buckets.
    """
    columns = await _read(connection, sensor_ids, begin, end, resolution, _READ, _ROW)
    return Buckets(step=resolution.step, **columns)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sums:
    """What means are made of, as equally long columns by (sensor_id, time): a row a bucket with a usable reading."""

    time: Time
    """int64, begin of the bucket, microseconds since 1970-01-01 UTC"""
    sensor_id: SensorId
    """int32"""
    usable_count: Count
    """int64, at least 1"""
    sum: Value
    """of the usable readings; not finite where a value was beyond 1e300"""

    def of(self, sensor_id: int) -> "Sums":
        """Those of one sensor."""
        begin, end = np.searchsorted(self.sensor_id, [sensor_id, sensor_id + 1])
        return Sums(**{name: getattr(self, name)[begin:end] for name in _SUM_COLUMNS})

    @property
    def mean(self) -> Value:
        """Mean of the usable readings; NaN where the sum is not finite."""
        with np.errstate(invalid="ignore"):
            return np.where(np.isfinite(self.sum), self.sum / self.usable_count, np.nan)


async def read_sums(
    connection: asyncpg.Connection,
    sensor_ids: Sequence[int],
    begin: datetime,
    end: datetime,
    resolution: Resolution,
) -> Sums:
    """Sums of these sensors' rollups: every bucket that has a part in [begin, end), whole, also at the edges.

    Raises:
        ValueError: `resolution` is raw, which has no buckets.
    """
    return Sums(**await _read(connection, sensor_ids, begin, end, resolution, _SUM, _SUM_ROW))


async def _read(
    connection: asyncpg.Connection,
    sensor_ids: Sequence[int],
    begin: datetime,
    end: datetime,
    resolution: Resolution,
    queries: Mapping[Resolution, str],
    row: np.dtype[np.void],
) -> dict[str, Any]:
    """Columns by name, by (sensor_id, time)."""
    if resolution is Resolution.RAW:
        raise ValueError("raw readings are not in buckets; read_readings has them")
    rows = np.empty(0, row)
    if len(sensor_ids) and begin < end:
        edges = floor(begin, resolution.step), ceiling(end, resolution.step)
        rows = await fetch_rows(connection, _SQL[queries[resolution]], list(sensor_ids), *edges, row=row)
    names = [name for name in row.names or () if name in _COLUMNS]
    # In the byte order of this machine.
    columns: dict[str, Any] = {name: rows[name].astype(rows[name].dtype.newbyteorder("=")) for name in names}
    columns["time"] += POSTGRES_EPOCH_US
    order = np.lexsort((columns["time"], columns["sensor_id"]))
    return {name: column[order] for name, column in columns.items()}
