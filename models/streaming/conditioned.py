"""Baseline conditioned on the operating state: what is usual at this speed, load or other context."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from models.parameter import Parameter
from models.streaming.context import split
from models.streaming.frame import ChartDetector
from models.streaming.learning import Uses
from models.streaming.segments import Segments
from models.streaming.state import COMMON, Column, Rows, Setting, Settings, Table
from telemetry.batch import ReadingBatch

__all__ = ["PARAMETERS", "ConditionedDetector"]

PARAMETERS: Mapping[str, Parameter] = MappingProxyType(
    {**COMMON, "warmup_h": replace(COMMON["warmup_h"], default=168.0)}
)

_BINS = 32
_LOW, _WIDTH, _LEAST, _MOST = range(4)
"""rows of the state before those of `_BINS` each"""
_HEAD = 4
_EACH = 9
_MERGED = 5
"""rows of each bin, and the first of them that two bins bring along when they become one"""
_SEEN, _LEAST_SEEN = 1 / 64, 8.0
"""share of the warm-up, and readings, that a range of the context is learned for before it has a score"""
_INDEPENDENT = 6.0
"""independent looks at a range of the context before it has a score: its mean is then known to 0.4 sigmas"""
_FULL = 1.0
"""warm-ups that it is learned for at all; then it stays, or whatever creeps in would become usual"""
_DOUBLINGS = 100
"""of the range at most, at the end of a block"""
_NARROWEST = 1e-6
"""first range as a share of the context, if it does not move"""
_TINIEST = 1e-300


class ConditionedDetector(ChartDetector):
    """EWMA chart and CUSUM of `ChartDetector` on what the context, e.g. the speed or load of the machine, leaves over.

    The range of the context seen so far is divided into 32 bins, and doubled when it is left. Each bin learns how far
    from its level the sensor is in it, until it has seen as many readings as the warm-up has; between what bins
    have seen, the baseline is a straight line. A context that has hardly been seen yet has no score: what is usual
    there is unknown. Six independent looks are asked for: stays, or readings if they are independent, and fewer the
    more the sensor wanders.

    The context comes as readings of twin sensors, see `models.streaming.context`; without one there is no score, and
    nothing is learned.

    Args:
        sensor_ids: int32, sorted, each once.
        settings: see `PARAMETERS`; one number, or one a sensor.
    """

    def __init__(self, sensor_ids: npt.NDArray[np.int32], **settings: Setting) -> None:
        given = {"warmup_h": PARAMETERS["warmup_h"].default} | settings
        super().__init__(sensor_ids, given, label="conditioned/2", uses=Uses(spread=False), baseline=_Curve())

    @property
    def sensor_ids(self) -> npt.NDArray[np.int32]:
        """The sensors scored and their twins, sorted, each once."""
        return np.union1d(~self._sensor_ids, self._sensor_ids)

    def score(self, batch: ReadingBatch) -> npt.NDArray[np.float64]:
        """Score readings, each before it is learned from; NaN for those of twins. See `Detector`."""
        scores = np.full(len(batch), np.nan)
        own, readings, context = split(batch)
        scores[own] = self._score(Segments.of(readings, self._sensor_ids), readings, context)
        return scores


class _Curve:
    """State of a sensor: `_LOW` ... `_MOST`; and of each bin mean, mean context, readings, stays, whether the block
    before was there, the sums noted of value and context, readings noted; and the curve in use, NaN where too little
    is known."""

    rows = _HEAD + _EACH * _BINS

    def expected(self, state: Table, time: npt.NDArray[np.int64], context: Column) -> Column:
        del time
        _, middle, *_, curve = _bins(state)
        place = _place(state, context)
        sensor = np.arange(state.shape[1])
        here = _bin(place)
        off = context - middle[here, sensor]
        there = np.clip(here + np.where(off >= 0, 1, -1), 0, _BINS - 1)
        far = middle[there, sensor] - middle[here, sensor]
        usable = ~np.isnan(curve[there, sensor]) & (far != 0)
        share = np.where(usable, off / np.where(usable, far, 1.0), 0.0)
        usual = curve[here, sensor]
        usual = usual + np.where(usable, np.minimum(share, 1.0) * (curve[there, sensor] - usual), 0.0)
        return np.where((place >= 0) & (place <= _BINS) & (state[_WIDTH] > 0), usual, np.nan)

    def note(
        self,
        state: Table,
        time: npt.NDArray[np.int64],
        context: Column,
        deviation: Column,
        valid: npt.NDArray[np.bool_] | None,
    ) -> None:
        del time
        *_, total, place_total, count, _ = _bins(state)
        place = _place(state, context)
        inside = (place >= 0) & (place <= _BINS) & (state[_WIDTH] > 0)
        bins = _bin(place)
        fresh = np.flatnonzero((state[_WIDTH] == 0) & (state[_LEAST] == 0) & (state[_MOST] == 0))
        state[_LEAST, fresh] = state[_MOST, fresh] = context[0, fresh]
        for each in range(len(context)):
            of = np.arange(state.shape[1]) if valid is None else np.flatnonzero(valid[each])
            state[_LEAST, of] = np.minimum(state[_LEAST, of], context[each, of])
            state[_MOST, of] = np.maximum(state[_MOST, of], context[each, of])
            of = of[inside[each, of]]
            bin_ = bins[each, of]
            total[bin_, of] += deviation[each, of]
            place_total[bin_, of] += context[each, of]
            count[bin_, of] += 1

    def fold(
        self,
        state: Table,
        learned: npt.NDArray[np.bool_],
        risen: Column,
        rows: Rows,
        settings: Settings,
    ) -> None:
        mean, middle, known, stays, stayed, total, place_total, count, curve = _bins(state)
        taken = np.where(learned & (known < _FULL * settings.warmup), count, 0.0)
        known += taken
        share = 1.0 / np.maximum(known, 1.0)
        mean += np.where(taken > 0, (total - taken * mean) * share, 0.0)
        middle += np.where(taken > 0, (place_total - taken * middle) * share, 0.0)
        total[:] = place_total[:] = 0.0
        mean -= np.where(known > 0, risen, 0.0)
        stays += (taken > 0) & (stayed == 0)
        stayed[:] = np.where(learned, count > 0, stayed)
        count[:] = 0.0
        _widen(state, np.flatnonzero(learned))
        state[_LEAST], state[_MOST] = state[_LOW], state[_LOW]
        # Readings of noise that wanders say as much as so many fewer, or one a stay if they are soon over.
        independent = np.maximum(known / rows.wandering, stays)
        enough = (independent >= _INDEPENDENT) & (known >= np.maximum(_SEEN * settings.warmup, _LEAST_SEEN))
        curve[:] = np.where(enough, mean, np.nan)


def _bins(state: Table) -> Table:
    """As `_Curve` has them: (`_EACH`, bins, sensors)."""
    return state[_HEAD:].reshape(_EACH, _BINS, -1)


def _place(state: Table, context: Column) -> Column:
    """Where on the bins, 0 to `_BINS` from end to end."""
    return np.asarray((context - state[_LOW]) / np.where(state[_WIDTH] > 0, state[_WIDTH], 1.0), np.float64)


def _bin(place: Column) -> npt.NDArray[np.intp]:
    return np.clip(np.floor(place), 0, _BINS - 1).astype(np.intp)


def _widen(state: Table, sensors: npt.NDArray[np.intp]) -> None:
    """Lay the bins over the first range seen; later double them, two becoming one, until they hold what was seen."""
    first = sensors[state[_WIDTH, sensors] == 0]
    span = state[_MOST, first] - state[_LEAST, first]
    state[_WIDTH, first] = np.maximum(span, _NARROWEST * np.abs(state[_LEAST, first]) + _TINIEST) * (2 / _BINS)
    state[_LOW, first] = state[_LEAST, first] - 0.25 * _BINS * state[_WIDTH, first]
    for _ in range(_DOUBLINGS):
        low, width = state[_LOW, sensors], state[_WIDTH, sensors]
        below = state[_LEAST, sensors] < low
        above = state[_MOST, sensors] > low + _BINS * width
        sensors, below = sensors[below | above], below[below | above]
        if not sensors.size:
            return
        pairs = state[_HEAD : _HEAD + _MERGED * _BINS, sensors].reshape(_MERGED, _BINS // 2, 2, -1)
        known = pairs[2, :, 0] + pairs[2, :, 1]
        weighted = pairs[:2, :, 0] * pairs[2, :, 0] + pairs[:2, :, 1] * pairs[2, :, 1]
        wider = np.zeros((_MERGED, _BINS, sensors.size))
        half = np.where(below, _BINS // 2, 0) + np.arange(_BINS // 2)[:, None]
        wider[:2, half, np.arange(sensors.size)] = weighted / np.maximum(known, 1.0)
        wider[2, half, np.arange(sensors.size)] = known
        # One stay may have been in both.
        wider[3:, half, np.arange(sensors.size)] = pairs[3:].max(axis=2)
        state[_HEAD : _HEAD + _MERGED * _BINS, sensors] = wider.reshape(_MERGED * _BINS, -1)
        state[_LOW, sensors] -= np.where(below, _BINS * state[_WIDTH, sensors], 0.0)
        state[_WIDTH, sensors] *= 2
