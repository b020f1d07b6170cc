"""When a silent sensor's time is taken to have passed anyway.

Evaluation knows event time only. A limit exceeded, then no more readings: does the on-delay run out? It does, once the
sensor has been silent for `silence_s` on our clock; its event time then goes on at the pace of ours. Measured from when
its last reading arrived, this holds for live data, for a backlog after an outage, and for a replay alike.
"""

import numpy as np
import numpy.typing as npt

from telemetry.batch import ReadingBatch
from telemetry.journal import Tick

__all__ = ["Silence"]


class Silence:
    """Last event time and last arrival of each sensor."""

    def __init__(self, silence_s: float) -> None:
        self._silence_s = silence_s
        self._last: dict[int, tuple[int, float]] = {}

    def observe(self, batch: ReadingBatch, monotonic_s: float) -> None:
        """Readings arrived now."""
        if not len(batch):
            return
        order = batch.order()
        sensor, time = batch.sensor_id[order], batch.time[order]
        ends = np.flatnonzero(np.append(sensor[1:] != sensor[:-1], True))
        for sensor_id, moment in zip(sensor[ends].tolist(), time[ends].tolist(), strict=True):
            before = self._last.get(sensor_id, (moment, 0.0))[0]
            self._last[sensor_id] = (max(before, moment), monotonic_s)

    def unknown(self, sensors: npt.NDArray[np.int32]) -> list[int]:
        """Those of these sensors of which no reading was observed yet."""
        return [sensor for sensor in sensors.tolist() if sensor not in self._last]

    def tick(self, sensors: npt.NDArray[np.int32], monotonic_s: float) -> Tick | None:
        """How far event time has come for those of these sensors that have been silent long enough."""
        due: list[int] = []
        now: list[int] = []
        for sensor in sensors.tolist():
            if sensor not in self._last:
                continue
            moment, arrived_s = self._last[sensor]
            silent_s = monotonic_s - arrived_s
            if silent_s >= self._silence_s:
                due.append(sensor)
                now.append(moment + int((silent_s - self._silence_s) * 1e6))
        if not due:
            return None
        return Tick(sensor_id=np.array(due, np.int32), now=np.array(now, np.int64))
