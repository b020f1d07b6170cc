from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cbm.decision import DUE_WITHOUT_PLAN_S, decide
from cbm.job_plan import JobPlan
from cbm.priority import LEAST_URGENT, MOST_URGENT, due_factor, order_priority
from rules.definition import Priority, Rule
from rules.events import AlarmChange, ChangeKind, Side, alarm_key
from rules.signal import (
    Count,
    Deviation,
    Expression,
    FlatLine,
    NoData,
    OutOfRange,
    Quality,
    Rate,
    Signal,
    Statistic,
    Usage,
    Value,
    Window,
)
from telemetry.batch import to_micros
from telemetry.plant import Asset

BEGAN = datetime(2026, 3, 2, 8, tzinfo=UTC)
PLAN = JobPlan(
    id=1,
    name="bearing",
    title="Replace the bearing",
    tasks=("isolate", "replace"),
    parts=(),
    skills=("mechanic",),
    labour_hours=4.0,
    due_within_s=8 * 86_400.0,
)


def asset(criticality: int = 3) -> Asset:
    return Asset(
        id=7,
        name="P-101",
        title="",
        parent_id=None,
        site="north",
        area="water",
        asset_class="pump",
        criticality=criticality,
    )


def raised(
    *,
    priority: Priority = Priority.MEDIUM,
    failure_mode: str | None = "bearing_wear",
    side: Side = Side.HIGH,
    limit: float = 8.0,
    unit: str = "",
    asset_id: int = 7,
    kind: ChangeKind = ChangeKind.RAISED,
) -> AlarmChange:
    rule = Rule(
        id=1,
        name="unlike-before",
        sensor_id=3,
        sensor_name="P-101.vib_de.score",
        asset_id=asset_id,
        unit=unit,
        high=limit if side is Side.HIGH else None,
        low=limit if side is Side.LOW else None,
        priority=priority,
        failure_mode=failure_mode,
    )
    return AlarmChange(
        kind=kind,
        key=alarm_key(rule, side, to_micros(BEGAN)),
        rule=rule,
        side=side,
        limit=limit,
        at=BEGAN,
        began_at=BEGAN,
        value=9.0,
        peak_value=9.0,
        peak_at=BEGAN,
    )


def test_a_raised_alarm_with_a_failure_mode_asks_for_a_work_order() -> None:
    change = raised()
    request = decide(change, asset(), PLAN)
    assert request is not None
    assert (request.asset_id, request.failure_mode, request.alarm_key) == (7, "bearing_wear", change.key)
    assert request.opened_at == BEGAN
    assert request.due_at == BEGAN + timedelta(days=8)
    assert request.job_plan == PLAN


def test_a_rule_without_failure_mode_asks_for_nothing() -> None:
    assert decide(raised(failure_mode=None), asset(), PLAN) is None


@pytest.mark.parametrize(
    ("change", "title"),
    [
        (raised(), "P-101: bearing wear suspected (P-101.vib_de.score above 8)"),
        (
            raised(side=Side.LOW, limit=0.25, unit="bar", failure_mode="blockage"),
            "P-101: blockage suspected (P-101.vib_de.score below 0.25 bar)",
        ),
    ],
    ids=["high, no unit", "low, with unit"],
)
def test_the_title_says_asset_failure_mode_point_and_limit(change: AlarmChange, title: str) -> None:
    request = decide(change, asset(), None)
    assert request is not None
    assert request.title == title


def test_without_a_job_plan_the_order_is_due_after_the_default_time() -> None:
    request = decide(raised(priority=Priority.LOW), asset(), None)
    assert request is not None
    assert request.job_plan is None
    assert request.due_at - request.opened_at == timedelta(seconds=DUE_WITHOUT_PLAN_S)


@pytest.mark.parametrize(("criticality", "days"), [(5, 2), (3, 4), (1, 8)], ids=["urgent", "soon", "normal"])
def test_urgent_orders_are_due_sooner_than_their_plan_says(criticality: int, days: int) -> None:
    severity = Priority.HIGH if criticality > 1 else Priority.LOW
    request = decide(raised(priority=severity), asset(criticality), PLAN)
    assert request is not None
    assert request.due_at == BEGAN + timedelta(days=days)


def of(signal: Signal, side: Side = Side.HIGH, **more: Any) -> AlarmChange:
    watched = Rule(
        id=1,
        name="one",
        sensor_id=3,
        sensor_name="P-101.vib_de",
        asset_id=7,
        unit="mm/s",
        signal=signal,
        failure_mode="bearing_wear",
        **more,
    )
    limit = next(limit.value for limit in watched.limits if limit.side is side)
    return replace(raised(), rule=watched, side=side, limit=limit, key=alarm_key(watched, side, to_micros(BEGAN)))


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (of(Value(), Side.HIGH_HIGH, high_high=7.1), "P-101.vib_de above 7.1 mm/s"),
        (of(Value(), Side.LOW_LOW, low_low=0.5), "P-101.vib_de below 0.5 mm/s"),
        (of(Deviation(setpoint=3.0), high=2.0), "P-101.vib_de, deviation, above 2 mm/s"),
        (of(Rate(window_s=60.0, per_s=60.0), high=2.0), "P-101.vib_de, rate of change, above 2 mm/s"),
        (
            of(Window(statistic=Statistic.STANDARD_DEVIATION, window_s=60.0), high=2.0),
            "P-101.vib_de, standard deviation, above 2 mm/s",
        ),
        (of(Usage(), high=8000.0), "P-101.vib_de, usage, above 8000 mm/s"),
        (of(OutOfRange(), Side.LOW, low=-1.0), "P-101.vib_de below -1 mm/s"),
        (
            of(Expression(text="a - b", inputs=(("a", 1), ("b", 2)), is_condition=False), high=4.0),
            "P-101.vib_de, a - b, above 4 mm/s",
        ),
        (of(FlatLine(), Side.CONDITION, on_delay_s=60.0), "P-101.vib_de: value does not move"),
        (of(NoData(sensor_ids=(3,)), Side.CONDITION, on_delay_s=60.0), "P-101.vib_de: no data"),
        (of(Quality(), Side.CONDITION), "P-101.vib_de: sensor reports itself faulty"),
        (of(Count(above=7.1, at_least=3, of=5), Side.CONDITION), "P-101.vib_de: too many readings beyond the limit"),
        (
            of(
                Expression(text="a > b", inputs=(("a", 1), ("b", 2)), is_condition=True),
                Side.CONDITION,
                title="runs dry",
            ),
            "P-101.vib_de: runs dry",
        ),
    ],
    ids=lambda value: type(value.rule.signal).__name__ if isinstance(value, AlarmChange) else "",
)
def test_the_title_says_what_was_seen_whatever_the_kind_of_rule(change: AlarmChange, seen: str) -> None:
    request = decide(change, asset(), None)
    assert request is not None
    assert request.title == f"P-101: bearing wear suspected ({seen})"


def test_the_side_makes_the_order_more_urgent() -> None:
    sides = {"high": 4.5, "high_high": 7.1, "priority": Priority.LOW}
    high = decide(of(Value(), Side.HIGH, **sides), asset(), None)
    worse = decide(of(Value(), Side.HIGH_HIGH, **sides), asset(), None)
    assert high is not None
    assert worse is not None
    assert (high.priority, worse.priority) == (4, 2)


def test_an_alarm_that_nothing_stands_for_any_more_is_decided_on_like_a_raised_one() -> None:
    told = replace(raised(kind=ChangeKind.UNSUPPRESSED), at=BEGAN + timedelta(hours=1))
    assert decide(told, asset(), PLAN) == decide(raised(), asset(), PLAN)


@pytest.mark.parametrize("kind", [ChangeKind.PEAK, ChangeKind.CLEARED, ChangeKind.SUPPRESSED])
def test_only_a_raised_alarm_is_decided_on(kind: ChangeKind) -> None:
    with pytest.raises(ValueError, match="raised"):
        decide(raised(kind=kind), asset(), PLAN)


def test_an_alarm_is_not_decided_on_with_another_asset() -> None:
    with pytest.raises(ValueError, match="asset 8"):
        decide(raised(asset_id=8), asset(), PLAN)


@pytest.mark.parametrize(
    ("severity", "expected"),
    [
        (Priority.LOW, [5, 5, 4, 4, 3]),
        (Priority.MEDIUM, [5, 4, 3, 2, 2]),
        (Priority.HIGH, [4, 3, 2, 1, 1]),
    ],
    ids=lambda value: value.name if isinstance(value, Priority) else "",
)
def test_priority_is_severity_times_criticality_in_bands(severity: Priority, expected: list[int]) -> None:
    assert [order_priority(severity, criticality) for criticality in range(1, 6)] == expected


def test_an_order_of_higher_priority_never_leaves_more_time() -> None:
    factors = [due_factor(priority) for priority in range(MOST_URGENT, LEAST_URGENT + 1)]
    assert factors == sorted(factors)
    assert all(0 < factor <= 1 for factor in factors)


@pytest.mark.parametrize("criticality", [0, 6])
def test_a_criticality_off_the_scale_is_refused(criticality: int) -> None:
    with pytest.raises(ValueError, match="1 to 5"):
        order_priority(Priority.LOW, criticality)
