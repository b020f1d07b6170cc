"""What a person asks the engine to watch: limits on a sensor."""

import math
from dataclasses import dataclass
from enum import IntEnum

from telemetry.errors import ConfigurationError

__all__ = ["MAX_DELAY_S", "Priority", "ThresholdRule"]

MAX_DELAY_S = 366 * 86_400.0
"""longest on-delay or off-delay: a year"""


class Priority(IntEnum):
    """How urgent an alarm is, ISA-18.2 fashion; a plant should see about 80/15/5 % of low/medium/high."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class ThresholdRule:
    """A high limit, a low limit or both on one sensor. What they mean over time: `rules.threshold`.

    Raises:
        ConfigurationError: the limits, deadband or delays contradict each other; the message says the mend.
    """

    id: int
    name: str
    """unique among the rules of its sensor"""
    sensor_id: int
    sensor_name: str
    asset_id: int
    unit: str
    """of limits, deadband and values"""
    high: float | None = None
    """alarm when the value is above"""
    low: float | None = None
    """alarm when the value is below"""
    deadband: float = 0.0
    """how far back inside the limit the value must come before the alarm clears"""
    on_delay_s: float = 0.0
    """the value must violate the limit for this long before the alarm is raised"""
    off_delay_s: float = 0.0
    """the value must be back beyond the deadband for this long before the alarm clears"""
    priority: Priority = Priority.MEDIUM
    failure_mode: str | None = None
    """what this alarm points to (ISO 14224 failure mode); None: no work order comes of it"""
    job_plan: str | None = None
    title: str = ""
    """what a person reads; empty: the name"""

    def __post_init__(self) -> None:
        where = f"rule {self.name!r} on {self.sensor_name}"
        if self.high is None and self.low is None:
            raise ConfigurationError(f"{where} has no limit: give it high, low or both")
        for field in ("high", "low", "deadband", "on_delay_s", "off_delay_s"):
            number = getattr(self, field)
            if number is not None and not math.isfinite(number):
                raise ConfigurationError(f"{where}: {field} is {number}; it must be a finite number")
        if self.deadband < 0:
            raise ConfigurationError(f"{where}: deadband is {self.deadband:g}; it must be 0 or more")
        for field in ("on_delay_s", "off_delay_s"):
            delay = getattr(self, field)
            if not 0 <= delay <= MAX_DELAY_S:
                raise ConfigurationError(
                    f"{where}: {field} is {delay:g} s; it must be between 0 and {MAX_DELAY_S:.0f} s"
                )
        if self.high is not None and self.low is not None:
            span = self.high - self.low
            if span <= 0:
                raise ConfigurationError(
                    f"{where}: low {self.low:g} is not below high {self.high:g}; exchange or correct them"
                )
            if self.deadband >= span:
                raise ConfigurationError(
                    f"{where}: deadband {self.deadband:g} reaches from one limit to the other; "
                    f"make it smaller than high - low = {span:g}"
                )
