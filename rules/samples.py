"""`Samples`: what the limits of rules are compared with, as columns."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rules.definition import Rule
from rules.signal import Value
from telemetry.batch import ReadingBatch

__all__ = ["Samples", "signal_of"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """Values over time, sorted by (signal, time), order of origin kept among equals.

    Times of a signal never go back; two samples of one instant hold one after the other. NaN says that everything
    is certainly normal: not applicable, at rest, out of schedule.
    """

    signal: npt.NDArray[np.int32]
    """positive: a sensor's own value, by sensor id; negative: the signal of a rule, by minus its id"""
    time: npt.NDArray[np.int64]
    """us since 1970-01-01 UTC"""
    value: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.time.size)

    @classmethod
    def empty(cls) -> "Samples":
        """None."""
        return cls(signal=np.empty(0, np.int32), time=np.empty(0, np.int64), value=np.empty(0))

    @classmethod
    def of_values(cls, batch: ReadingBatch) -> "Samples":
        """The values of readings that are sorted by (sensor_id, time) already."""
        return cls(signal=batch.sensor_id, time=batch.time, value=batch.value)

    @classmethod
    def merged(cls, parts: "list[Samples]") -> "Samples":
        """Samples of different origin together; of one signal and instant, those of the earlier part come first."""
        parts = [part for part in parts if len(part)]
        if len(parts) <= 1:
            return parts[0] if parts else cls.empty()
        signal = np.concatenate([part.signal for part in parts])
        time = np.concatenate([part.time for part in parts])
        value = np.concatenate([part.value for part in parts])
        order = np.lexsort((time, signal))
        return cls(signal=signal[order], time=time[order], value=value[order])


def signal_of(rule: Rule) -> int:
    """The number of the signal that a rule's limits judge, as in `Samples.signal`."""
    if isinstance(rule.signal, Value) and rule.sensor_id is not None and rule.gate is None and rule.schedule is None:
        return rule.sensor_id
    return -rule.id
