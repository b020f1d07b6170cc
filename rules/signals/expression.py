"""`ExpressionBlock`: formulas over several sensors of one asset."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from rules.definition import Rule
from rules.samples import Samples
from rules.signal import Expression
from rules.signals.block import Block, measured
from rules.signals.formula import Formula
from rules.signals.stretches import Index
from telemetry.batch import ReadingBatch

__all__ = ["ExpressionBlock"]


class ExpressionBlock(Block):
    """1 and 0 for true and false, or the number, at each instant with a usable reading of any input.

    Nothing before all inputs are known. Inputs hold their last usable value; readings of one instant count together.
    Where the formula is not defined (an integer division by zero, an index out of range), or comes to no finite
    number, there is no sample.

    Raises:
        ConfigurationError: a text is no formula.
    """

    label = "expression/1"

    def __init__(self, rules: Sequence[Rule]) -> None:
        signals = [rule.signal for rule in rules if isinstance(rule.signal, Expression)]
        self._names = [[name for name, _ in signal.inputs] for signal in signals]
        most = max((len(names) for names in self._names), default=0)
        super().__init__(
            rules,
            [[sensor_id for _, sensor_id in signal.inputs] for signal in signals],
            state={"last": np.full(most, np.nan)},
            identity=self._names,
        )
        self._formulas = [Formula(signal.text) for signal in signals]

    def fold(self, batch: ReadingBatch) -> Samples:
        """A sample at each instant at which an input was measured."""
        found = self._inputs.stretches(batch, measured(batch))
        if not found.rule.size:
            return Samples.empty()
        place, which = found.spread(found.rule), found.spread(found.which)
        order = np.lexsort((found.time, place))
        place, which, time, value = place[order], which[order], found.time[order], found.value[order]
        complete = np.append((place[1:] != place[:-1]) | (time[1:] != time[:-1]), True)
        result = np.full(place.size, np.nan)
        begins = np.flatnonzero(np.append(True, place[1:] != place[:-1]))
        ends = np.append(begins[1:], place.size)
        for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
            self._work_out(
                int(place[begin]), which[begin:end], value[begin:end], complete[begin:end], result[begin:end]
            )
        return self._samples(place[complete], time[complete], result[complete])

    def _recover(self, arrays: dict[str, npt.NDArray[Any]], here: Index, there: Index) -> None:
        # As wide as the rule with most inputs, which may have been another then.
        stored = arrays["last"]
        arrays["last"] = np.full((stored.shape[0], self._state["last"].shape[1]), np.nan)
        width = min(stored.shape[1], arrays["last"].shape[1])
        arrays["last"][:, :width] = stored[:, :width]
        super()._recover(arrays, here, there)

    def _work_out(
        self,
        rule: int,
        which: Index,
        value: npt.NDArray[np.float64],
        complete: npt.NDArray[np.bool_],
        result: npt.NDArray[np.float64],
    ) -> None:
        """The formula of one rule after each complete instant, into `result`; NaN where there is nothing to say."""
        names, formula = self._names[rule], self._formulas[rule]
        last = self._state["last"][rule]
        values = {name: number for name, number in zip(names, last.tolist(), strict=False) if not math.isnan(number)}
        for position, (one, number, ready) in enumerate(
            zip(which.tolist(), value.tolist(), complete.tolist(), strict=True)
        ):
            values[names[one]] = number
            if ready and len(values) == len(names):
                result[position] = _number(formula, values)
        last[: len(names)] = [values.get(name, math.nan) for name in names]
        self._state["moved"][rule] = True


def _number(formula: Formula, values: dict[str, float]) -> float:
    try:
        return float(formula.result(values))
    except Exception:  # not defined for these values; the library raises what it likes
        return math.nan
