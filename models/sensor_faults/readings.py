"""Reading by reading: how long a value has not moved, and which readings are spikes; the sensor sets the limits."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from models.runs import Runs, stretches

__all__ = ["SPIKE_SIGMAS", "ReadingState", "Seen", "look", "spike_sigmas"]

Column = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

_SIGMA_PER_STEP = float(np.sqrt(np.pi) / 2)
"""standard deviation of independent normal readings over the mean absolute step between them"""
SPIKE_SIGMAS = 8.0
"""independent normal noise does not reach it in the life of a plant: 1e-15 a reading"""
_SPIKE_MARGIN = 2.0
"""over the highest that was usual"""
_CHANCE = 1e-9
"""that a sensor which moves as usual repeats its value so often in a row; at a reading a second once in 30 years"""
_RUN_MARGIN = 3.0
"""over the longest that was usual: values of a slow signal repeat more often than chance says"""
_SHORTEST_RUN = 10
_MOVES = 0.05
"""a value that moves less often while it is learned is a setpoint, or of a coarse instrument: it is never stuck"""
_LARGEST_RUN = 1e6


@dataclass(slots=True)
class ReadingState:
    """One row a sensor, float64; the first are what was learned."""

    count: Column
    """readings learned from"""
    moved: Column
    """of them, those that differ from the one before"""
    steps: Column
    """sum of absolute steps between them"""
    longest: Column
    """readings of one value in a row, the most"""
    spike: Column
    """the highest spike statistic"""
    last: Column
    """last value; NaN: none yet"""
    before: Column
    """the one before"""
    run: Column
    """readings in a row that have the last value"""

    @classmethod
    def fresh(cls, count: int) -> "ReadingState":
        """Nothing is known."""
        zeros = {name: np.zeros(count) for name in ("count", "moved", "steps", "longest", "spike", "run")}
        return cls(**zeros, last=np.full(count, np.nan), before=np.full(count, np.nan))

    def forget(self, rows: Index) -> None:
        """Begin anew for these sensors."""
        for field in fields(self):
            getattr(self, field.name)[rows] = np.nan if field.name in {"last", "before"} else 0.0

    def run_limit(self) -> Column:
        """Readings of one value in a row from which on a sensor is stuck; infinite where that cannot be told.

        A sensor that repeats its value with probability q repeats it k times by chance with q^k.
        """
        moves = self.moved / np.maximum(self.count, 1)
        repeats = np.clip(1 - moves, 1e-12, 1 - _MOVES)
        by_chance = np.log(_CHANCE) / np.log(repeats)
        limit = np.maximum(np.maximum(by_chance, _RUN_MARGIN * self.longest), _SHORTEST_RUN)
        return np.where(moves >= _MOVES, np.minimum(limit, _LARGEST_RUN), np.inf)

    def spike_limit(self) -> Column:
        """Spike statistic that is one, in the unit of the sensor; infinite where the sensor hardly moves."""
        moves = self.moved / np.maximum(self.count, 1)
        sigma = self.steps / np.maximum(self.count, 1) * _SIGMA_PER_STEP
        limit = np.maximum(SPIKE_SIGMAS * sigma, _SPIKE_MARGIN * self.spike)
        return np.where(moves >= _MOVES, limit, np.inf)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What readings show, one row a reading."""

    run: Column
    """readings in a row that have this value, this one included, over the limit of the sensor; NaN: still learning"""
    spike: Column
    """how far off the reading before was, where it was off further than usual, in the unit; 0 elsewhere"""
    step: Column
    """absolute step from the reading before; NaN: there is none"""


def look(state: ReadingState, runs: Runs, joined: Mask, warmup: int) -> Seen:
    """Advance `state` by readings of running machines.

    Args:
        state: a row a sensor.
        runs: of each sensor, by its row in `state`; finite values.
        joined: no gap, no standstill lies between the reading and the one before.
        warmup: readings a sensor is learned from.
    """
    owner, value, first, last = runs.place, runs.value, runs.first(), runs.last()
    one = np.empty_like(value)
    one[1:] = value[:-1]
    one[first] = state.last[owner]
    two = np.empty_like(value)
    two[2:] = value[:-2]
    two[first] = state.before[owner]
    longer = runs.length > 1
    two[first[longer] + 1] = state.last[owner[longer]]
    same = value == one
    step = np.abs(one - value)
    run = _run_lengths(same, first, state.run[owner])

    def spikes(at: Index) -> Column:
        with np.errstate(invalid="ignore"):
            up, down = one[at] - two[at], one[at] - value[at]
            far = np.where(up * down > 0, np.minimum(np.abs(up), np.abs(down)), 0.0)
            # It returns to where it came from.
            return np.where(joined[at] & (np.abs(value[at] - two[at]) <= 0.5 * far), far, 0.0)

    number = np.clip(warmup - state.count[owner], 0, runs.length).astype(np.intp)
    learned = stretches(first, number)
    if learned.size:
        rows = np.repeat(owner, number)
        state.count[owner] += number
        np.add.at(state.moved, rows, (~same)[learned].astype(np.float64))
        np.add.at(state.steps, rows, np.where(joined, step, 0.0)[learned])
        np.maximum.at(state.longest, rows, run[learned])
        np.maximum.at(state.spike, rows, spikes(learned))
    limit = np.repeat(state.spike_limit()[owner], runs.length)
    spike = np.zeros_like(value)
    # None is further off than its step is long.
    far = np.flatnonzero(step >= limit)
    off = spikes(far)
    spike[far] = np.where(off >= limit[far], off, 0.0)
    spike[learned] = 0.0
    state.before[owner], state.last[owner], state.run[owner] = one[last], value[last], run[last]
    run /= np.repeat(state.run_limit()[owner], runs.length)
    run[learned] = np.nan
    step[~joined] = np.nan
    return Seen(run=run, spike=spike, step=step)


def _run_lengths(same: Mask, first: Index, before: Column) -> Column:
    """Readings in a row that have the value of each, which goes on from `before` at the first of each sensor."""
    breaks = ~same
    breaks[first] = True
    broke = np.flatnonzero(breaks)
    if broke.size == same.size and not same[first].any():
        return np.ones(same.size)
    begin = broke - 1.0
    # Only a first one can be the same as the one before and yet begin here.
    begin[np.searchsorted(broke, first)] -= np.where(same[first], before, 0.0)
    return np.asarray(np.arange(same.size) - np.repeat(begin, np.diff(broke, append=same.size)), np.float64)


def spike_sigmas(spike: Column, step: Column) -> Column:
    """How many sigmas spikes are off, by the mean absolute step of readings around them."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spike > 0, spike / (step * _SIGMA_PER_STEP), 0.0)
