"""`FromReference`: how far one sensor is from another."""

from collections.abc import Sequence

import numpy as np

from rules.definition import Rule
from rules.samples import Samples
from rules.signal import Deviation
from rules.signals.block import Block, measured
from rules.signals.plain import own_sensor
from telemetry.batch import ReadingBatch

__all__ = ["FromReference"]


class FromReference(Block):
    """The value minus the last usable one of a reference sensor, at each usable reading of either.

    Nothing before both are known. Readings of both at one instant make one sample of the two new values. A bad
    reading of either leaves its last usable one in place.
    """

    label = "reference/1"

    def __init__(self, rules: Sequence[Rule]) -> None:
        super().__init__(
            rules,
            [
                (*own_sensor(rule), rule.signal.reference_id)
                for rule in rules
                if isinstance(rule.signal, Deviation) and rule.signal.reference_id is not None
            ],
            state={"last": np.full(2, np.nan)},
        )

    def fold(self, batch: ReadingBatch) -> Samples:
        """A sample at each instant with a usable reading of either sensor, once both are known."""
        found = self._inputs.stretches(batch, measured(batch))
        if not found.rule.size:
            return Samples.empty()
        rule, which = found.spread(found.rule), found.spread(found.which)
        order = np.lexsort((found.time, rule))
        rule, which, time, value = rule[order], which[order], found.time[order], found.value[order]
        begins = np.flatnonzero(np.append(True, rule[1:] != rule[:-1]))
        length = np.diff(begins, append=rule.size)
        begin = np.repeat(begins, length)
        held = []
        for sensor in (0, 1):
            newest = np.maximum.accumulate(np.where(which == sensor, np.arange(rule.size), -1))
            held.append(np.where(newest >= begin, value[newest], self._state["last"][rule, sensor]))
            self._state["last"][rule[begins], sensor] = held[sensor][begins + length - 1]
        self._state["moved"][rule[begins]] = True
        # Of one instant the last row knows both new values.
        complete = np.append((rule[1:] != rule[:-1]) | (time[1:] != time[:-1]), True)
        with np.errstate(over="ignore"):
            return self._samples(rule[complete], time[complete], (held[0] - held[1])[complete])
