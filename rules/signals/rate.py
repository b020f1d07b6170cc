"""`RateBlock`: how fast values change."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rules.definition import Rule
from rules.samples import Samples
from rules.signal import Rate
from rules.signals.sliding import Sliding
from rules.signals.stretches import Index
from rules.signals.summary import Moments, Numbers
from telemetry.batch import ReadingBatch

__all__ = ["LEAST_READINGS", "RateBlock"]

LEAST_READINGS = 3


class RateBlock(Sliding):
    """Slope of the least-squares line through the usable readings in (time - window_s, time], times `per_s`.

    A line through all readings, not the difference of two: one noisy reading at either end would otherwise be the
    rate. Of a steady change both are the same. There is no sample unless the window holds three readings that span
    at least half of it: after a gap, half a window must have gone by before anything is said again.
    """

    label = "rate/1"

    def __init__(self, rules: Sequence[Rule]) -> None:
        signals = [rule.signal for rule in rules if isinstance(rule.signal, Rate)]
        super().__init__(rules, [signal.window_s for signal in signals], Moments(2), [None] * len(signals))
        self._per_s = np.array([signal.per_s for signal in signals], np.float64)

    def features(self, value: npt.NDArray[np.float64], into_block: npt.NDArray[np.int64], place: Index) -> Numbers:
        """Seconds since the beginning of the block, and the value."""
        return np.stack((into_block / 1e6, value), axis=1)

    def earlier(self, summary: Numbers, place: Index) -> Numbers:
        """The block before began one window earlier."""
        summary = summary.copy()
        summary[:, 0] -= self._window[place] / 1e6
        return summary

    def fold(self, batch: ReadingBatch) -> Samples:
        """A sample at each usable reading with enough before it."""
        windows = self.windows(batch)
        enough = (windows.count >= LEAST_READINGS) & (
            2 * (windows.time - windows.oldest) >= self._window[windows.place]
        )
        place, summary = windows.place[enough], windows.summary[enough]
        with np.errstate(over="ignore", invalid="ignore"):
            slope = summary[:, 3] / summary[:, 2]
            return self._samples(place, windows.time[enough], slope * self._per_s[place])
