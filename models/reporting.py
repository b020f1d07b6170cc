"""Which scores are worth storing: those that say something new, and one now and then."""

import numpy as np
import numpy.typing as npt

from models.contract import ALARM
from telemetry.batch import ReadingBatch
from telemetry.snapshot import pack, unpack

__all__ = ["ScoreReports"]

_LABEL = "score-reports/1"
_STEP = 1.25
"""above the limit a score is reported anew with every change by this factor"""
_NEVER = np.iinfo(np.int64).min


class ScoreReports:
    """Report by exception: a score is let through if it crosses its limit, moves beyond it, or the last is old.

    A sensor that is read every second would double what is stored if each of its scores were. Below `ALARM` the first
    score of every `every_s` is reported; a score that goes above or below `ALARM` always is, at the reading that did
    it, and so is every change by a quarter above it. So a rule with the limit `ALARM` decides on what is reported
    exactly as on all scores.

    Args:
        sensor_ids: int32, sorted, each once: the score sensors.
        every_s: s of event time, above 0; the spans are counted from 1970, so that they do not depend on the start.
    """

    def __init__(self, sensor_ids: npt.NDArray[np.int32], *, every_s: float) -> None:
        self._sensor_ids = np.array(sensor_ids, np.int32)
        self._every_us = round(every_s * 1e6)
        self._span = np.full(self._sensor_ids.size, _NEVER, np.int64)
        self._band = np.zeros(self._sensor_ids.size, np.int64)

    def select(self, scores: ReadingBatch) -> npt.NDArray[np.bool_]:
        """Which of these scores to report.

        Args:
            scores: of `sensor_ids` only, sensor after sensor, each by time.
        """
        if not len(scores):
            return np.zeros(0, np.bool_)
        ids = scores.sensor_id
        begins = np.concatenate(([0], np.flatnonzero(ids[1:] != ids[:-1]) + 1))
        ends = np.append(begins[1:], ids.size) - 1
        sensor = np.searchsorted(self._sensor_ids, ids[begins])
        told = np.empty(ids.size, np.bool_)
        span, band = scores.time // self._every_us, _band(scores.value)
        np.not_equal(span[1:], span[:-1], out=told[1:])
        told[begins] = span[begins] != self._span[sensor]
        moved = np.empty(ids.size, np.bool_)
        np.not_equal(band[1:], band[:-1], out=moved[1:])
        moved[begins] = band[begins] != self._band[sensor]
        told |= moved
        self._span[sensor], self._band[sensor] = span[ends], band[ends]
        return told

    def snapshot(self) -> bytes:
        """Two numbers a sensor."""
        return pack(_LABEL, {"sensor_id": self._sensor_ids, "span": self._span, "band": self._band})

    def restore(self, body: bytes) -> None:
        """Go back to a snapshot, matched by sensor.

        Raises:
            StateError: the bytes are damaged or of another kind.
        """
        arrays = unpack(_LABEL, body)
        self._span[:], self._band[:] = _NEVER, 0
        _, here, there = np.intersect1d(self._sensor_ids, arrays["sensor_id"], return_indices=True)
        self._span[here], self._band[here] = arrays["span"][there], arrays["band"][there]


def _band(score: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """0 below the limit, else 1, 2, ... by factors of `_STEP`."""
    band = np.zeros(score.size, np.int64)
    above = np.flatnonzero(score >= ALARM)
    band[above] = 1 + (np.log(score[above] / ALARM) / np.log(_STEP)).astype(np.int64)
    return band
