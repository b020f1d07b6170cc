"""What raises and clears an alarm, case by case: every side, the boundaries, NaN, gaps, instants, restored state."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from rules.definition import Rule, Side
from rules.events import AlarmChange, ChangeKind
from rules.samples import Samples, signal_of
from rules.signal import Count, Expression, FlatLine, NoData, Quality, Usage
from rules.threshold import ThresholdEvaluator
from telemetry.batch import to_micros
from telemetry.snapshot import pack

S = 1_000_000
NAN = math.nan
NEVER = -(2**62)

Told = tuple[str, str, float, float]
"""(kind, side, at in s, value)"""

BAND: dict[str, Any] = {"high_high": 20.0, "high": 10.0, "low": -10.0, "low_low": -20.0}
NO_DATA: dict[str, Any] = {"signal": NoData(sensor_ids=(1,)), "on_delay_s": 60.0}
FLAT: dict[str, Any] = {"signal": FlatLine(), "on_delay_s": 60.0}
BAD: dict[str, Any] = {"signal": Quality()}
THREE_OF_FIVE: dict[str, Any] = {"signal": Count(above=0.0, at_least=3, of=5)}
LEAK: dict[str, Any] = {"signal": Expression(text="a > b", inputs=(("a", 1), ("b", 2)), is_condition=True)}
DELTA: dict[str, Any] = {"signal": Expression(text="a - b", inputs=(("a", 1), ("b", 2)), is_condition=False)}


def rule(rule_id: int = 1, **changes: Any) -> Rule:
    plain: dict[str, Any] = {
        "id": rule_id,
        "name": f"rule{rule_id}",
        "sensor_id": 1,
        "sensor_name": "sensor",
        "asset_id": 1,
        "unit": "mm/s",
    }
    return Rule(**{**plain, **changes})


def samples(each: Rule, points: Sequence[tuple[float, float]]) -> Samples:
    return Samples(
        signal=np.full(len(points), signal_of(each), np.int32),
        time=np.array([round(at_s * S) for at_s, _ in points], np.int64),
        value=np.array([value for _, value in points], np.float64),
    )


def tick(evaluator: ThresholdEvaluator, at_s: float) -> list[AlarmChange]:
    return evaluator.tick(evaluator.signals, np.full(evaluator.signals.size, round(at_s * S), np.int64))


def told(changes: Sequence[AlarmChange]) -> list[Told]:
    return [
        (str(change.kind), str(change.side), to_micros(change.at) / S, change.value)
        for change in changes
        if change.kind is not ChangeKind.PEAK
    ]


def raised(side: str, at_s: float, value: float) -> Told:
    return ("raised", side, float(at_s), float(value))


def cleared(side: str, at_s: float, value: float) -> Told:
    return ("cleared", side, float(at_s), float(value))


@pytest.mark.parametrize(
    ("changes", "points", "until_s", "expected"),
    [
        # Boundaries of each side: at the limit is inside, at limit and deadband is back.
        pytest.param(BAND, [(0, 10), (1, 20)], None, [raised("high", 1, 20)], id="at high, at high high"),
        pytest.param(BAND, [(0, -10), (1, -20)], None, [raised("low", 1, -20)], id="at low, at low low"),
        pytest.param(
            BAND,
            [(0, 20.5), (1, -20.5)],
            None,
            [
                raised("high", 0, 20.5),
                raised("high_high", 0, 20.5),
                cleared("high", 1, -20.5),
                cleared("high_high", 1, -20.5),
                raised("low", 1, -20.5),
                raised("low_low", 1, -20.5),
            ],
            id="each side is an alarm of its own",
        ),
        pytest.param(
            {"high": 10.0, "high_high": 20.0, "deadband": 2.0},
            [(0, 21), (1, 18.1), (2, 18), (3, 8.1), (4, 8)],
            None,
            [raised("high", 0, 21), raised("high_high", 0, 21), cleared("high_high", 2, 18), cleared("high", 4, 8)],
            id="high and high high clear at limit - deadband",
        ),
        pytest.param(
            {"low": -10.0, "low_low": -20.0, "deadband": 2.0},
            [(0, -21), (1, -18.1), (2, -18), (3, -8.1), (4, -8)],
            None,
            [raised("low", 0, -21), raised("low_low", 0, -21), cleared("low_low", 2, -18), cleared("low", 4, -8)],
            id="low and low low clear at limit + deadband",
        ),
        pytest.param(
            {"high": 0.3}, [(0, 0.1 + 0.2)], None, [raised("high", 0, 0.1 + 0.2)], id="one bit above is above"
        ),
        pytest.param({"high": 0.0}, [(0, -0.0), (1, 0.0), (2, 5e-324)], None, [raised("high", 2, 5e-324)], id="zero"),
        pytest.param(
            {"low_low": -20.0}, [(0, -21), (1, -20)], None, [raised("low_low", 0, -21), cleared("low_low", 1, -20)],
            id="low low alone",
        ),
        # NaN: certainly normal.
        pytest.param(BAND, [(0, NAN)], None, [], id="NaN raises nothing, high or low"),
        pytest.param(
            {"high": 10.0, "deadband": 100.0}, [(0, 11), (1, 0), (2, NAN)], None,
            [raised("high", 0, 11), cleared("high", 2, NAN)],
            id="NaN clears a high alarm, whatever the deadband",
        ),
        pytest.param(
            {"low": 10.0, "deadband": 100.0}, [(0, 9), (1, NAN)], None, [raised("low", 0, 9), cleared("low", 1, NAN)],
            id="NaN clears a low alarm",
        ),
        pytest.param(
            {"high": 10.0, "on_delay_s": 2.0}, [(0, 11), (1, NAN), (2, 12), (3, 12)], 4, [],
            id="NaN cancels what is pending",
        ),
        pytest.param(
            {"high": 10.0, "off_delay_s": 2.0}, [(0, 11), (1, NAN), (2, 11), (3, NAN), (4, NAN), (5, NAN)], None,
            [raised("high", 0, 11), cleared("high", 5, NAN)],
            id="NaN starts the off-delay, a violation cancels it",
        ),
        pytest.param(
            {"high": 10.0, "off_delay_s": 2.0}, [(0, 11), (1, NAN)], 9,
            [raised("high", 0, 11), cleared("high", 3, NAN)],
            id="NaN held through the off-delay",
        ),
        # Delays, exactly met, and by time alone.
        pytest.param(
            {"high": 10.0, "on_delay_s": 2.0}, [(0, 11), (1.999999, 12), (2, 13)], None, [raised("high", 2, 13)],
            id="on-delay exactly met by a violating sample",
        ),
        pytest.param({"high": 10.0, "on_delay_s": 2.0}, [(0, 11), (2, 10)], 9, [], id="back at the very end of it"),
        pytest.param(
            {"high": 10.0, "on_delay_s": 2.0}, [(0, 11), (2.000001, 10)], None,
            [raised("high", 2, 11), cleared("high", 2.000001, 10)],
            id="back a microsecond after it",
        ),
        pytest.param({"high": 10.0, "on_delay_s": 2.0}, [(0, 11)], 2, [], id="time up to the end of it is not enough"),
        pytest.param(
            {"high": 10.0, "on_delay_s": 2.0}, [(0, 11)], 2.000001, [raised("high", 2, 11)], id="a microsecond more is"
        ),
        pytest.param(
            {"low_low": 5.0, "on_delay_s": 2.0, "off_delay_s": 3.0}, [(0, 4), (2, 4), (3, 5)], 60,
            [raised("low_low", 2, 4), cleared("low_low", 6, 5)],
            id="delays of low low",
        ),
        pytest.param(
            {"high": 10.0, "off_delay_s": 2.0, "deadband": 1.0}, [(0, 11), (1, 9), (2, 9.1), (3, 9), (5, 9)], None,
            [raised("high", 0, 11), cleared("high", 5, 9)],
            id="off-delay starts anew after the deadband",
        ),
        # Gaps: a sample holds.
        pytest.param(
            {"high": 10.0, "on_delay_s": 60.0}, [(0, 11), (86_400, 9)], None,
            [raised("high", 60, 11), cleared("high", 86_400, 9)],
            id="a violation holds through a gap longer than the on-delay",
        ),
        pytest.param(
            {"high": 10.0, "off_delay_s": 60.0}, [(0, 11), (1, 9), (86_400, 12)], None,
            [raised("high", 0, 11), cleared("high", 61, 9), raised("high", 86_400, 12)],
            id="so does what is back, longer than the off-delay",
        ),
        # Samples close to each other.
        pytest.param(
            {"high": 10.0}, [(0.0001, 11), (0.0004, 9), (0.0008, 12)], None,
            [raised("high", 0.0001, 11), cleared("high", 0.0004, 9), raised("high", 0.0008, 12)],
            id="three samples in one millisecond",
        ),
        pytest.param(
            {"high": 10.0}, [(1, 11), (1, 9)], None, [raised("high", 1, 11), cleared("high", 1, 9)],
            id="two in one instant, back",
        ),
        pytest.param({"high": 10.0}, [(1, 9), (1, 11)], None, [raised("high", 1, 11)], id="two in one instant, up"),
        pytest.param(
            {"high": 10.0, "on_delay_s": 1.0}, [(0, 11), (1, 12), (1, 9)], None,
            [raised("high", 1, 12), cleared("high", 1, 9)],
            id="two at the end of the on-delay, the first violating",
        ),
        pytest.param(
            {"high": 10.0, "on_delay_s": 1.0}, [(0, 11), (1, 9), (1, 12)], 1.5, [],
            id="two at the end of the on-delay, the first normal",
        ),
        # No data: each reading is a 0 and then a 1.
        pytest.param(NO_DATA, [(0, 0), (0, 1), (60, 0), (60, 1)], 120, [], id="data exactly in time"),
        pytest.param(
            NO_DATA, [(0, 0), (0, 1), (61, 0), (61, 1)], None,
            [raised("condition", 60, 1), cleared("condition", 61, 0)],
            id="data too late",
        ),
        pytest.param(NO_DATA, [(0, 0), (0, 1)], 61, [raised("condition", 60, 1)], id="no data any more"),
        pytest.param(NO_DATA, [], 1e6, [], id="never any data, and nobody knows since when it is missed"),
        pytest.param(
            {**NO_DATA, "watched_since_us": 100 * S}, [], 161, [raised("condition", 160, 1)],
            id="never any data since the rule is in force",
        ),
        pytest.param(
            {**NO_DATA, "watched_since_us": 100 * S}, [(160, 0), (160, 1)], 220, [], id="first data exactly in time"
        ),
        pytest.param(
            {**NO_DATA, "watched_since_us": 100 * S}, [(50, 0), (50, 1)], 111, [raised("condition", 110, 1)],
            id="data from before the rule was in force is data",
        ),
        # Flat: known when a sample says so, not before.
        pytest.param(FLAT, [(0, 1)], 1e6, [], id="silence is not flat"),
        pytest.param(FLAT, [(0, 1), (59, 1)], None, [], id="not flat for long enough"),
        pytest.param(FLAT, [(0, 1), (30, 1), (60, 1)], None, [raised("condition", 60, 1)], id="flat for long enough"),
        pytest.param(FLAT, [(0, 1), (90, 1)], None, [raised("condition", 90, 1)], id="flat on both ends of a gap"),
        pytest.param(FLAT, [(0, 1), (90, 0), (90, 1)], None, [], id="moved during a gap"),
        pytest.param(
            FLAT, [(0, 1), (60, 1), (70, 0), (70, 1), (130, 1)], None,
            [raised("condition", 60, 1), cleared("condition", 70, 0), raised("condition", 130, 1)],
            id="moved, and flat again",
        ),
        # Conditions: at the threshold is an alarm, and the deadband plays no part.
        pytest.param(
            {**BAD, "deadband": 5.0}, [(0, 0), (1, 1), (2, 1), (3, 0)], None,
            [raised("condition", 1, 1), cleared("condition", 3, 0)],
            id="quality",
        ),
        pytest.param(
            THREE_OF_FIVE, [(0, 2), (1, 3), (2, 4), (3, 2)], None,
            [raised("condition", 1, 3), cleared("condition", 3, 2)],
            id="count",
        ),
        pytest.param(
            {**LEAK, "on_delay_s": 1.0, "off_delay_s": 1.0}, [(0, 1), (1, 1), (2, 0), (3, 0)], None,
            [raised("condition", 1, 1), cleared("condition", 3, 0)],
            id="expression that is true or false",
        ),
        pytest.param(
            LEAK, [(0, 1), (1, NAN)], None, [raised("condition", 0, 1), cleared("condition", 1, NAN)],
            id="a condition no longer applies",
        ),
        pytest.param(
            {**DELTA, "high": 3.0, "low": -3.0}, [(0, 3.5), (1, -3.5)], None,
            [raised("high", 0, 3.5), cleared("high", 1, -3.5), raised("low", 1, -3.5)],
            id="expression that is a number",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "sample by sample"])
def test_what_samples_lead_to(
    changes: dict[str, Any],
    points: list[tuple[float, float]],
    until_s: float | None,
    expected: list[Told],
    *,
    cut: bool,
) -> None:
    each = rule(**changes)
    evaluator = ThresholdEvaluator([each])
    found = []
    for part in [[point] for point in points] if cut else [points]:
        found += evaluator.fold(samples(each, part))
        again = ThresholdEvaluator([each])
        again.restore(evaluator.snapshot())
        evaluator = again
    if until_s is not None:
        found += tick(evaluator, until_s)
    assert sorted(map(str, told(found))) == sorted(map(str, expected))


def test_a_change_tells_limit_and_priority_of_its_side() -> None:
    each = rule(**BAND)
    evaluator = ThresholdEvaluator([each])
    changes = evaluator.fold(samples(each, [(0, 21), (1, -21)]))
    assert {(change.side, change.limit, change.priority.name) for change in changes} == {
        (Side.HIGH, 10.0, "MEDIUM"),
        (Side.HIGH_HIGH, 20.0, "HIGH"),
        (Side.LOW, -10.0, "MEDIUM"),
        (Side.LOW_LOW, -20.0, "HIGH"),
    }
    counted = rule(**THREE_OF_FIVE)
    (change,) = ThresholdEvaluator([counted]).fold(samples(counted, [(0, 4)]))
    assert (change.side, change.limit, change.peak_value) == (Side.CONDITION, 3.0, 4.0)


def test_the_peak_of_a_condition_is_not_told_on() -> None:
    counted, measured = rule(1, **THREE_OF_FIVE), rule(2, high=2.0)
    points = [(0.0, 3.0), (1.0, 5.0)]
    assert [change.kind for change in ThresholdEvaluator([counted]).fold(samples(counted, points))] == ["raised"]
    assert [change.kind for change in ThresholdEvaluator([measured]).fold(samples(measured, points))] == [
        "raised",
        "peak",
    ]


def test_the_peak_of_a_low_side_is_the_lowest_value_and_the_first_of_equals() -> None:
    each = rule(low_low=5.0, off_delay_s=10.0)
    (_, peak) = ThresholdEvaluator([each]).fold(samples(each, [(0, 4), (1, 2), (2, NAN), (3, 2), (4, 3)]))
    assert (peak.kind, peak.peak_value, to_micros(peak.peak_at)) == (ChangeKind.PEAK, 2.0, 1 * S)


def test_what_is_not_beyond_a_limit_moved_since_is_no_peak() -> None:
    before = ThresholdEvaluator([rule(high=10.0, deadband=9.0)])
    before.fold(samples(rule(high=10.0), [(0, 11)]))
    moved = rule(high=20.0, deadband=19.0)
    after = ThresholdEvaluator([moved])
    after.restore(before.snapshot())
    assert after.fold(samples(moved, [(1, 15)])) == []
    assert [change.peak_value for change in after.fold(samples(moved, [(2, 21)]))] == [21.0]


def test_time_alone_changes_what_is_delayed_but_no_flat_line() -> None:
    rules = [
        rule(1, high=10.0, on_delay_s=5.0),
        rule(2, **{**NO_DATA, "watched_since_us": 0}),
        rule(3, **FLAT),
        rule(4, **BAD, on_delay_s=5.0),
    ]
    evaluator = ThresholdEvaluator(rules)
    assert evaluator.signals.tolist() == [-4, -3, -2, 1]
    assert evaluator.pending().tolist() == [-2]
    for each in rules:
        evaluator.fold(samples(each, [(1, 11)]))
    assert evaluator.pending().tolist() == [-4, -2, 1]
    assert [change.rule.id for change in tick(evaluator, 100)] == [1, 4, 2]
    assert evaluator.pending().tolist() == []


@pytest.mark.parametrize("out_of_schedule", [False, True])
def test_a_restored_rule_is_not_silent_since_it_was_made(*, out_of_schedule: bool) -> None:
    each = rule(**NO_DATA, watched_since_us=0)
    evaluator = ThresholdEvaluator([each])
    evaluator.fold(samples(each, [(50, NAN)] if out_of_schedule else [(50, 0), (50, 1)]))
    again = ThresholdEvaluator([each])
    again.restore(evaluator.snapshot())
    assert told(tick(again, 100)) == []
    assert told(tick(again, 111)) == ([] if out_of_schedule else [raised("condition", 110, 1)])


def reset(evaluator: ThresholdEvaluator, at_s: dict[int, float]) -> list[AlarmChange]:
    return evaluator.reset(
        np.array(list(at_s), np.int32), np.array([round(each * S) for each in at_s.values()], np.int64)
    )


def test_a_reset_ends_the_alarms_of_its_rules_alone() -> None:
    rules = [rule(each, signal=Usage(), high_high=200.0, high=100.0) for each in (1, 2, 3)]
    evaluator = ThresholdEvaluator(rules)
    for each in rules:
        evaluator.fold(samples(each, [(10, 150), (20, 250)]))
    ended = reset(evaluator, {3: 12.0, 99: 50.0, 1: 50.0})
    assert [(change.rule.id, change.side, to_micros(change.at) / S) for change in ended] == [
        (3, Side.HIGH, 12.0),
        (3, Side.HIGH_HIGH, 20.0),  # not before it began
        (1, Side.HIGH, 50.0),
        (1, Side.HIGH_HIGH, 50.0),
    ]
    assert all(change.kind is ChangeKind.CLEARED and math.isnan(change.value) for change in ended)
    assert [change.peak_value for change in ended] == [250.0] * 4
    assert {alarm.rule.id for alarm in evaluator.active()} == {2}
    assert reset(evaluator, {1: 60.0, 3: 60.0}) == []
    assert told(evaluator.fold(samples(rules[0], [(60, 0), (70, 101)]))) == [raised("high", 70, 101)]


def test_a_reset_cancels_what_is_pending() -> None:
    each = rule(signal=Usage(), high=100.0, on_delay_s=60.0)
    evaluator = ThresholdEvaluator([each])
    evaluator.fold(samples(each, [(0, 101)]))
    assert reset(evaluator, {1: 30.0}) == []
    assert evaluator.pending().size == 0
    assert tick(evaluator, 100) == []


def test_state_of_the_first_version_is_taken_over() -> None:
    """Rules of one limit a side, matched by rule, sensor and side; oriented values."""
    body = pack(
        "threshold/1",
        {
            "rule_id": np.array([1, 1, 2, 9]),
            "sensor_id": np.array([1, 1, 1, 1], np.int32),
            "high": np.array([True, False, True, True]),
            "active": np.array([True, False, False, True]),
            "since": np.array([NEVER, 40 * S, 50 * S, NEVER]),
            "held": np.array([0.0, -2.0, 31.0, 0.0]),
            "peak": np.array([12.0, -2.0, 31.0, 99.0]),
            "peak_at": np.array([35 * S, 40 * S, 50 * S, 1 * S]),
            "began": np.array([30 * S, NEVER, NEVER, 1 * S]),
            "settled": np.array([30 * S, 20 * S, NEVER, 1 * S]),
        },
    )
    rules = [rule(1, high=10.0, low=3.0, on_delay_s=60.0), rule(2, high=30.0, high_high=31.0, on_delay_s=60.0)]
    evaluator = ThresholdEvaluator(rules)
    evaluator.restore(body)
    (alarm,) = evaluator.active()
    assert (alarm.key, alarm.peak_value) == (f"rule1/sensor/high/{30 * S}", 12.0)
    assert told(tick(evaluator, 1000)) == [raised("low", 100, 2.0), raised("high", 110, 31.0)]
    assert ThresholdEvaluator(rules).snapshot() != evaluator.snapshot()


def test_state_goes_with_rule_and_side_whatever_else_changes() -> None:
    before = ThresholdEvaluator([rule(1, high_high=20.0, high=10.0)])
    before.fold(samples(rule(1, high=10.0), [(0, 21)]))
    after = ThresholdEvaluator([rule(1, name="renamed", high_high=15.0, low=3.0), rule(2, high=10.0)])
    after.restore(before.snapshot())
    assert [(alarm.rule.name, alarm.side) for alarm in after.active()] == [("renamed", Side.HIGH_HIGH)]


def test_two_rules_with_one_id_are_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="two rules have the id 1"):
        ThresholdEvaluator([rule(1, high=1.0), rule(1, name="other", high=1.0)])
