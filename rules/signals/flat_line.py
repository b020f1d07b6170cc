"""`FlatLineBlock`: values that do not move."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rules.definition import Rule
from rules.samples import Samples
from rules.signal import FlatLine
from rules.signals.block import Block, measured
from rules.signals.plain import own_sensor
from rules.signals.stretches import Stretches
from telemetry.batch import ReadingBatch

__all__ = ["FlatLineBlock"]


class FlatLineBlock(Block):
    """1 while the value is within the tolerance of the one that the flat stretch began with.

    A value further away begins a stretch of its own: 0 and then 1 at its time, so that the on-delay counts from
    there. The first value of all begins one too.
    """

    label = "flat_line/1"

    def __init__(self, rules: Sequence[Rule]) -> None:
        signals = [rule.signal for rule in rules if isinstance(rule.signal, FlatLine)]
        super().__init__(
            rules,
            [own_sensor(rule) for rule in rules],
            state={"began_at": np.array(np.nan)},
            identity=[signal.tolerance for signal in signals],
        )
        self._tolerance = np.array([signal.tolerance for signal in signals], np.float64)

    def fold(self, batch: ReadingBatch) -> Samples:
        """One or two samples at each usable reading."""
        found = self._inputs.stretches(batch, measured(batch))
        if not found.rule.size:
            return Samples.empty()
        with np.errstate(over="ignore"):
            moved = self._moved(found)
        copies = 1 + moved
        value = np.ones(found.time.size + int(moved.sum()))
        value[(np.cumsum(copies) - copies)[moved]] = 0.0
        place = found.spread(found.rule)
        return self._samples(np.repeat(place, copies), np.repeat(found.time, copies), value)

    def _moved(self, found: Stretches) -> npt.NDArray[np.bool_]:
        """Which readings begin a flat stretch."""
        moved = np.zeros(found.time.size, np.bool_)
        tolerance = self._tolerance[found.rule]
        first = found.value[found.start]
        began_at = self._state["began_at"][found.rule]
        moved[found.start] = ~(np.abs(first - began_at) <= tolerance)
        began_at = np.where(moved[found.start], first, began_at)
        beyond = (np.maximum.reduceat(found.value, found.start) - began_at > tolerance) | (
            began_at - np.minimum.reduceat(found.value, found.start) > tolerance
        )
        for stretch in np.flatnonzero(beyond).tolist():
            start, end = int(found.start[stretch]), int(found.start[stretch] + found.length[stretch])
            began_at[stretch] = _walk(
                found.value[start:end].tolist(), float(began_at[stretch]), float(tolerance[stretch]), moved[start:end]
            )
        self._state["began_at"][found.rule] = began_at
        self._state["moved"][found.rule] = True
        return moved


def _walk(values: list[float], began_at: float, tolerance: float, moved: npt.NDArray[np.bool_]) -> float:
    """Mark where flat stretches begin, after the one that is going on; the value the last one began with."""
    begins = []
    for position, value in enumerate(values):
        if value - began_at > tolerance or began_at - value > tolerance:
            begins.append(position)
            began_at = value
    moved[begins] = True
    return began_at
