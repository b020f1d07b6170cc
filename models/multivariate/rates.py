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
        listening = self._told[sensor] < _INTERVALS
        if not listening.any():
            return
        at, end = (np.cumsum(length) - length)[listening], np.cumsum(length)[listening]
        sensor = sensor[listening]
        fresh = self.first[sensor] == self._never
        self.first[sensor[fresh]] = self._previous[sensor[fresh]] = time[at[fresh]]
        while sensor.size:
            # One reading of each at a time.
            now = time[at]
            moved = now > self._previous[sensor]
            some, then = sensor[moved], now[moved]
            self._gap[some, self._told[some]] = then - self._previous[some]
            self._previous[some] = then
            self._told[some] += 1
            done = self._told[some] == _INTERVALS
            self.told_at[some[done]] = then[done]
            self.interval[some[done]] = np.median(self._gap[some[done]], axis=1)
            at += 1
            going = (at < end) & (self._told[sensor] < _INTERVALS)
            sensor, at, end = sensor[going], at[going], end[going]

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
