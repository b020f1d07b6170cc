"""Reading by reading: how long a value has not moved, and which readings are spikes; the sensor sets the limits."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

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


def look(state: ReadingState, row: Index, value: Column, joined: Mask, warmup: int) -> Seen:
    """Advance `state` by readings of running machines.

    Args:
        row: of each reading, the row of its sensor in `state`; ascending, by time within a sensor.
        value: finite.
        joined: no gap, no standstill lies between the reading and the one before.
        warmup: readings a sensor is learned from.
    """
    count = row.size
    first = np.flatnonzero(np.diff(row, prepend=-1))
    owner = row[first]
    length = np.diff(first, append=count)
    rank = np.arange(count) - np.repeat(first, length)
    one = np.empty(count)
    one[1:] = value[:-1]
    one[first] = state.last[owner]
    two = np.empty(count)
    two[2:] = value[:-2]
    two[first] = state.before[owner]
    second = first[length > 1] + 1
    two[second] = state.last[row[second]]

    same = value == one
    index = np.arange(count)
    # The last reading that moved, at or before each; -1: none in this batch, so that the run goes on from before.
    broke = np.maximum.accumulate(np.where(~same | (rank == 0), index, -1))
    carried = same[broke]  # only a first one can be the same as the one before
    run = index - broke + 1.0 + np.where(carried, state.run[row], 0.0)

    with np.errstate(invalid="ignore"):
        up, down = one - two, one - value
        statistic = np.where(up * down > 0, np.minimum(np.abs(up), np.abs(down)), 0.0)
        # It returns to where it came from.
        statistic = np.where(joined & (np.abs(value - two) <= 0.5 * statistic), statistic, 0.0)
    learning = state.count[row] + rank < warmup
    step = np.where(np.isnan(one), 0.0, np.abs(down))
    learned = np.flatnonzero(learning)
    if learned.size:
        rows = row[learned]
        np.add.at(state.count, rows, 1.0)
        np.add.at(state.moved, rows, (~same)[learned].astype(np.float64))
        np.add.at(state.steps, rows, np.where(joined, step, 0.0)[learned])
        np.maximum.at(state.longest, rows, run[learned])
        np.maximum.at(state.spike, rows, statistic[learned])
    last = first + length - 1
    state.before[owner] = one[last]
    state.last[owner] = value[last]
    state.run[owner] = run[last]
    return Seen(
        run=np.where(learning, np.nan, run / state.run_limit()[row]),
        spike=np.where(~learning & (statistic >= state.spike_limit()[row]), statistic, 0.0),
        step=np.where(joined, np.abs(down), np.nan),
    )


def spike_sigmas(spike: Column, step: Column) -> Column:
    """How many sigmas spikes are off, by the mean absolute step of readings around them."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(spike > 0, spike / (step * _SIGMA_PER_STEP), 0.0)
