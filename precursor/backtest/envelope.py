"""`Envelopes`: the lowest and highest value of each sensor in each of some hundred stretches of time, for drawing."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt

from precursor.backtest.stored_values import Levels
from telemetry.batch import ReadingBatch, to_micros
from telemetry.quality import usable

__all__ = ["BINS", "Envelopes"]

BINS = 720


class Envelopes:
    """Lows and highs of usable values, NaN where there are none: 6 KB a sensor."""

    def __init__(self, sensor_ids: Sequence[int], begin: datetime, end: datetime) -> None:
        self._sensors = np.unique(np.asarray(sensor_ids, np.int32))
        self._begin = to_micros(begin)
        self._width = max(1, -(-(to_micros(end) - self._begin) // BINS))
        self._low = np.full((self._sensors.size, BINS), np.inf, np.float32)
        self._high = np.full((self._sensors.size, BINS), -np.inf, np.float32)

    def note(self, batch: ReadingBatch) -> None:
        """Readings by (sensor_id, time)."""
        kept = usable(batch.quality)
        if not kept.all():
            batch = batch.take(kept)
        place = (batch.time - self._begin) // self._width
        starts = np.flatnonzero(
            (np.diff(place, prepend=-1) != 0) | (np.diff(batch.sensor_id, prepend=np.int32(-1)) != 0)
        )
        if not starts.size or not self._sensors.size:
            return
        sensor = batch.sensor_id[starts]
        row = np.minimum(np.searchsorted(self._sensors, sensor), self._sensors.size - 1)
        column = place[starts]
        kept = (self._sensors[row] == sensor) & (column >= 0) & (column < BINS)
        cells = row[kept], column[kept]
        self._low[cells] = np.minimum(self._low[cells], np.minimum.reduceat(batch.value, starts)[kept])
        self._high[cells] = np.maximum(self._high[cells], np.maximum.reduceat(batch.value, starts)[kept])

    def note_levels(self, levels: Levels) -> None:
        """Lows and highs of buckets; one that is wider than a stretch here counts for all that it reaches into."""
        known = ~np.isnan(levels.low) & np.isin(levels.sensor_id, self._sensors)
        levels = levels.take(known)
        if not levels.time.size:
            return
        row = np.searchsorted(self._sensors, levels.sensor_id)
        first = (levels.time - self._begin) // self._width
        last = (levels.time + levels.width_us - 1 - self._begin) // self._width
        for step in range(int((last - first).max()) + 1):
            column = first + step
            kept = (column <= last) & (column >= 0) & (column < BINS)
            np.minimum.at(self._low, (row[kept], column[kept]), levels.low[kept])
            np.maximum.at(self._high, (row[kept], column[kept]), levels.high[kept])

    def of(self, sensor_id: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """float64[BINS] each: lows and highs of one of the sensors."""
        row = int(np.searchsorted(self._sensors, sensor_id))
        low, high = self._low[row].astype(np.float64), self._high[row].astype(np.float64)
        return np.where(np.isfinite(low), low, np.nan), np.where(np.isfinite(high), high, np.nan)
