"""Signals that need no memory: the value, its distance from a setpoint, its quality, and that it came at all."""

from collections.abc import Sequence

import numpy as np

from rules.definition import Rule
from rules.samples import Samples
from rules.signal import Deviation, NoData
from rules.signals.block import Block, measured
from telemetry.batch import ReadingBatch
from telemetry.quality import Quality, usable

__all__ = ["FromSetpoint", "QualityBlock", "RangeBlock", "Silence", "ValueBlock", "own_sensor"]


class ValueBlock(Block):
    """The usable values of one sensor under the signal of the rule."""

    label = "value/1"

    def __init__(self, rules: Sequence[Rule]) -> None:
        super().__init__(rules, [own_sensor(rule) for rule in rules])

    def fold(self, batch: ReadingBatch) -> Samples:
        """A sample at each usable reading."""
        found = self._inputs.stretches(batch, measured(batch))
        return self._samples(found.spread(found.rule), found.time, found.value)


class RangeBlock(ValueBlock):
    """The values of one sensor, bad ones too: what is beyond the range is no measurement, and was marked so.

    A stale value is an old one sent again and says nothing new.
    """

    label = "out_of_range/1"

    def fold(self, batch: ReadingBatch) -> Samples:
        """A sample at each reading that is not stale."""
        found = self._inputs.stretches(batch, batch.quality < Quality.STALE)
        return self._samples(found.spread(found.rule), found.time, found.value)


class QualityBlock(ValueBlock):
    """1 while the sensor says that its value is bad or stale, else 0."""

    label = "quality/1"

    def fold(self, batch: ReadingBatch) -> Samples:
        """A sample at each reading."""
        found = self._inputs.stretches(batch)
        return self._samples(found.spread(found.rule), found.time, (~usable(found.quality)).astype(np.float64))


class FromSetpoint(Block):
    """The value minus a fixed one."""

    label = "setpoint/1"

    def __init__(self, rules: Sequence[Rule]) -> None:
        super().__init__(rules, [own_sensor(rule) for rule in rules])
        signals = [rule.signal for rule in rules]
        self._setpoint = np.array([signal.setpoint for signal in signals if isinstance(signal, Deviation)], np.float64)

    def fold(self, batch: ReadingBatch) -> Samples:
        """A sample at each usable reading."""
        found = self._inputs.stretches(batch, measured(batch))
        place = found.spread(found.rule)
        with np.errstate(over="ignore"):
            return self._samples(place, found.time, found.value - self._setpoint[place])


class Silence(Block):
    """0 and then 1 at each instant at which any of the sensors said anything: from there the on-delay counts."""

    label = "no_data/1"

    def __init__(self, rules: Sequence[Rule]) -> None:
        super().__init__(rules, [rule.signal.sensor_ids for rule in rules if isinstance(rule.signal, NoData)])

    def fold(self, batch: ReadingBatch) -> Samples:
        """Two samples at each instant with a reading of whatever quality."""
        found = self._inputs.stretches(batch)
        place, time = found.spread(found.rule), found.time
        if found.which.any():
            order = np.lexsort((time, place))
            place, time = place[order], time[order]
            distinct = np.append(True, (place[1:] != place[:-1]) | (time[1:] != time[:-1]))[: time.size]
            place, time = place[distinct], time[distinct]
        return self._samples(np.repeat(place, 2), np.repeat(time, 2), np.tile((0.0, 1.0), time.size))


def own_sensor(rule: Rule) -> tuple[int]:
    """The one sensor that a rule is on."""
    if rule.sensor_id is None:
        raise ValueError(f"rule {rule.id} looks at one sensor and has none")
    return (rule.sensor_id,)
