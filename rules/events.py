"""What comes out of an evaluation: alarms that began, grew or ended."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rules.definition import ThresholdRule
from telemetry.batch import to_datetime

__all__ = ["ActiveAlarm", "AlarmChange", "ChangeKind", "Side", "alarm_key"]


class Side(StrEnum):
    """Which limit of a rule; each side is an alarm of its own."""

    HIGH = "high"
    LOW = "low"


class ChangeKind(StrEnum):
    """What happened to an alarm. The order here is the order among changes of one instant."""

    RAISED = "raised"
    PEAK = "peak"
    """it is still active and its worst value has become worse"""
    CLEARED = "cleared"


def alarm_key(rule: ThresholdRule, side: Side, began_us: int) -> str:
    """The identity of an alarm, derived from what caused it, so that an insert can be repeated."""
    return f"{rule.name}/{rule.sensor_name}/{side}/{began_us}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmChange:
    """One change of one alarm."""

    kind: ChangeKind
    key: str
    """`alarm_key` of the alarm"""
    rule: ThresholdRule
    side: Side
    limit: float
    at: datetime
    """event time of this change"""
    began_at: datetime
    """when the alarm was raised (on-delay over)"""
    value: float
    """the value at `at`; after a delay the value held then"""
    peak_value: float
    """worst value since the first violating reading, up to this change"""
    peak_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveAlarm:
    """An alarm that stands."""

    key: str
    rule: ThresholdRule
    side: Side
    began_at: datetime
    peak_value: float
    peak_at: datetime

    @classmethod
    def of(cls, rule: ThresholdRule, side: Side, *, began_us: int, peak_value: float, peak_us: int) -> "ActiveAlarm":
        """From event times in microseconds."""
        return cls(
            key=alarm_key(rule, side, began_us),
            rule=rule,
            side=side,
            began_at=to_datetime(began_us),
            peak_value=peak_value,
            peak_at=to_datetime(peak_us),
        )
