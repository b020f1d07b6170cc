"""From an alarm to the request for a work order."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cbm.job_plan import JobPlan
from cbm.priority import due_factor, order_priority
from rules.events import AlarmChange, ChangeKind, Side
from rules.signal import Count, Deviation, Expression, FlatLine, NoData, Quality, Rate, Signal, Usage, Window
from telemetry.plant import Asset

__all__ = ["DUE_WITHOUT_PLAN_S", "WorkOrderRequest", "decide"]

DUE_WITHOUT_PLAN_S = 30 * 86_400.0
"""seconds to the due date where no job plan says how soon"""

_ASKING = (ChangeKind.RAISED, ChangeKind.UNSUPPRESSED)
_CONDITIONS: Mapping[type[Signal], str] = {
    Count: "too many readings beyond the limit",
    FlatLine: "value does not move",
    NoData: "no data",
    Quality: "sensor reports itself faulty",
}
"""what is wrong, of rules without limits; of the others the title says it"""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkOrderRequest:
    """What one alarm asks of maintenance.

    Several alarms may ask about the same asset and failure mode. Their order takes the earliest opening and
    due date, the most urgent priority, the title of the earliest alarm: never a matter of who asked first.
    """

    alarm_key: str
    """the alarm that asks; breaks ties between alarms of one instant"""
    asset_id: int
    failure_mode: str
    title: str
    priority: int
    """1 (most urgent) to 5"""
    opened_at: datetime
    """event time at which the alarm began"""
    due_at: datetime
    job_plan: JobPlan | None
    """as it stands today; the order keeps a copy"""


def decide(change: AlarmChange, asset: Asset, plan: JobPlan | None) -> WorkOrderRequest | None:
    """The work order that an alarm asks for once people are told of it; None when its rule points to no failure mode.

    Raises:
        ValueError: the change tells nobody of an alarm, or the asset is not the alarm's.
    """
    rule = change.rule
    if change.kind not in _ASKING:
        raise ValueError(f"{change.key}: a {change.kind} alarm asks for nothing new; decide on raised ones")
    if rule.asset_id != asset.id:
        raise ValueError(f"{change.key}: the alarm is of asset {rule.asset_id}, not of {asset.name} ({asset.id})")
    if rule.failure_mode is None:
        return None
    priority = order_priority(change.priority, asset.criticality)
    due_within_s = DUE_WITHOUT_PLAN_S if plan is None else plan.due_within_s
    return WorkOrderRequest(
        alarm_key=change.key,
        asset_id=asset.id,
        failure_mode=rule.failure_mode,
        title=_title(change, asset, rule.failure_mode),
        priority=priority,
        opened_at=change.began_at,
        due_at=change.began_at + timedelta(seconds=due_within_s * due_factor(priority)),
        job_plan=plan,
    )


def _title(change: AlarmChange, asset: Asset, failure_mode: str) -> str:
    suspected = failure_mode.replace("_", " ")
    return f"{asset.name}: {suspected} suspected ({_condition(change)})"


def _condition(change: AlarmChange) -> str:
    """What was seen, in a few words."""
    rule = change.rule
    if change.side is Side.CONDITION:
        return f"{rule.sensor_name}: {_CONDITIONS.get(type(rule.signal), rule.title or rule.name)}"
    seen = _seen(rule.signal)
    limit = f"{change.limit:g} {rule.unit}".rstrip()
    beyond = "below" if change.side.is_low else "above"
    return f"{rule.sensor_name}{f', {seen},' if seen else ''} {beyond} {limit}"


def _seen(signal: Signal) -> str:
    """What of the readings was compared with the limit; empty: they themselves."""
    match signal:
        case Deviation():
            return "deviation"
        case Rate():
            return "rate of change"
        case Window(statistic=statistic):
            return statistic.value.replace("_", " ")
        case Usage():
            return "usage"
        case Expression(text=text):
            return text
        case _:
            return ""
