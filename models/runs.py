"""The readings of a batch, sensor after sensor."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from telemetry.batch import ReadingBatch

__all__ = ["Runs", "stretches"]

Times = npt.NDArray[np.int64]
Column = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """A row a sensor, and `length` readings of each, by time."""

    place: Index
    """of the sensor, wherever its state is kept"""
    length: Index
    """1 or more"""
    time: Times
    value: Column

    @classmethod
    def of(cls, batch: ReadingBatch, sensor_ids: npt.NDArray[np.int32], place: Index) -> Self:
        """The readings of a batch sorted by (sensor_id, time), of whatever quality.

        Args:
            batch: the readings.
            sensor_ids: those that there may be, sorted, each once.
            place: of each of them.

        Raises:
            ValueError: the batch has a reading of another sensor.
        """
        ids = batch.sensor_id
        begin = np.concatenate((np.zeros(min(1, ids.size), np.intp), np.flatnonzero(ids[1:] != ids[:-1]) + 1))
        ids = ids[begin]
        at = np.searchsorted(sensor_ids, ids)
        known = at < sensor_ids.size
        known[known] = sensor_ids[at[known]] == ids[known]
        if not known.all():
            raise ValueError(f"readings of sensors this detector does not look at: {np.unique(ids[~known]).tolist()}")
        return cls(place[at], np.diff(begin, append=len(batch)), batch.time, batch.value)

    def first(self) -> Index:
        """Positions of each sensor's first reading."""
        return np.cumsum(self.length) - self.length

    def last(self) -> Index:
        """Positions of each sensor's last reading."""
        return np.cumsum(self.length) - 1

    def take(self, readings: Mask) -> "Runs":
        """Some of the readings, and the sensors that have any of them."""
        if readings.all():
            return self
        length = np.add.reduceat(readings, self.first(), dtype=np.intp)
        some = length > 0
        return Runs(self.place[some], length[some], self.time[readings], self.value[readings])

    def by_place(self) -> "tuple[Runs, Index]":
        """In the order of the places, and where each reading was before."""
        order = np.argsort(self.place, kind="stable")
        length = self.length[order]
        reading = stretches(self.first()[order], length)
        return Runs(self.place[order], length, self.time[reading], self.value[reading]), reading


def stretches(begin: Index, length: Index) -> Index:
    """Positions of so many from each begin on, one stretch after the other.

    >>> stretches(np.array([5, 2]), np.array([3, 1])).tolist()
    [5, 6, 7, 2]
    """
    before = np.cumsum(length) - length
    return np.repeat(begin - before, length) + np.arange(int(length.sum()))
