"""`CountBlock`: N of the last M readings."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rules.definition import Rule
from rules.samples import Samples
from rules.signal import Count
from rules.signals.block import Block, measured
from rules.signals.plain import own_sensor
from rules.signals.stretches import Index, ranges
from telemetry.batch import ReadingBatch

__all__ = ["CountBlock"]

_FOREVER = 2**62
"""us"""


class CountBlock(Block):
    """How many of the last `of` usable readings in (time - within_s, time] are beyond the limit, strictly.

    A sample at each usable reading, from the first on: fewer than `of` readings are counted as they are. Kept are
    the last `of` readings of each rule, 9 bytes each.
    """

    label = "count/1"

    def __init__(self, rules: Sequence[Rule]) -> None:
        signals = [rule.signal for rule in rules if isinstance(rule.signal, Count)]
        super().__init__(
            rules,
            [own_sensor(rule) for rule in rules],
            state={"kept": np.array(0)},
            identity=[(signal.above, signal.below, signal.of) for signal in signals],
        )
        self._above = np.array([math.inf if signal.above is None else signal.above for signal in signals], np.float64)
        self._below = np.array([-math.inf if signal.below is None else signal.below for signal in signals], np.float64)
        self._within = np.array([round(min(signal.within_s * 1e6, _FOREVER)) for signal in signals], np.int64)
        self._of = np.array([signal.of for signal in signals], np.intp)
        # The readings of a rule stand at the end of its share of these columns.
        self._end = np.cumsum(self._of)
        total = int(self._end[-1]) if self._end.size else 0
        self._time = np.zeros(total, np.int64)
        self._beyond = np.zeros(total, np.bool_)

    def fold(self, batch: ReadingBatch) -> Samples:
        """A sample at each usable reading."""
        found = self._inputs.stretches(batch, measured(batch))
        if not found.rule.size:
            return Samples.empty()
        rule, place = found.rule, found.spread(found.rule)
        kept = self._state["kept"][rule]
        length = kept + found.length
        end = np.cumsum(length)
        old, new = ranges(end - length, kept), ranges(end - found.length, found.length)
        time, beyond = np.empty(int(end[-1]), np.int64), np.empty(int(end[-1]), np.bool_)
        source = ranges(self._end[rule] - kept, kept)
        time[old], beyond[old] = self._time[source], self._beyond[source]
        time[new], beyond[new] = found.time, (found.value > self._above[place]) | (found.value < self._below[place])

        begin = np.maximum(new - self._of[place] + 1, found.spread(end - length))
        before = np.concatenate(([0], np.cumsum(beyond)))
        number = before[new + 1] - before[_first_after(time, found.time - self._within[place], begin, new)]

        kept = np.minimum(length, self._of[rule])
        target, source = ranges(self._end[rule] - kept, kept), ranges(end - kept, kept)
        self._time[target], self._beyond[target] = time[source], beyond[source]
        self._state["kept"][rule], self._state["moved"][rule] = kept, True
        return self._samples(place, found.time, number.astype(np.float64))

    def _stored(self, places: Index) -> dict[str, npt.NDArray[Any]]:
        kept = self._state["kept"][places]
        source = ranges(self._end[places] - kept, kept)
        return {**super()._stored(places), "time": self._time[source], "beyond": self._beyond[source]}

    def _recover(self, arrays: dict[str, npt.NDArray[Any]], here: Index, there: Index) -> None:
        time, beyond = arrays.pop("time"), arrays.pop("beyond")
        super()._recover(arrays, here, there)
        kept = self._state["kept"][here]
        source = ranges(np.cumsum(arrays["kept"])[there] - kept, kept)
        target = ranges(self._end[here] - kept, kept)
        self._time[target], self._beyond[target] = time[source], beyond[source]


def _first_after(time: npt.NDArray[np.int64], since: npt.NDArray[np.int64], low: Index, high: Index) -> Index:
    """The first position from `low` to `high` whose time is after `since`; that at `high` is."""
    low, high = low.copy(), high.copy()
    for _ in range(int((high - low).max()).bit_length()):
        middle = (low + high) // 2
        after = time[middle] > since
        high = np.where(after, middle, high)
        low = np.where(after, low, np.minimum(middle + 1, high))
    return low
