"""Readings of a batch laid out rule by rule, and sums that run along each rule's readings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from telemetry.batch import ReadingBatch

__all__ = ["Inputs", "Stretches", "accumulate", "ranges"]

Index = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stretches:
    """Readings one rule after the other; a stretch is those of one sensor for one rule, in order of time."""

    rule: Index
    """place of the rule of each stretch, ascending"""
    which: Index
    """which of the rule's sensors, of each stretch"""
    start: Index
    """of each stretch in the columns"""
    length: Index
    """of each stretch, never 0"""
    time: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    quality: npt.NDArray[np.int16]

    @property
    def last(self) -> Index:
        """Position of the last reading of each stretch."""
        return self.start + self.length - 1

    def spread(self, column: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """A column with one row per stretch as one with one row per reading."""
        return column if self.length.size == self.time.size else np.repeat(column, self.length, axis=0)


class Inputs:
    """Which rules look at which sensors.

    Args:
        sensors: for each rule, the ids of its sensors
    """

    def __init__(self, sensors: Sequence[Sequence[int]]) -> None:
        self._rule = np.array([place for place, ids in enumerate(sensors) for _ in ids], np.intp)
        self._which = np.array([which for ids in sensors for which in range(len(ids))], np.intp)
        self._sensor = np.array([sensor_id for ids in sensors for sensor_id in ids], np.int32)
        self.sensor_ids = np.unique(self._sensor)

    def stretches(self, batch: ReadingBatch, wanted: npt.NDArray[np.bool_] | None = None) -> Stretches:
        """The readings of each rule; of those where `wanted` is true only."""
        if wanted is not None and not wanted.all():
            batch = batch.take(wanted)
        sensor_id = batch.sensor_id
        starts = np.flatnonzero(
            np.concatenate((np.ones(min(1, len(batch)), np.bool_), sensor_id[1:] != sensor_id[:-1]))
        )
        if not starts.size:
            nothing = np.empty(0, np.intp)
            return Stretches(
                rule=nothing, which=nothing, start=nothing, length=nothing,
                time=batch.time, value=batch.value, quality=batch.quality,
            )  # fmt: skip
        lengths = np.diff(starts, append=len(batch))
        place = np.minimum(np.searchsorted(sensor_id[starts], self._sensor), starts.size - 1)
        found = np.flatnonzero(sensor_id[starts[place]] == self._sensor)
        place = place[found]
        length = lengths[place]
        index = ranges(starts[place], length)
        return Stretches(
            rule=self._rule[found],
            which=self._which[found],
            start=np.cumsum(length) - length,
            length=length,
            time=batch.time[index],
            value=batch.value[index],
            quality=batch.quality[index],
        )


def ranges(start: Index, length: Index) -> Index:
    """start[0], start[0] + 1, ..., length[0] of them; then those of start[1]; and so on.

    >>> ranges(np.array([5, 0]), np.array([3, 2])).tolist()
    [5, 6, 7, 0, 1]
    """
    if length.size and int(length.max()) == 1 == int(length.min()):
        return start
    ends = np.cumsum(length)
    total = int(ends[-1]) if ends.size else 0
    index: Index = np.arange(total) + np.repeat(start - (ends - length), length)
    return index


def accumulate(ufunc: np.ufunc, columns: npt.NDArray[Any], start: Index, length: Index) -> None:
    """Make the rows of each stretch running totals, in place: each row = ufunc(row before, row).

    Strictly one after the other, so that going on from a total later gives the same bits: what `np.cumsum` over
    everything, less the total before the stretch, would not.

    Args:
        ufunc: of two arguments: np.add, np.maximum ...
        columns: shape (rows, ...)
        start: first row of each stretch
        length: rows of each stretch, never 0
    """
    size = np.frexp(length.astype(np.float64) - 1)[1]
    for each in np.unique(size[length > 1]).tolist():
        # Padded to the longest of those that are at most about twice as long as each other.
        alike = np.flatnonzero((size == each) & (length > 1))
        steps = np.arange(int(length[alike].max()))
        index = start[alike, np.newaxis] + steps
        inside = steps < length[alike, np.newaxis]
        whole = bool(inside.all())
        padded = columns[index if whole else np.minimum(index, columns.shape[0] - 1)]
        ufunc.accumulate(padded, axis=1, out=padded)
        if whole:
            columns[index] = padded
        else:
            columns[index[inside]] = padded[inside]
