"""Robust EWMA control chart over many sensors at once."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from models.parameter import Parameter
from models.streaming.segments import Segments
from telemetry.batch import ReadingBatch
from telemetry.snapshot import pack, unpack

__all__ = ["PARAMETERS", "EwmaDetector"]

_LABEL = "ewma/1"
_SIGMA_PER_DEVIATION = float(np.sqrt(np.pi / 2))
"""standard deviation of a normal distribution over its mean absolute deviation"""
_SMALLEST_SCALE = 1e-300
_UNCLIPPED = 10
"""readings at the start of the warm-up that are taken as they are: there is no scale yet to clip by"""

PARAMETERS: Mapping[str, Parameter] = {
    "smoothing": Parameter(
        default=0.2, low=0.001, high=1.0, meaning="weight of the newest reading in the chart (lambda)"
    ),
    "learning_rate": Parameter(
        default=0.001,
        low=0.0,
        high=0.5,
        meaning="smallest weight of a reading in level and scale",
    ),
    "warmup": Parameter(
        default=100,
        low=10,
        high=1_000_000,
        whole=True,
        meaning="readings learned from before the first score",
    ),
    "gate": Parameter(default=6.0, low=1.0, high=1e6, meaning="score above which nothing is learned"),
    "side": Parameter(default=0, low=-1, high=1, whole=True, meaning="1: only rises count, -1: only falls, 0: both"),
    "clip": Parameter(
        default=3.0,
        low=1.0,
        high=100.0,
        meaning="deviations beyond this many sigmas are learned as this many",
    ),
    "reach": Parameter(
        default=20.0, low=3.0, high=1e6, meaning="deviations beyond this many sigmas are charted as this many"
    ),
    "min_scale": Parameter(
        default=0.0, low=0.0, high=1e300, meaning="smallest sigma, in the sensor's unit; e.g. its resolution"
    ),
    "relative_floor": Parameter(
        default=1e-10, low=1e-14, high=1.0, meaning="smallest sigma as a share of the level's magnitude"
    ),
}

Column = npt.NDArray[np.float64]
Setting = float | Column


@dataclass(slots=True)
class _State:
    """float64 each, one row a sensor."""

    count: Column
    """readings learned from"""
    level: Column
    deviation: Column
    """mean absolute deviation from the level, clipped"""
    chart: Column
    """EWMA of the deviations in sigmas"""
    variance: Column
    """of `chart` under independent noise of one sigma"""

    @classmethod
    def fresh(cls, count: int) -> "_State":
        return cls(*(np.zeros(count) for _ in fields(cls)))

    def take(self, index: npt.NDArray[np.intp] | slice) -> "_State":
        return _State(*(getattr(self, field.name)[index] for field in fields(self)))

    def put(self, index: npt.NDArray[np.intp], rows: "_State") -> None:
        for field in fields(self):
            getattr(self, field.name)[index] = getattr(rows, field.name)


class EwmaDetector:
    """How far the smoothed reading is from its usual level, in sigmas of the smoothed noise.

    Each reading's deviation from the learned level, in learned sigmas, goes into an exponentially weighted
    moving average; the score is its magnitude over its standard deviation under independent noise,
    `sqrt(lambda / (2 - lambda) * (1 - (1 - lambda)^2k))` after k readings (Roberts 1959). Under such noise
    it is about |N(0, 1)|. Real signals wander more than independent noise does, so a rule on the score wants
    a limit well above 3, and above `gate`.

    Level and scale are learned as running means whose weight sinks from 1/n to `learning_rate`, from
    deviations clipped at `clip` sigmas (Huber 1964), so that outliers count little; never from squares, so
    that an offset of 1e8 costs no digits. Nothing is learned while the score is above `gate`: a fault is not
    absorbed, and after a change that is there to stay the sensor has to be learned afresh.

    A signal that never moved in its warm-up has no noise to measure by: give such a sensor a `min_scale`,
    or its first step of one digit scores as high as any.

    Args:
        sensor_ids: int32, sorted, each once.
        smoothing, learning_rate, ...: see `PARAMETERS`; one number, or one a sensor.
    """

    def __init__(
        self,
        sensor_ids: npt.NDArray[np.int32],
        *,
        smoothing: Setting = PARAMETERS["smoothing"].default,
        learning_rate: Setting = PARAMETERS["learning_rate"].default,
        warmup: Setting = PARAMETERS["warmup"].default,
        gate: Setting = PARAMETERS["gate"].default,
        side: Setting = PARAMETERS["side"].default,
        clip: Setting = PARAMETERS["clip"].default,
        reach: Setting = PARAMETERS["reach"].default,
        min_scale: Setting = PARAMETERS["min_scale"].default,
        relative_floor: Setting = PARAMETERS["relative_floor"].default,
    ) -> None:
        self._sensor_ids = np.array(sensor_ids, np.int32)
        count = self._sensor_ids.size
        self._smoothing, self._learning_rate, self._warmup, self._gate, self._side = (
            np.broadcast_to(np.asarray(setting, np.float64), count)
            for setting in (smoothing, learning_rate, warmup, gate, side)
        )
        self._clip, self._reach, self._min_scale, self._relative_floor = (
            np.broadcast_to(np.asarray(setting, np.float64), count)
            for setting in (clip, reach, min_scale, relative_floor)
        )
        self._state = _State.fresh(count)

    @property
    def sensor_ids(self) -> npt.NDArray[np.int32]:
        """The sensors scored, sorted, each once."""
        return self._sensor_ids

    def score(self, batch: ReadingBatch) -> npt.NDArray[np.float64]:
        """Score readings (sorted by sensor and time), each before it is learned from; see `Detector`."""
        scores = np.full(len(batch), np.nan)
        segments = Segments.of(batch, self._sensor_ids)
        sensor = segments.sensor
        smoothing, learning_rate = self._smoothing[sensor], self._learning_rate[sensor]
        warmup, gate, side = self._warmup[sensor], self._gate[sensor], self._side[sensor]
        clip, reach = self._clip[sensor], self._reach[sensor]
        min_scale, relative_floor = self._min_scale[sensor], self._relative_floor[sensor]
        state = self._state.take(sensor)
        for position in segments.rounds():
            front = slice(position.size)
            rows = state.take(front)
            value = batch.value[position]
            warm = rows.count >= warmup[front]
            scale = np.maximum(
                rows.deviation * _SIGMA_PER_DEVIATION,
                np.maximum(min_scale[front], relative_floor[front] * np.abs(rows.level)),
            )
            # A level of exactly 0 that never moved leaves no scale at all.
            scale = np.where(scale > 0, scale, _SMALLEST_SCALE)
            difference = value - rows.level
            weight = smoothing[front]
            # Clipped before the division, which then cannot overflow.
            sigmas = np.clip(difference, -reach[front] * scale, reach[front] * scale) / scale
            chart = rows.chart + weight * (sigmas - rows.chart)
            variance = (1 - weight) ** 2 * rows.variance + weight**2
            oriented = np.where(side[front] == 0, np.abs(chart), np.maximum(chart * side[front], 0.0))
            score = oriented / np.sqrt(variance)
            scores[position[warm]] = score[warm]

            learned = ~warm | (score <= gate[front])
            count = rows.count + learned
            gain = np.where(learned, np.maximum(1 / np.maximum(count, 1), learning_rate[front]), 0.0)
            bound = np.where(rows.count < _UNCLIPPED, np.inf, clip[front] * scale)
            clipped = np.clip(difference, -bound, bound)
            # The first reading is the level; it says nothing about the scale, where n - 1 count.
            first = rows.count == 0
            spread_gain = np.where(
                learned & ~first, np.maximum(1 / np.maximum(count - 1, 1), learning_rate[front]), 0.0
            )
            rows.level[:] = np.where(first, value, rows.level + gain * clipped)
            rows.deviation[:] = rows.deviation + spread_gain * (np.abs(clipped) - rows.deviation)
            rows.count[:] = count
            rows.chart[:] = np.where(warm, chart, 0.0)
            rows.variance[:] = np.where(warm, variance, 0.0)
        self._state.put(sensor, state)
        return scores

    def snapshot(self) -> bytes:
        """Five numbers a sensor."""
        columns = {field.name: getattr(self._state, field.name) for field in fields(_State)}
        return pack(_LABEL, {"sensor_id": self._sensor_ids, **columns})

    def restore(self, body: bytes) -> None:
        """Go back to a snapshot; see `Detector`."""
        arrays = unpack(_LABEL, body)
        _, here, there = np.intersect1d(
            self._sensor_ids, arrays.pop("sensor_id"), assume_unique=True, return_indices=True
        )
        self._state = _State.fresh(self._sensor_ids.size)
        self._state.put(here, _State(**arrays).take(there))
