"""`UsageBlock`: how much a machine was used since somebody put the count back."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rules.definition import Rule
from rules.samples import Samples
from rules.signal import Usage
from rules.signals.block import Block, measured
from rules.signals.plain import own_sensor
from rules.signals.stretches import Stretches, accumulate
from telemetry.batch import ReadingBatch
from telemetry.plant import AssetState

__all__ = ["UsageBlock"]

_NEVER = np.iinfo(np.int64).min
_HOUR = 3.6e9
"""us"""


class UsageBlock(Block):
    """What came together since the rule began or was last reset; a sample at each usable reading.

    A counter: the sum of its rises, from the first reading on. A lower reading than the one before is a counter that
    was put back or ran over: it counts as a rise from 0.

    Running hours: the hours in which the state sensor said RUNNING, each state held until the next reading. Bad
    readings leave the state in place.

    After a reset at T: rises of readings after T, hours after T. Readings at or before T that come after the reset
    give no sample.
    """

    label = "usage/1"

    def __init__(self, rules: Sequence[Rule]) -> None:
        hours = [rule.signal.running_hours for rule in rules if isinstance(rule.signal, Usage)]
        super().__init__(
            rules,
            [own_sensor(rule) for rule in rules],
            state={
                "total": np.array(0.0),
                "last": np.array(np.nan),
                "last_at": np.array(_NEVER),
                "reset_at": np.array(_NEVER),
            },
            identity=hours,
        )
        self._hours = np.array(hours, np.bool_)

    def fold(self, batch: ReadingBatch) -> Samples:
        """A sample at each usable reading after the last reset."""
        found = self._inputs.stretches(batch, measured(batch))
        if not found.rule.size:
            return Samples.empty()
        state, rule, place = self._state, found.rule, found.spread(found.rule)
        before, before_at = np.roll(found.value, 1), np.roll(found.time, 1)
        before[found.start], before_at[found.start] = state["last"][rule], state["last_at"][rule]
        after = found.time > state["reset_at"][place]
        more = np.where(self._hours[place], self._run(found, before, before_at), _rise(found.value, before))
        total = np.where(after & np.isfinite(more), more, 0.0)
        total[found.start] += state["total"][rule]
        accumulate(np.add, total, found.start, found.length)
        state["total"][rule] = total[found.last]
        state["last"][rule], state["last_at"][rule] = found.value[found.last], found.time[found.last]
        state["moved"][rule] = True
        total = np.where(self._hours[place], total / _HOUR, total)
        return self._samples(place[after], found.time[after], total[after])

    def reset(self, rule_ids: npt.NDArray[np.int64], at_us: int) -> Samples:
        """Begin anew at this instant, told no earlier than the last reading; a reset from before another is none."""
        place = np.flatnonzero(np.isin(self._rule_id, rule_ids) & (self._state["reset_at"] < at_us))
        self._state["total"][place] = 0.0
        self._state["reset_at"][place] = at_us
        self._state["moved"][place] = True
        told_at = np.maximum(self._state["last_at"][place], at_us)
        return Samples(signal=self._signal[place], time=told_at, value=np.full(place.size, np.nan))

    def _run(
        self, found: Stretches, before: npt.NDArray[np.float64], before_at: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Time in RUNNING since the reading before, or since the reset, us: exact in a float for 285 years."""
        since = np.maximum(before_at, found.spread(self._state["reset_at"][found.rule]))
        running = before == AssetState.RUNNING
        return np.where(running, found.time - np.where(running, since, found.time), 0).astype(np.float64)


def _rise(value: npt.NDArray[np.float64], before: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How much a counter rose; none at the first reading of all, and a negative one counted nothing."""
    with np.errstate(over="ignore"):
        return np.where(np.isnan(before), 0.0, np.maximum(np.where(value < before, value, value - before), 0.0))
