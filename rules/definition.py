"""What a person asks the engine to watch."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import IntEnum, StrEnum
from itertools import pairwise

from rules.signal import FlatLine, NoData, Signal, Value, is_condition, is_of_sensor, threshold_of
from telemetry.errors import ConfigurationError

__all__ = ["MAX_DELAY_S", "Category", "Gate", "Limit", "Priority", "Rule", "Schedule", "Side", "Span"]

MAX_DELAY_S = 366 * 86_400.0
"""longest on-delay or off-delay: a year"""


class Priority(IntEnum):
    """How urgent an alarm is, ISA-18.2 fashion; a plant should see about 80/15/5 % of low/medium/high."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3


class Category(StrEnum):
    """What an alarm says is at fault."""

    MACHINE = "machine"
    SENSOR = "sensor"
    """the measurement: nobody knows how the machine is"""


class Side(StrEnum):
    """Which limit of a rule; each is an alarm of its own."""

    HIGH_HIGH = "high_high"
    HIGH = "high"
    LOW = "low"
    LOW_LOW = "low_low"
    CONDITION = "condition"
    """the rule has no limits: its signal says what is an alarm"""

    @property
    def is_low(self) -> bool:
        """Whether values below the limit are the bad ones."""
        return self in (Side.LOW, Side.LOW_LOW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One side of a rule."""

    side: Side
    value: float
    """in the rule's unit; a condition: a sample at or above is an alarm, elsewhere: beyond"""
    priority: Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The rule applies only while a sensor's value is within these ends, both included."""

    sensor_id: int
    low: float = -math.inf
    high: float = math.inf
    settle_s: float = 0.0
    """after the gate opened, the rule applies only this much later"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Some hours of some weekdays."""

    weekdays: frozenset[int]
    """0 is Monday; of the day on which the span begins"""
    begin_s: int
    """seconds after midnight"""
    end_s: int
    """seconds after midnight of the day it begins on; beyond 86400: until the next day"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a rule applies."""

    timezone: str
    """of tzdata, e.g. Europe/Berlin"""
    spans: tuple[Span, ...]
    closed: frozenset[date] = frozenset()
    """days on which no span begins: holidays, shutdowns"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule on one sensor, or on an asset. What it means over time: `rules.threshold`.

    Raises:
        ConfigurationError: limits, deadband or delays contradict each other; the message says the mend.
    """

    id: int
    name: str
    """unique among the rules of its sensor, or asset"""
    sensor_id: int | None
    """None: the rule is on the asset as a whole"""
    sensor_name: str
    """what the rule is on: the full name of the sensor, or the name of the asset"""
    asset_id: int
    unit: str
    """of the signal, its limits and the deadband"""
    signal: Signal = field(default_factory=Value)
    high_high: float | None = None
    high: float | None = None
    """alarm when the sample is above"""
    low: float | None = None
    """alarm when the sample is below"""
    low_low: float | None = None
    deadband: float = 0.0
    """how far back inside the limit the value must come before the alarm clears"""
    on_delay_s: float = 0.0
    """the value must violate the limit for this long before the alarm is raised"""
    off_delay_s: float = 0.0
    """the value must be back beyond the deadband for this long before the alarm clears"""
    latching: bool = False
    """stands until somebody resets it, also when the value is back"""
    priority: Priority = Priority.MEDIUM
    critical_priority: Priority = Priority.HIGH
    """of high_high and low_low"""
    gate: Gate | None = None
    schedule: Schedule | None = None
    suppressed_by: frozenset[int] = frozenset()
    """ids of rules: while an alarm of one stands, those of this one are suppressed"""
    first_out: str | None = None
    """of the alarms of one asset and this group only the first is told, until all of them are gone"""
    failure_mode: str | None = None
    """what this alarm points to (ISO 14224 failure mode); None: no work order comes of it"""
    job_plan: str | None = None
    title: str = ""
    """what a person reads; empty: the name"""
    watched_since_us: int | None = None
    """since when the rule is in force, us since 1970: a sensor that never said anything is silent since then"""
    sources: Mapping[str, str] = field(default_factory=dict)
    """where each limit comes from, for people: field, and the template, override or table"""

    @property
    def category(self) -> Category:
        """Whether its alarms are about the machine or about the measurement."""
        return Category.SENSOR if is_of_sensor(self.signal) else Category.MACHINE

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Its sides, the worst first."""
        if is_condition(self.signal):
            return (Limit(side=Side.CONDITION, value=threshold_of(self.signal), priority=self.priority),)
        return tuple(
            Limit(side=side, value=value, priority=priority)
            for side, value, priority in (
                (Side.HIGH_HIGH, self.high_high, self.critical_priority),
                (Side.HIGH, self.high, self.priority),
                (Side.LOW, self.low, self.priority),
                (Side.LOW_LOW, self.low_low, self.critical_priority),
            )
            if value is not None
        )

    def priority_of(self, side: Side) -> Priority:
        """How urgent an alarm of this side is."""
        return self.critical_priority if side in (Side.HIGH_HIGH, Side.LOW_LOW) else self.priority

    def __post_init__(self) -> None:
        where = f"rule {self.name!r} on {self.sensor_name}"
        for name in ("high_high", "high", "low", "low_low", "deadband", "on_delay_s", "off_delay_s"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise ConfigurationError(f"{where}: {name} is {number}; it must be a finite number")
        if self.deadband < 0:
            raise ConfigurationError(f"{where}: deadband is {self.deadband:g}; it must be 0 or more")
        for name in ("on_delay_s", "off_delay_s"):
            delay = getattr(self, name)
            if not 0 <= delay <= MAX_DELAY_S:
                raise ConfigurationError(
                    f"{where}: {name} is {delay:g} s; it must be between 0 and {MAX_DELAY_S:.0f} s"
                )
        if isinstance(self.signal, FlatLine | NoData) and not self.on_delay_s:
            raise ConfigurationError(f"{where}: on_delay_s is 0; it says how long, so it must be above 0")
        if isinstance(self.signal, FlatLine | NoData) and self.off_delay_s:
            raise ConfigurationError(f"{where}: off_delay_s is of no use here: it is over with the next reading; set 0")
        if is_condition(self.signal):
            if any(getattr(self, name) is not None for name in ("high_high", "high", "low", "low_low")):
                raise ConfigurationError(f"{where} needs no limits: what it watches is an alarm or not; leave them out")
            return
        self._check_limits(where)

    def _check_limits(self, where: str) -> None:
        names = [name for name in ("low_low", "low", "high", "high_high") if getattr(self, name) is not None]
        if not names:
            raise ConfigurationError(f"{where} has no limit: give it high, low or both")
        values = {name: getattr(self, name) for name in names}
        for below, above in pairwise(names):
            if values[below] >= values[above]:
                raise ConfigurationError(
                    f"{where}: {below} {values[below]:g} is not below {above} {values[above]:g}; "
                    "exchange or correct them"
                )
        lows = [name for name in names if name.startswith("low")]
        highs = [name for name in names if name.startswith("high")]
        if lows and highs:
            span = values[highs[0]] - values[lows[-1]]
            if self.deadband >= span:
                raise ConfigurationError(
                    f"{where}: deadband {self.deadband:g} reaches from one limit to the other; "
                    f"make it smaller than {highs[0]} - {lows[-1]} = {span:g}"
                )
