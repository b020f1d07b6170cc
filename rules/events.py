"""What comes out of an evaluation: alarms that began, grew or ended, or that another one stands for."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rules.definition import Priority, Rule, Side
from telemetry.batch import to_datetime

__all__ = ["ActiveAlarm", "AlarmChange", "ChangeKind", "Side", "alarm_key"]


class ChangeKind(StrEnum):
    """What happened to an alarm. The order here is the order among changes of one instant."""

    RAISED = "raised"
    SUPPRESSED = "suppressed"
    """by design: another alarm stands for it; nobody is told of this one"""
    PEAK = "peak"
    """it is still active and its worst value has become worse"""
    UNSUPPRESSED = "unsuppressed"
    """it is still active and nothing stands for it any more"""
    CLEARED = "cleared"


def alarm_key(rule: Rule, side: Side, began_us: int) -> str:
    """The identity of an alarm, derived from what caused it, so that an insert can be repeated."""
    return f"{rule.name}/{rule.sensor_name}/{side}/{began_us}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AlarmChange:
    """One change of one alarm."""

    kind: ChangeKind
    key: str
    """`alarm_key` of the alarm"""
    rule: Rule
    side: Side
    limit: float
    """of a condition: from which sample on it is an alarm"""
    at: datetime
    """event time of this change"""
    began_at: datetime
    """when the alarm was raised (on-delay over)"""
    value: float
    """the sample at `at`; after a delay the one held then; NaN: it was cleared because the rule no longer applied"""
    peak_value: float
    """worst value since the first violating reading, up to this change"""
    peak_at: datetime
    by: str = ""
    """suppressed: the key of the alarm that stands for it"""

    @property
    def priority(self) -> Priority:
        """How urgent the alarm is."""
        return self.rule.priority_of(self.side)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActiveAlarm:
    """An alarm that stands."""

    key: str
    rule: Rule
    side: Side
    began_at: datetime
    peak_value: float
    peak_at: datetime

    @classmethod
    def of(cls, rule: Rule, side: Side, *, began_us: int, peak_value: float, peak_us: int) -> "ActiveAlarm":
        """From event times in microseconds."""
        return cls(
            key=alarm_key(rule, side, began_us),
            rule=rule,
            side=side,
            began_at=to_datetime(began_us),
            peak_value=peak_value,
            peak_at=to_datetime(peak_us),
        )
