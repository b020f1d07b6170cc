"""A rule that contradicts itself is refused with the mend."""

from typing import Any

import pytest

from rules.definition import Category, Limit, Priority, Rule, Side
from rules.signal import Count, Deviation, Expression, FlatLine, NoData, OutOfRange, Quality, Signal, Usage
from telemetry.errors import ConfigurationError


def rule(**changes: Any) -> Rule:
    plain: dict[str, Any] = {
        "id": 1,
        "name": "hot",
        "sensor_id": 1,
        "sensor_name": "pump.temperature",
        "asset_id": 1,
        "unit": "degC",
        "high": 80.0,
    }
    return Rule(**{**plain, **changes})


def test_a_rule_with_one_limit_has_sensible_defaults() -> None:
    made = rule()
    assert (made.low, made.deadband, made.on_delay_s, made.off_delay_s) == (None, 0.0, 0.0, 0.0)
    assert made.priority is Priority.MEDIUM
    assert Priority.LOW < Priority.MEDIUM < Priority.HIGH


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"high": None}, "give it high, low or both", id="no limit"),
        pytest.param({"low": 80.0}, "not below high", id="limits equal"),
        pytest.param({"low": 90.0}, "not below high", id="limits crossed"),
        pytest.param({"high_high": 80.0}, "high 80 is not below high_high 80", id="high high not above high"),
        pytest.param({"high_high": 79.0}, "exchange or correct", id="high high below high"),
        pytest.param({"low": 10.0, "low_low": 10.0}, "low_low 10 is not below low 10", id="low low not below low"),
        pytest.param({"high": None, "high_high": 90.0, "low": 95.0}, "low 95 is not below high_high 90", id="outer"),
        pytest.param({"high_high": float("nan")}, "high_high is nan", id="high high not a number"),
        pytest.param({"low_low": float("-inf")}, "low_low is -inf", id="infinite low low"),
        pytest.param({"high": float("inf")}, "high is inf", id="infinite limit"),
        pytest.param({"low": float("nan")}, "low is nan", id="limit not a number"),
        pytest.param({"deadband": -1.0}, "0 or more", id="negative deadband"),
        pytest.param({"deadband": float("nan")}, "finite", id="deadband not a number"),
        pytest.param({"low": 70.0, "deadband": 10.0}, "smaller than high - low = 10", id="deadband too wide"),
        pytest.param(
            {"high_high": 90.0, "low": 70.0, "low_low": 60.0, "deadband": 10.0},
            "smaller than high - low = 10",
            id="deadband too wide between the inner limits",
        ),
        pytest.param(
            {"high": None, "high_high": 90.0, "low_low": 60.0, "deadband": 30.0},
            "smaller than high_high - low_low = 30",
            id="deadband too wide between the outer ones",
        ),
        pytest.param({"signal": Quality()}, "needs no limits", id="condition with a limit"),
        pytest.param(
            {"signal": Count(above=1.0, at_least=3, of=5), "high": None, "low_low": 1.0},
            "leave them out",
            id="count with a limit",
        ),
        pytest.param({"signal": FlatLine(), "high": None}, "on_delay_s is 0; it says how long", id="flat for no time"),
        pytest.param({"signal": NoData(sensor_ids=(1,)), "high": None}, "above 0", id="no data for no time"),
        pytest.param({"signal": Deviation(setpoint=5.0), "high": None}, "has no limit", id="deviation without limit"),
        pytest.param({"on_delay_s": -1.0}, "on_delay_s is -1 s", id="negative on-delay"),
        pytest.param({"off_delay_s": -1.0}, "off_delay_s is -1 s", id="negative off-delay"),
        pytest.param({"on_delay_s": 1e12}, "between 0 and", id="on-delay of thousands of years"),
    ],
)
def test_a_contradiction_is_refused_with_the_mend(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        rule(**changes)
    assert "rule 'hot' on pump.temperature" in str(caught.value)


def test_a_wide_deadband_is_fine_with_one_limit() -> None:
    assert rule(deadband=1000.0).deadband == 1000.0


def test_limits_come_the_worst_first_with_the_priority_of_their_side() -> None:
    made = rule(high_high=90.0, low=10.0, low_low=5.0, priority=Priority.LOW, critical_priority=Priority.HIGH)
    assert made.limits == (
        Limit(side=Side.HIGH_HIGH, value=90.0, priority=Priority.HIGH),
        Limit(side=Side.HIGH, value=80.0, priority=Priority.LOW),
        Limit(side=Side.LOW, value=10.0, priority=Priority.LOW),
        Limit(side=Side.LOW_LOW, value=5.0, priority=Priority.HIGH),
    )
    assert all(limit.priority is made.priority_of(limit.side) for limit in made.limits)
    assert [limit.side for limit in made.limits if limit.side.is_low] == [Side.LOW, Side.LOW_LOW]


@pytest.mark.parametrize(
    ("signal", "threshold"),
    [
        pytest.param(Count(below=3.0, at_least=4, of=6), 4.0, id="count"),
        pytest.param(FlatLine(tolerance=0.1), 1.0, id="flat line"),
        pytest.param(NoData(sensor_ids=(1, 2)), 1.0, id="no data"),
        pytest.param(Quality(), 1.0, id="quality"),
        pytest.param(Expression(text="a > b", inputs=(("a", 1), ("b", 2)), is_condition=True), 1.0, id="expression"),
    ],
)
def test_a_condition_has_one_side_and_a_threshold(signal: Signal, threshold: float) -> None:
    made = rule(signal=signal, high=None, on_delay_s=60.0, priority=Priority.LOW)
    assert made.limits == (Limit(side=Side.CONDITION, value=threshold, priority=Priority.LOW),)


@pytest.mark.parametrize(
    ("signal", "category"),
    [
        (OutOfRange(), Category.SENSOR),
        (Usage(), Category.MACHINE),
        (Expression(text="a - b", inputs=(("a", 1), ("b", 2)), is_condition=False), Category.MACHINE),
    ],
)
def test_what_is_no_condition_needs_limits_whatever_it_is_about(signal: Signal, category: Category) -> None:
    assert rule(signal=signal).category is category
    with pytest.raises(ConfigurationError, match="has no limit"):
        rule(signal=signal, high=None)


def test_an_alarm_about_the_measurement_is_none_about_the_machine() -> None:
    assert rule().category is Category.MACHINE
    for signal in (Quality(), FlatLine(), NoData(sensor_ids=(1,))):
        assert rule(signal=signal, high=None, on_delay_s=1.0).category is Category.SENSOR
