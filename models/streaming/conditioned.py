"""Baseline conditioned on the operating state: what is usual at this speed, load or other context."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from models.parameter import Parameter
from models.streaming.context import split
from models.streaming.frame import ChartDetector
from models.streaming.segments import Segments
from models.streaming.state import COMMON, Column, Rows, Setting, Settings, Table
from telemetry.batch import ReadingBatch

__all__ = ["PARAMETERS", "ConditionedDetector"]

PARAMETERS: Mapping[str, Parameter] = COMMON

_BINS = 16
_LOW, _WIDTH, _LEAST, _MOST = range(4)
"""rows of the state before the four of `_BINS` each"""
_HEAD = 4
_SEEN = 1 / 16
"""share of the warm-up that a range of the context is learned for before it has a score"""
_FULL = 1.0
"""warm-ups that it is learned for at all; then it stays, or whatever creeps in would become usual"""
_DOUBLINGS = 100
"""at most, at the end of a block"""


class ConditionedDetector(ChartDetector):
    """Both charts of `ChartDetector` on what the context, e.g. the speed or load of the machine, leaves over.

    The range of the context seen so far is divided into 16 bins, and doubled when it is left. Each bin learns how far
    from its level the sensor is in it, until it has seen as many readings as the warm-up has; between the middles
    of bins the baseline is a straight line. A context that has not been seen for a sixteenth of the warm-up has no
    score: what is usual there is unknown.

    The context comes as readings of twin sensors, see `models.streaming.context`; without one there is no score, and
    nothing is learned.

    Args:
        sensor_ids: int32, sorted, each once.
        settings: see `PARAMETERS`; one number, or one a sensor.
    """

    def __init__(self, sensor_ids: npt.NDArray[np.int32], **settings: Setting) -> None:
        super().__init__(sensor_ids, settings, label="conditioned/1", baseline=_Curve())

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
    """State of a sensor: `_LOW` ... `_MOST`, and mean, readings, sum noted, readings noted of each bin."""

    rows = _HEAD + 4 * _BINS

    def expected(self, state: Table, time: npt.NDArray[np.int64], context: Column) -> Column:
        del time
        mean, known, _, _ = state[_HEAD:].reshape(4, _BINS, -1)
        place = self._place(state, context)
        sensor = np.arange(state.shape[1])
        here = np.clip(np.floor(place), 0, _BINS - 1).astype(np.intp)
        there = np.clip(here + np.where(place - here >= 0.5, 1, -1), 0, _BINS - 1)
        share = np.abs(place - here - 0.5) * (known[there, sensor] > 0)
        usual = mean[here, sensor] + share * (mean[there, sensor] - mean[here, sensor])
        seen = (place >= 0) & (place <= _BINS) & (known[here, sensor] > 0)
        return np.where(seen, usual, np.nan)

    def note(
        self,
        state: Table,
        time: npt.NDArray[np.int64],
        context: Column,
        deviation: Column,
        valid: npt.NDArray[np.bool_] | None,
    ) -> None:
        del time
        _, _, total, count = state[_HEAD:].reshape(4, _BINS, -1)
        place = self._place(state, context)
        inside = (place >= 0) & (place <= _BINS)
        bins = np.clip(np.floor(place), 0, _BINS - 1).astype(np.intp)
        for each in range(len(context)):
            of = np.arange(state.shape[1]) if valid is None else np.flatnonzero(valid[each])
            state[_LEAST, of] = np.minimum(state[_LEAST, of], context[each, of])
            state[_MOST, of] = np.maximum(state[_MOST, of], context[each, of])
            of = of[inside[each, of]]
            total[bins[each, of], of] += deviation[each, of]
            count[bins[each, of], of] += 1
