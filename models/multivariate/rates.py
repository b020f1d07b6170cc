"""`Rates`: how often sensors speak, from the first readings of each."""

import numpy as np
import numpy.typing as npt

__all__ = ["Rates"]

_INTERVALS = 9
"""whose median it is"""

Times = npt.NDArray[np.int64]
Index = npt.NDArray[np.intp]


class Rates:
    """The median of the first nine intervals between readings of a sensor; equal times are no interval.

    Args:
        sensors: how many.
        never: a time that lies before all others.
    """

    def __init__(self, sensors: int, *, never: int) -> None:
        self._never = never
        self._gap = np.zeros((sensors, _INTERVALS), np.int64)
        self._told = np.zeros(sensors, np.int64)
        self._previous = np.full(sensors, never, np.int64)
        self.first = np.full(sensors, never, np.int64)
        """µs, time of the first reading; `never`: there was none"""
        self.told_at = np.full(sensors, np.iinfo(np.int64).max, np.int64)
        """µs, time of the reading by which the interval is known; the highest number: it is not yet"""
        self.interval = np.zeros(sensors, np.int64)
        """µs; 0: not known yet"""

    def learn(self, sensor: Index, length: Index, time: Times) -> None:
        """Take readings: of each of these sensors so many, in order of time."""
        begin = np.cumsum(length) - length
        for row in np.flatnonzero(self._told[sensor] < _INTERVALS).tolist():
            self._learn_one(int(sensor[row]), time[begin[row] : begin[row] + length[row]])

    def _learn_one(self, sensor: int, time: Times) -> None:
        if self.first[sensor] == self._never:
            self.first[sensor] = self._previous[sensor] = time[0]
        moved = time[np.diff(time, prepend=self._previous[sensor]) > 0]
        told = self._told[sensor]
        moved = moved[: _INTERVALS - told]
        if not moved.size:
            return
        self._gap[sensor, told : told + moved.size] = np.diff(moved, prepend=self._previous[sensor])
        self._previous[sensor] = moved[-1]
        self._told[sensor] = told + moved.size
        if self._told[sensor] == _INTERVALS:
            self.told_at[sensor] = moved[-1]
            self.interval[sensor] = np.median(self._gap[sensor])

    def arrays(self) -> dict[str, npt.NDArray[np.int64]]:
        """The state, one row a sensor; by reference."""
        return {
            "gap": self._gap,
            "told": self._told,
            "previous": self._previous,
            "first": self.first,
            "told_at": self.told_at,
            "interval": self.interval,
        }
