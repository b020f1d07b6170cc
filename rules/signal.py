"""What a rule looks at: the value itself, or a number or a condition worked out of one or many sensors.

A rule's signal turns readings into samples (`rules.samples`); its limits judge the samples (`rules.threshold`).
"""

import math
from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "Count", "Deviation", "Expression", "FlatLine", "NoData", "OutOfRange", "Quality", "Rate", "Signal", "Statistic",
    "Usage", "Value", "Window", "is_condition", "is_of_sensor", "threshold_of",
]  # fmt: skip


class Statistic(StrEnum):
    """What a window of readings is summed up to."""

    MEAN = "mean"
    MAX = "max"
    MIN = "min"
    STANDARD_DEVIATION = "standard_deviation"
    """of the readings in the window, with n - 1 in the denominator"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """The sensor's readings as they are, in its unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deviation:
    """The sensor's value minus what it should be; exactly one of the two is given. In the sensor's unit."""

    setpoint: float | None = None
    reference_id: int | None = None
    """a sensor in the same unit, whose last usable value holds"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How fast the value changes: its change over the window, by `per_s` seconds."""

    window_s: float
    per_s: float
    """1: a second, 60: a minute, 3600: an hour, 86400: a day"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """A statistic of the usable readings of the last `window_s` seconds, this one included."""

    statistic: Statistic
    window_s: float
    min_readings: int = 2
    """with fewer in the window there is no sample"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many of the last `of` usable readings within `within_s` seconds are above or below a limit."""

    above: float | None = None
    below: float | None = None
    at_least: int
    """so many are an alarm"""
    of: int
    within_s: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatLine:
    """The value does not move by more than the tolerance: for how long is the rule's on-delay."""

    tolerance: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfRange:
    """Every reading that carries a value, a bad one too: what is beyond the limits is no measurement."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoData:
    """No reading of any of these sensors: for how long is the rule's on-delay."""

    sensor_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """The sensor says itself that it is worth nothing: bad or stale."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """How far a counter has come since the rule was last reset; of a state sensor: hours of running."""

    running_hours: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Expression:
    """A CEL expression over sensors of one asset; true or false, or a number that limits judge."""

    text: str
    inputs: tuple[tuple[str, int], ...]
    """name in the expression, sensor id"""
    is_condition: bool
    """whether it is true or false, not a number"""


Signal = Value | Deviation | Rate | Window | Count | FlatLine | OutOfRange | NoData | Quality | Usage | Expression


def is_condition(signal: Signal) -> bool:
    """Whether a rule with this signal has no limits: the signal itself says what is an alarm."""
    return isinstance(signal, Count | FlatLine | NoData | Quality) or (
        isinstance(signal, Expression) and signal.is_condition
    )


def threshold_of(signal: Signal) -> float:
    """A sample at or above is an alarm; for conditions only."""
    return float(signal.at_least) if isinstance(signal, Count) else 1.0


def is_of_sensor(signal: Signal) -> bool:
    """Whether an alarm says that the measurement is at fault, not the machine."""
    return isinstance(signal, FlatLine | OutOfRange | NoData | Quality)
