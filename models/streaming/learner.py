"""The frame of detectors that keep an object a sensor, as those of river: limits they set themselves, and the rest."""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from models.contract import ALARM
from models.streaming.learning import SIGMA_PER_DEVIATION
from models.streaming.limits import SECONDS_PER_YEAR, BlockMaxima
from models.streaming.segments import Segments
from telemetry.batch import ReadingBatch
from telemetry.snapshot import pack, unpack

__all__ = ["Learner", "LearnerDetector", "Range"]

Numbers = npt.NDArray[np.float64]

_BLOCKS = 16
"""block maxima before the first score"""
_LIMIT_ROOM = 1.5
"""what a limit may grow to, in limits of the warm-up"""
_UNCLIPPED = 10
"""readings at the start of the warm-up that are taken as they are: there is no scale yet to clip by"""
_CLIP = 3.0
"""sigmas beyond which a deviation counts as this many while the range is learned (Huber 1964)"""
_RELATIVE_FLOOR = 1e-10
"""smallest sigma as a share of the level's magnitude, so that rounding noise stays noise"""
_UNMOVED = 0.05
"""sigma of a sensor that never moved, as a share of its level: nobody knows yet how it moves"""
_VAST = 1e300
_ROW = ("count", "first_at", "in_block", "peak", "spoilt", "limit", "anchor")
_COUNT, _FIRST_AT, _IN_BLOCK, _PEAK, _SPOILT, _LIMIT, _ANCHOR = range(len(_ROW))
_KEPT = ("maxima", "filled", "readings", "largest", "pending")


class Learner(Protocol):
    """What learns one sensor."""

    @property
    def least(self) -> float:
        """A limit is never smaller."""
        ...

    @property
    def most(self) -> float:
        """A limit is never larger; inf: no bound."""
        ...

    def statistic(self, value: float) -> float:
        """How unusual a value is, before it is learned; NaN as long as that is not known. Tail about exponential."""
        ...

    def learn(self, value: float, *, anomalous: bool) -> None:
        """Learn the value just judged, or not, if it is anomalous."""
        ...

    def numbers(self) -> Numbers:
        """The whole state; always of the same size."""
        ...

    def become(self, numbers: Numbers | None) -> bool:
        """Take over what `numbers` gave; None, or numbers of one with another shape: know nothing, and say False."""
        ...


class Range:
    """Where values and their changes usually lie, learned in a warm-up: level, spread, mean change."""

    size = 5

    def __init__(self, numbers: Sequence[float] = (0.0,) * size) -> None:
        self.count, self.level, self.spread, self.change, self.previous = numbers

    def numbers(self) -> list[float]:
        """As the constructor takes them."""
        return [self.count, self.level, self.spread, self.change, self.previous]

    def learn(self, value: float) -> None:
        """Take in one value."""
        self.count += 1
        if self.count == 1:
            self.level = self.previous = value
            return
        weight = 1 / (self.count - 1)
        deviation, change = value - self.level, abs(value - self.previous)
        if self.count > _UNCLIPPED:
            bound = _CLIP * self.sigma
            deviation = min(max(deviation, -bound), bound)
            change = min(change, _CLIP * self.sigma_of_change)
        self.level += deviation / self.count
        self.spread += weight * (abs(deviation) - self.spread)
        self.change += weight * (change - self.change)
        self.previous = value

    @property
    def sigma(self) -> float:
        """Of the values."""
        return self._sigma(self.spread)

    @property
    def sigma_of_change(self) -> float:
        """Of the differences of successive values."""
        return self._sigma(self.change)

    def _sigma(self, deviation: float) -> float:
        floor = _RELATIVE_FLOOR * abs(self.level)
        if deviation * SIGMA_PER_DEVIATION <= floor:
            return _UNMOVED * abs(self.level) or _VAST
        return deviation * SIGMA_PER_DEVIATION


class LearnerDetector:
    """Any number of `Learner`, one a sensor, each with a limit of its own.

    The statistic's maxima over the first 16 blocks of readings after the learner knows what is usual set the limit
    (`BlockMaxima`), which goes on being refined in normal time, up to 1.5 times the first. Readings that score
    `ALARM` or more are kept out of all learning, and with them their block out of the limit.

    Args:
        sensor_ids: int32, sorted, each once.
        learners: one a sensor.
        label: of snapshots.
        block: readings of a block, one a sensor.
        budget: false alarms a sensor-year, one a sensor.
    """

    def __init__(
        self,
        sensor_ids: npt.NDArray[np.int32],
        learners: Sequence[Learner],
        *,
        label: str,
        block: npt.NDArray[np.int64],
        budget: Numbers,
    ) -> None:
        self._sensor_ids = np.array(sensor_ids, np.int32)
        self._learners, self._label, self._block, self._budget = learners, label, block, budget
        count = self._sensor_ids.size
        self._maxima = BlockMaxima(count)
        self._row = np.zeros((len(_ROW), count))
        self._forget(np.arange(count))

    @property
    def sensor_ids(self) -> npt.NDArray[np.int32]:
        """The sensors scored, sorted, each once."""
        return self._sensor_ids

    def score(self, batch: ReadingBatch) -> npt.NDArray[np.float64]:
        """Score readings (sorted by sensor and time), each before it is learned from; see `Detector`."""
        scores = np.full(len(batch), np.nan)
        segments = Segments.of(batch, self._sensor_ids)
        for sensor, begin, length in zip(
            segments.sensor.tolist(), segments.begin.tolist(), segments.length.tolist(), strict=True
        ):
            readings = segments.reading[begin : begin + length]
            times = batch.time[readings].astype(np.float64).tolist()
            values = batch.value[readings].tolist()
            scores[readings] = [self._score(sensor, at, value) for at, value in zip(times, values, strict=True)]
        return scores

    def _score(self, sensor: int, time: float, value: float) -> float:
        learner, row = self._learners[sensor], self._row[:, sensor]
        if not row[_COUNT]:
            row[_FIRST_AT] = time
        row[_COUNT] += 1
        statistic = learner.statistic(value)
        score = statistic / row[_LIMIT] if row[_LIMIT] > 0 else math.nan
        anomalous = score >= ALARM
        learner.learn(value, anomalous=anomalous)
        if not math.isnan(statistic):
            row[_IN_BLOCK] += 1
            row[_PEAK] = max(row[_PEAK], statistic)
            row[_SPOILT] = max(row[_SPOILT], float(anomalous))
            if row[_IN_BLOCK] >= self._block[sensor]:
                self._end_block(sensor, time)
        return score

    def _end_block(self, sensor: int, time: float) -> None:
        row, one = self._row[:, sensor], np.array([sensor])
        if not row[_SPOILT]:
            whole = self._maxima.add(one, row[_PEAK : _PEAK + 1], row[_IN_BLOCK : _IN_BLOCK + 1])
            if whole.size and (row[_LIMIT] > 0 or self._maxima.filled[sensor] >= _BLOCKS):
                interval_s = (time - row[_FIRST_AT]) / max(row[_COUNT] - 1, 1) / 1e6
                per_reading = np.array([self._budget[sensor] * max(interval_s, 1e-3) / SECONDS_PER_YEAR])
                limit = min(float(self._maxima.limit(one, per_reading=per_reading)[0]), self._learners[sensor].most)
                limit = max(limit, self._learners[sensor].least)
                row[_ANCHOR] = row[_ANCHOR] or limit
                row[_LIMIT] = min(limit, _LIMIT_ROOM * row[_ANCHOR])
        row[_PEAK] = row[_IN_BLOCK] = row[_SPOILT] = 0.0

    def rebaseline(self, sensor_ids: npt.NDArray[np.int32]) -> None:
        """Forget what is usual for these sensors, and warm up anew; see `Detector`."""
        self._forget(np.flatnonzero(np.isin(self._sensor_ids, sensor_ids)))

    def _forget(self, index: npt.NDArray[np.intp]) -> None:
        self._row[:, index] = 0.0
        self._maxima.reset(index, self._block[index])
        for sensor in index.tolist():
            self._learners[sensor].become(None)

    def snapshot(self) -> bytes:
        """The whole state of every sensor."""
        states = [learner.numbers() for learner in self._learners]
        arrays: dict[str, npt.NDArray[Any]] = {
            "sensor_id": self._sensor_ids,
            "row": self._row,
            "size": np.array([state.size for state in states], np.int64),
            "state": np.concatenate([np.empty(0), *states]),
        }
        return pack(self._label, arrays | {part: getattr(self._maxima, part) for part in _KEPT})

    def restore(self, body: bytes) -> None:
        """Go back to a snapshot; see `Detector`. Learners of another shape start fresh."""
        arrays = unpack(self._label, body)
        self._forget(np.arange(self._sensor_ids.size))
        ends = np.cumsum(arrays["size"])
        _, here, there = np.intersect1d(self._sensor_ids, arrays["sensor_id"], assume_unique=True, return_indices=True)
        for sensor, row in zip(here.tolist(), there.tolist(), strict=True):
            state = arrays["state"][ends[row] - int(arrays["size"][row]) : ends[row]]
            if not self._learners[sensor].become(state):
                continue
            self._row[:, sensor] = arrays["row"][:, row]
            for part in _KEPT:
                getattr(self._maxima, part)[..., sensor] = arrays[part][..., row]
