"""When a silent sensor's time is taken to have passed anyway.

Evaluation knows event time only. A limit exceeded, then no more readings: does the on-delay run out? It does, once the
sensor has been silent for `silence_s` on our clock; its event time then goes on at the pace of ours. Measured from when
its last reading arrived, this holds for live data, for a backlog after an outage, and for a replay alike.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from telemetry.batch import ReadingBatch
from telemetry.journal import Tick

__all__ = ["Silence"]

_NEVER = np.iinfo(np.int64).min


class Silence:
    """Last event time and last arrival of each sensor."""

    def __init__(self, silence_s: float) -> None:
        self._silence_s = silence_s
        # By sensor id: the database counts them from 1 on.
        self._last = np.full(0, _NEVER, np.int64)
        self._arrived_s = np.zeros(0)
        self._assumed = np.zeros(0, np.bool_)
        self._together: list[npt.NDArray[np.int32]] = []
        """sensors never heard of that are watched together, each with all the others"""

    def observe(self, batch: ReadingBatch, monotonic_s: float) -> None:
        """Readings arrived now."""
        if not len(batch):
            return
        self._make_room(int(batch.sensor_id.max()))
        if self._assumed[batch.sensor_id].any():
            self._drop_assumptions(batch.sensor_id)
        np.maximum.at(self._last, batch.sensor_id, batch.time)
        self._arrived_s[batch.sensor_id] = monotonic_s

    def assume(self, together: Sequence[tuple[npt.NDArray[np.int32], int]], monotonic_s: float) -> None:
        """Sensors that never said anything are silent since somebody watches them.

        The first reading of one says more: with it the assumption about all of its fellows is gone.

        Args:
            together: sensors watched as one, and since when (us of event time); passed over where one was heard.
        """
        for sensors, since_us in together:
            self._make_room(int(sensors.max()))
            if ((self._last[sensors] == _NEVER) | self._assumed[sensors]).all():
                self._last[sensors] = np.maximum(self._last[sensors], since_us)
                self._arrived_s[sensors] = monotonic_s
                self._assumed[sensors] = True
                self._together.append(sensors)

    def _drop_assumptions(self, heard: npt.NDArray[np.int32]) -> None:
        kept = []
        for sensors in self._together:
            if not np.isin(sensors, heard).any():
                kept.append(sensors)
                continue
            self._last[sensors] = _NEVER
            self._assumed[sensors] = False
        self._together = kept

    def unknown(self, sensors: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
        """Those of these sensors of which no reading was observed yet."""
        if not sensors.size:
            return sensors
        self._make_room(int(sensors.max()))
        unheard: npt.NDArray[np.int32] = sensors[self._last[sensors] == _NEVER]
        return unheard

    def tick(self, sensors: npt.NDArray[np.int32], monotonic_s: float) -> Tick | None:
        """How far event time has come for those of these sensors that have been silent long enough."""
        if not sensors.size:
            return None
        self._make_room(int(sensors.max()))
        silent_s = monotonic_s - self._arrived_s[sensors]
        due = (self._last[sensors] != _NEVER) & (silent_s >= self._silence_s)
        if not due.any():
            return None
        gone_us = ((silent_s[due] - self._silence_s) * 1e6).astype(np.int64)
        return Tick(sensor_id=sensors[due], now=self._last[sensors[due]] + gone_us)

    def _make_room(self, sensor_id: int) -> None:
        missing = sensor_id + 1 - self._last.size
        if missing > 0:
            more = max(missing, self._last.size)
            self._last = np.concatenate((self._last, np.full(more, _NEVER, np.int64)))
            self._arrived_s = np.concatenate((self._arrived_s, np.zeros(more)))
            self._assumed = np.concatenate((self._assumed, np.zeros(more, np.bool_)))
