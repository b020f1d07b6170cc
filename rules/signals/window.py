"""Statistics of the last so many seconds."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rules.definition import Rule
from rules.samples import Samples
from rules.signal import Statistic, Window
from rules.signals.sliding import Sliding
from rules.signals.stretches import Index
from rules.signals.summary import Extreme, Moments, Numbers
from telemetry.batch import ReadingBatch

__all__ = ["ExtremeBlock", "MeanBlock"]


class MeanBlock(Sliding):
    """Mean or standard deviation of the usable readings in (time - window_s, time], at each of them.

    No sample with fewer than `min_readings` in the window, and no standard deviation of one. How the old end of
    dense windows is told: `rules.signals.sliding`.
    """

    label = "window/1"

    def __init__(self, rules: Sequence[Rule]) -> None:
        signals = [rule.signal for rule in rules if isinstance(rule.signal, Window)]
        # Both are worked out of the same state.
        super().__init__(rules, [signal.window_s for signal in signals], Moments(1), [None] * len(signals))
        self._deviation = np.array([signal.statistic is Statistic.STANDARD_DEVIATION for signal in signals], np.bool_)
        self._least = np.maximum([signal.min_readings for signal in signals], 1 + self._deviation)

    def features(self, value: npt.NDArray[np.float64], into_block: npt.NDArray[np.int64], place: Index) -> Numbers:
        """The value."""
        return value[:, np.newaxis]

    def fold(self, batch: ReadingBatch) -> Samples:
        """A sample at each usable reading with enough in its window."""
        windows = self.windows(batch)
        place = windows.place
        mean, squares = windows.summary.T
        with np.errstate(invalid="ignore"):
            spread = np.sqrt(np.maximum(squares, 0.0) / np.maximum(windows.count - 1, 1))
        value = np.where(self._deviation[place], spread, mean)
        enough = windows.count >= self._least[place]
        return self._samples(place[enough], windows.time[enough], value[enough])


class ExtremeBlock(Sliding):
    """Largest or smallest of the usable readings in (time - window_s, time], at each of them."""

    label = "window_extreme/1"

    def __init__(self, rules: Sequence[Rule]) -> None:
        signals = [rule.signal for rule in rules if isinstance(rule.signal, Window)]
        super().__init__(
            rules,
            [signal.window_s for signal in signals],
            Extreme(),
            [signal.statistic is Statistic.MAX for signal in signals],
        )
        # The smallest is the largest of the mirrored values.
        self._sign = np.array([1.0 if signal.statistic is Statistic.MAX else -1.0 for signal in signals])
        self._least = np.array([signal.min_readings for signal in signals], np.int64)

    def features(self, value: npt.NDArray[np.float64], into_block: npt.NDArray[np.int64], place: Index) -> Numbers:
        """The value, mirrored for the smallest."""
        mirrored: Numbers = value * self._sign[place]
        return mirrored[:, np.newaxis]

    def fold(self, batch: ReadingBatch) -> Samples:
        """A sample at each usable reading with enough in its window."""
        windows = self.windows(batch)
        enough = windows.count >= self._least[windows.place]
        place = windows.place[enough]
        return self._samples(place, windows.time[enough], windows.summary[enough, 0] * self._sign[place])
