"""All kinds of rules together: cases by table, and the same changes however the stream is cut."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.definition import Gate, Rule, Schedule, Span
from rules.evaluator import RuleEvaluator
from rules.events import AlarmChange, ChangeKind
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
from telemetry import quality
from telemetry.batch import ReadingBatch, to_micros
from telemetry.snapshot import pack

S = 1_000_000
ALIGN_S = 4.0
GOOD, BAD = int(quality.Quality.GOOD), int(quality.Quality.BAD)

Reading = tuple[int, float, float]
"""sensor, time in s, value"""
Told = tuple[str, int, float]
"""kind, rule, at in s"""


def rule(id_: int, sensor_id: int | None = 1, signal: Signal | None = None, **changes: Any) -> Rule:
    has_limits = {"high_high", "high", "low", "low_low"} & changes.keys()
    plain: dict[str, Any] = {"high": 10.0} if signal is None and not has_limits else {}
    return Rule(
        id=id_,
        name=f"rule{id_}",
        sensor_id=sensor_id,
        sensor_name=f"sensor{sensor_id}",
        asset_id=changes.pop("asset_id", 1),
        unit="mm/s",
        signal=signal or Value(),
        **{**plain, **changes},
    )


def batch(readings: Iterable[Reading], quality_: int = GOOD) -> ReadingBatch:
    columns = sorted(readings)
    sensor, time, value = zip(*columns, strict=True) if columns else ((), (), ())
    return ReadingBatch.of(np.round(np.array(time) * S), sensor, value, np.full(len(columns), quality_))


def tick(evaluator: RuleEvaluator, sensors: Sequence[int], now_s: float) -> list[AlarmChange]:
    return evaluator.tick(np.array(sensors, np.int32), np.full(len(sensors), round(now_s * S), np.int64))


def told(changes: Iterable[AlarmChange]) -> list[Told]:
    return [
        (str(change.kind), change.rule.id, to_micros(change.at) / S)
        for change in changes
        if change.kind is not ChangeKind.PEAK
    ]


def run(rules: Sequence[Rule], readings: Iterable[Reading], *, align_s: float = ALIGN_S) -> list[Told]:
    """All at once, and everything held back at the end."""
    evaluator = RuleEvaluator(rules, align_s=align_s)
    return told(evaluator.fold(batch(readings)) + evaluator.flush())


def test_a_duration_rule_on_a_silent_sensor_fires_without_another_message() -> None:
    evaluator = RuleEvaluator([rule(1, on_delay_s=60.0)], align_s=ALIGN_S)
    assert evaluator.waiting().tolist() == []
    assert evaluator.fold(batch([(1, 0, 11)])) == []
    assert evaluator.waiting().tolist() == [1]
    assert tick(evaluator, [1], 60) == []
    assert told(tick(evaluator, [1], 61)) == [("raised", 1, 60.0)]
    assert evaluator.waiting().tolist() == []


def test_a_rule_that_stands_alone_is_not_held_up_by_a_slow_neighbour() -> None:
    evaluator = RuleEvaluator([rule(1), rule(2, signal=Deviation(reference_id=2), high=5.0)], align_s=ALIGN_S)
    evaluator.fold(batch([(2, 0, 1)]))
    assert told(evaluator.fold(batch([(1, 1, 11)]))) == [("raised", 1, 1.0)]
    assert told(evaluator.fold(batch([(2, 1, 2)]))) == [("raised", 2, 1.0)]


def test_no_data_of_an_asset_is_one_alarm_when_the_last_of_its_sensors_is_silent() -> None:
    silent = rule(1, None, NoData(sensor_ids=(1, 2)), on_delay_s=10.0)
    evaluator = RuleEvaluator([silent], align_s=ALIGN_S)
    evaluator.fold(batch([(1, 0, 1), (2, 0, 1)]))
    evaluator.fold(batch([(1, 5, 1)]))
    assert evaluator.waiting().tolist() == [1, 2]
    assert tick(evaluator, [1, 2], 15) == []
    assert told(tick(evaluator, [1, 2], 16)) == [("raised", 1, 15.0)]
    assert [alarm.rule.id for alarm in evaluator.active()] == [1]
    assert told(evaluator.fold(batch([(2, 20, 1)])) + evaluator.flush()) == [("cleared", 1, 20.0)]


def test_a_bad_reading_is_data_but_no_value() -> None:
    rules = [rule(1), rule(2, signal=NoData(sensor_ids=(1,)), on_delay_s=10.0), rule(3, signal=Quality())]
    evaluator = RuleEvaluator(rules, align_s=ALIGN_S)
    assert told(evaluator.fold(batch([(1, 0, 99)], BAD))) == [("raised", 3, 0.0)]
    assert told(tick(evaluator, [1], 11)) == [("raised", 2, 10.0)]


def test_a_sensor_that_never_said_anything_is_silent_since_it_is_watched() -> None:
    silent = rule(1, signal=NoData(sensor_ids=(1,)), on_delay_s=10.0, watched_since_us=5 * S)
    evaluator = RuleEvaluator([silent], align_s=ALIGN_S)
    assert evaluator.waiting().tolist() == [1]
    assert told(tick(evaluator, [1], 16)) == [("raised", 1, 15.0)]


@pytest.mark.parametrize("gated_first", [True, False])
def test_band_by_operating_state(gated_first: bool) -> None:
    """Only while the machine runs: low flow at rest is no alarm, and stopping ends one."""
    watched, state = (1, 2) if gated_first else (2, 1)
    low = rule(1, watched, low=5.0, gate=Gate(sensor_id=state, low=1.0, high=1.0, settle_s=2.0))
    readings = [
        (watched, 0.0, 0.0),
        (state, 1.0, 1.0),
        (watched, 2.0, 0.0),
        (watched, 3.0, 0.0),
        (watched, 4.0, 9.0),
        (watched, 5.0, 0.0),
        (state, 6.0, 0.0),
        (watched, 6.0, 0.0),
        (watched, 7.0, 0.0),
    ]
    assert run([low], readings) == [
        ("raised", 1, 3.0),
        ("cleared", 1, 4.0),
        ("raised", 1, 5.0),
        ("cleared", 1, 6.0),
    ]


def test_silence_counts_only_while_the_gate_is_open() -> None:
    gate = Gate(sensor_id=2, low=1.0, settle_s=5.0)
    silent = rule(1, signal=NoData(sensor_ids=(1,)), on_delay_s=10.0, watched_since_us=0, gate=gate)
    evaluator = RuleEvaluator([silent], align_s=ALIGN_S)
    assert tick(evaluator, [1, 2], 60) == []
    evaluator.fold(batch([(2, 100, 1)]))
    assert 1 in evaluator.waiting().tolist()
    assert tick(evaluator, [1, 2], 115) == []
    assert told(tick(evaluator, [1, 2], 116)) == [("raised", 1, 115.0)]


DAY_SHIFT = Schedule(timezone="UTC", spans=(Span(weekdays=frozenset(range(7)), begin_s=100, end_s=200),))


def test_a_schedule_that_closes_ends_what_is_pending_and_what_stands() -> None:
    rules = [rule(1, on_delay_s=20.0, schedule=DAY_SHIFT), rule(2, schedule=DAY_SHIFT)]
    assert run(rules, [(1, 50, 99), (1, 190, 11), (1, 250, 12)]) == [
        ("raised", 2, 100.0),
        ("raised", 1, 120.0),
        ("cleared", 1, 200.0),
        ("cleared", 2, 200.0),
    ]
    assert run(rules[:1], [(1, 190, 11), (1, 250, 12)]) == []


def test_a_schedule_closes_and_opens_on_a_silent_sensor_too() -> None:
    evaluator = RuleEvaluator([rule(1, schedule=DAY_SHIFT)], align_s=ALIGN_S)
    assert told(evaluator.fold(batch([(1, 150, 11)]))) == [("raised", 1, 150.0)]
    assert evaluator.waiting().tolist() == [1]
    assert tick(evaluator, [1], 200) == []
    assert told(tick(evaluator, [1], 201)) == [("cleared", 1, 200.0)]
    assert evaluator.waiting().tolist() == [1]
    assert told(tick(evaluator, [1], 86_400 + 101)) == [("raised", 1, 86_500.0)]


def test_silence_counts_from_the_opening_of_the_schedule() -> None:
    silent = rule(1, signal=NoData(sensor_ids=(1,)), on_delay_s=30.0, watched_since_us=0, schedule=DAY_SHIFT)
    evaluator = RuleEvaluator([silent], align_s=ALIGN_S)
    assert tick(evaluator, [1], 99) == []
    assert told(tick(evaluator, [1], 131)) == [("raised", 1, 130.0)]


def test_a_parent_suppresses_its_children() -> None:
    rules = [rule(1, 1), rule(2, 2, suppressed_by=frozenset({1}))]
    evaluator = RuleEvaluator(rules, align_s=ALIGN_S)
    changes = evaluator.fold(batch([(1, 0, 11), (1, 10, 9), (2, 0, 9), (2, 5, 11), (2, 15, 9)])) + evaluator.flush()
    assert told(changes) == [
        ("raised", 1, 0.0),
        ("raised", 2, 5.0),
        ("suppressed", 2, 5.0),
        ("unsuppressed", 2, 10.0),
        ("cleared", 1, 10.0),
        ("cleared", 2, 15.0),
    ]
    assert (changes[2].by, changes[3].by) == (changes[0].key, "")


def test_changes_of_a_group_come_in_order_of_event_time_over_all_folds() -> None:
    """A delay that runs out between the readings of two sensors is told between them."""
    rules = [rule(1, 1, on_delay_s=3.0), rule(2, 2, suppressed_by=frozenset({1}))]
    evaluator = RuleEvaluator(rules, align_s=ALIGN_S)
    changes: list[Told] = []
    for readings in ([(1, 0, 11)], [(2, 0, 9)], [(2, 4, 11)], [(1, 4, 11)]):
        changes += told(evaluator.fold(batch(readings)))
    assert changes == [("raised", 1, 3.0), ("raised", 2, 4.0), ("suppressed", 2, 4.0)]


def test_readings_behind_the_frontier_of_their_group_are_counted() -> None:
    evaluator = RuleEvaluator([rule(1, signal=Deviation(reference_id=2), high=5.0)], align_s=ALIGN_S)
    evaluator.fold(batch([(1, 100, 9)]))
    assert evaluator.late == 0
    evaluator.fold(batch([(2, 90, 1), (2, 97, 1)]))
    assert evaluator.late == 1


def test_reset_ends_alarm_and_count_and_frees_the_children() -> None:
    rules = [rule(1, 1, Usage(), high=100.0), rule(2, 2, suppressed_by=frozenset({1}))]
    evaluator = RuleEvaluator(rules, align_s=ALIGN_S)
    changes = evaluator.fold(batch([(1, 0, 0), (1, 10, 150), (2, 0, 0), (2, 10, 20)]))
    assert told(changes) == [("raised", 1, 10.0), ("raised", 2, 10.0), ("suppressed", 2, 10.0)]
    at = np.array([12 * S, 12 * S])
    freed = evaluator.reset(np.array([1, 99], np.int32), at)
    assert told(freed) == [("unsuppressed", 2, 12.0), ("cleared", 1, 12.0)]
    assert told(evaluator.fold(batch([(1, 20, 240), (2, 20, 20)]))) == []
    assert told(evaluator.fold(batch([(1, 30, 260), (2, 30, 20)]))) == [("raised", 1, 30.0), ("suppressed", 2, 30.0)]


def test_readings_of_other_sensors_and_none_at_all_change_nothing() -> None:
    evaluator = RuleEvaluator([rule(1)], align_s=ALIGN_S)
    assert evaluator.fold(batch([(7, 0, 99)])) == []
    assert evaluator.fold(ReadingBatch.empty()) == []
    assert tick(evaluator, [7], 5) == []
    assert RuleEvaluator([], align_s=ALIGN_S).fold(batch([(7, 0, 99)])) == []
    assert RuleEvaluator([], align_s=ALIGN_S).waiting().tolist() == []


def test_sensor_ids_are_those_of_all_inputs() -> None:
    rules = [
        rule(1, 9),
        rule(2, 8, Deviation(reference_id=7), high=1.0),
        rule(3, 6, gate=Gate(sensor_id=5)),
        rule(4, None, NoData(sensor_ids=(4, 3)), on_delay_s=1.0),
        rule(5, None, Expression(text="a > b", inputs=(("a", 2), ("b", 1)), is_condition=True)),
    ]
    assert RuleEvaluator(rules, align_s=ALIGN_S).sensor_ids.tolist() == list(range(1, 10))


def test_state_of_the_first_version_is_taken_over() -> None:
    old = pack(
        "threshold/1",
        {
            "rule_id": np.array([1, 2]),
            "sensor_id": np.array([1, 2], np.int32),
            "high": np.array([True, True]),
            "active": np.array([True, True]),
            "since": np.full(2, -(2**62)),
            "held": np.zeros(2),
            "peak": np.array([12.0, 13.0]),
            "peak_at": np.array([S, S]),
            "began": np.array([S, S]),
            "settled": np.array([S, S]),
        },
    )
    rules = [rule(1), rule(2, 2, suppressed_by=frozenset({3})), rule(3, 3)]
    evaluator = RuleEvaluator(rules, align_s=ALIGN_S)
    evaluator.restore({"rules": old, "order": b"of another part"})
    assert sorted(alarm.rule.id for alarm in evaluator.active()) == [1, 2]
    changes = evaluator.fold(batch([(1, 5, 9), (2, 5, 13), (3, 5, 11)]))
    assert told(changes) == [("raised", 3, 5.0), ("suppressed", 2, 5.0), ("cleared", 1, 5.0)]


PARENT = rule(1, 1)


@pytest.mark.parametrize("first", [(), (1,)], ids=["alone at first", "suppressed at first"])
def test_an_alarm_outlives_a_change_of_its_relations(first: tuple[int, ...]) -> None:
    """Who suppresses a rule moves it from one lane to the other; what stands goes along."""
    alone, child = rule(2, 2), rule(2, 2, suppressed_by=frozenset({1}))
    before, after = (child, alone) if first else (alone, child)
    evaluator = RuleEvaluator([PARENT, before], align_s=ALIGN_S)
    evaluator.fold(batch([(1, 0, 11), (2, 0, 11)]))
    changed = RuleEvaluator([PARENT, after], align_s=ALIGN_S)
    changed.restore(evaluator.snapshot())
    assert [alarm.rule.id for alarm in changed.active()] == [1, 2]
    changes = told(changed.fold(batch([(1, 5, 9), (2, 5, 9)])))
    cleared = [("cleared", 1, 5.0), ("cleared", 2, 5.0)]
    assert changes == ([*cleared] if first else [("suppressed", 2, 0.0), *cleared])


def test_a_child_is_told_when_the_rule_of_its_parent_is_gone() -> None:
    rules = [rule(1, 1), rule(2, 2, suppressed_by=frozenset({1, 3})), rule(3, 3)]
    evaluator = RuleEvaluator(rules, align_s=0.0)
    evaluator.fold(batch([(1, 5, 11), (2, 5, 11)]))
    without = RuleEvaluator(rules[1:], align_s=0.0)
    without.restore(evaluator.snapshot())
    assert told(without.fold(batch([]))) == [("unsuppressed", 2, 5.0)]
    assert without.fold(batch([(2, 6, 12)])) != []


EVERY_KIND: list[Signal] = [
    Value(),
    Deviation(setpoint=1.0),
    Deviation(reference_id=2),
    Rate(window_s=4.0, per_s=4.0),
    Window(statistic=Statistic.MEAN, window_s=4.0, min_readings=1),
    Window(statistic=Statistic.MAX, window_s=4.0, min_readings=1),
    Count(above=4.0, at_least=2, of=3),
    FlatLine(tolerance=0.5),
    OutOfRange(),
    NoData(sensor_ids=(1,)),
    NoData(sensor_ids=(1, 2)),
    Quality(),
    Usage(),
    Expression(text="a - b > 3.0", inputs=(("a", 1), ("b", 2)), is_condition=True),
    Expression(text="a * 2.0", inputs=(("a", 1),), is_condition=False),
]


def of_kind(id_: int, signal: Signal, **changes: Any) -> Rule:
    """On sensor 1, with what its kind needs."""
    sensor_id: int | None = 1
    if isinstance(signal, Expression) or (isinstance(signal, NoData) and len(signal.sensor_ids) > 1):
        sensor_id = None
    if isinstance(signal, FlatLine | NoData):
        changes |= {"on_delay_s": 2.0, "off_delay_s": 0.0}
    elif not isinstance(signal, Count | Quality) and not getattr(signal, "is_condition", False):
        changes = {"high": 4.0, "high_high": 7.0, **changes}
    return rule(id_, sensor_id, signal, **changes)


@pytest.mark.parametrize("signal", EVERY_KIND, ids=lambda signal: type(signal).__name__)
def test_the_state_of_every_kind_follows_its_rule_from_lane_to_lane(signal: Signal) -> None:
    """As if its relations had been the same all the time."""
    values = [0, 1, 5, 5, 9, 9, 9, 1, 0, 3, 12, 12, 5, 5, 5, 5, 1, 9]
    readings = [(9, second, 0.0) for second in range(len(values))]
    readings += [(1, second, float(value)) for second, value in enumerate(values) if second not in (9, 10, 11)]
    readings += [(2, second, 1.0) for second in (0, 2, 4, 6, 8, 13, 15)]
    parent = rule(1, 9, high=99.0)
    alone, related = of_kind(2, signal), of_kind(2, signal, suppressed_by=frozenset({1}))
    steady = told(RuleEvaluator([parent, related], align_s=0.0).fold(batch(readings)))
    assert steady or isinstance(signal, Quality)
    for cut in (5, 8, 11):
        changes: list[Told] = []
        parts: dict[str, bytes] = {}
        for rules, begin, end in (
            ([parent, alone], 0, cut),
            ([related, parent], cut, cut + 3),
            ([alone, parent], cut + 3, 99),
        ):
            evaluator = RuleEvaluator(rules, align_s=0.0)
            evaluator.restore(parts)
            changes += told(evaluator.fold(batch(each for each in readings if begin <= each[1] < end)))
            parts = evaluator.snapshot()
        assert changes == steady


@dataclass(frozen=True)
class Silent:
    """Time passes for a sensor."""

    sensor_id: int
    now_us: int


Event = tuple[int, int, float, int] | Silent
"""a reading: sensor, time in us, value, quality"""


@st.composite
def rule_sets(draw: st.DrawFn) -> list[Rule]:
    count = draw(st.integers(1, 6))
    rules = []
    for id_ in range(1, count + 1):
        signal = draw(st.sampled_from(EVERY_KIND))
        changes: dict[str, Any] = {
            "asset_id": draw(st.integers(1, 2)),
            "on_delay_s": draw(st.sampled_from([0.0, 0.5, 3.0])),
            "off_delay_s": draw(st.sampled_from([0.0, 1.0])),
            "deadband": draw(st.sampled_from([0.0, 1.0])),
            "suppressed_by": draw(st.frozensets(st.integers(1, count), max_size=2)),
            "first_out": draw(st.sampled_from([None, None, "trip"])),
            "gate": draw(
                st.sampled_from([None, None, Gate(sensor_id=3, low=4.0, settle_s=1.0), Gate(sensor_id=1, high=8.0)])
            ),
            "schedule": draw(st.sampled_from([None, None, DRAWN_HOURS])),
        }
        if isinstance(signal, NoData):
            changes["watched_since_us"] = draw(st.sampled_from([None, 2 * S]))
        drawn = of_kind(id_, signal, **changes)
        if drawn.sensor_id is not None and not isinstance(signal, Deviation):
            drawn = replace(drawn, sensor_id=draw(st.integers(1, 3)))
        rules.append(drawn)
    return rules


DRAWN_HOURS = Schedule(
    timezone="UTC",
    spans=tuple(Span(weekdays=frozenset(range(7)), begin_s=begin, end_s=begin + 5) for begin in range(3, 60, 9)),
)


@st.composite
def streams(draw: st.DrawFn) -> list[Event]:
    """Readings in order of arrival, each sensor's in order of time, others less than `ALIGN_S` behind."""
    randomness = draw(st.randoms(use_true_random=False))
    arrivals: list[tuple[float, int, Event]] = []
    for sensor_id in (1, 2, 3):
        quarters = sorted(randomness.sample(range(1, 121), randomness.randint(0, 30)))
        arrival = 0.0
        for quarter, following in pairwise([*quarters, 121]):
            arrival = max(arrival, quarter / 4 + randomness.choice([0.0, 0.0, 1.0, 3.9]))
            reading = (
                sensor_id,
                quarter * S // 4,
                float(randomness.choice([0, 3, 5, 5, 6, 9])),
                randomness.choice([GOOD, GOOD, GOOD, BAD]),
            )
            arrivals.append((arrival, len(arrivals), reading))
            if following > quarter + 8 and randomness.random() < 0.5:
                silent = Silent(sensor_id=sensor_id, now_us=(following - randomness.choice([0, 1, 4])) * S // 4)
                arrivals.append((arrival + 2, len(arrivals), silent))
                arrival += 2
    return [event for _, _, event in sorted(arrivals, key=lambda each: each[:2])]


def follow(
    rules: Sequence[Rule], events: Sequence[Event], cut: random.Random | None
) -> list[tuple[str, str, int, str]]:
    """Everything but peaks; one event at a time, or cut at random with a restart now and then."""
    evaluator = RuleEvaluator(rules, align_s=ALIGN_S)
    changes: list[AlarmChange] = []
    waiting: list[Event] = []

    def fold() -> None:
        columns = sorted(reading for reading in waiting if isinstance(reading, tuple))
        waiting.clear()
        if columns:
            sensor, time, value, quality_ = zip(*columns, strict=True)
            changes.extend(evaluator.fold(ReadingBatch.of(time, sensor, value, quality_)))

    restarts = set() if cut is None else {cut.randrange(len(events) + 1) for _ in range(2)}
    for position, event in enumerate(events):
        if isinstance(event, Silent):
            fold()
            changes += evaluator.tick(np.array([event.sensor_id], np.int32), np.array([event.now_us]))
        else:
            waiting.append(event)
        if cut is None or cut.random() < 0.3:
            fold()
        if position in restarts:
            fold()
            parts = evaluator.snapshot()
            evaluator = RuleEvaluator(rules, align_s=ALIGN_S)
            evaluator.restore(parts)
    fold()
    changes += evaluator.flush()
    return sorted(
        (str(change.kind), change.key, to_micros(change.at), change.by)
        for change in changes
        if change.kind is not ChangeKind.PEAK
    )


@settings(max_examples=30, deadline=None)
@given(rules=rule_sets(), events=streams(), cut=st.randoms(use_true_random=False))
def test_any_cut_with_restarts_gives_the_same_changes(
    rules: list[Rule], events: list[Event], cut: random.Random
) -> None:
    assert follow(rules, events, cut) == follow(rules, events, None)
