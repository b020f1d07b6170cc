"""The threshold evaluator: its semantics case by case, and equality with a reading-by-reading reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.definition import ThresholdRule
from rules.events import AlarmChange, ChangeKind, Side
from rules.threshold import ThresholdEvaluator
from telemetry.batch import ReadingBatch, to_datetime, to_micros
from telemetry.errors import ConfigurationError, StateError
from telemetry.quality import Quality

S = 1_000_000
GOOD, UNCERTAIN, BAD, STALE = (int(quality) for quality in Quality)

Point = tuple[int, float, int]
"""(time in us, value, quality)"""
Told = tuple[str, int, float]
"""(kind, at in us, value)"""


def rule(sensor_id: int = 1, rule_id: int = 1, **changes: Any) -> ThresholdRule:
    plain: dict[str, Any] = {"high": 10.0} if not {"high", "low"} & changes.keys() else {}
    return ThresholdRule(
        id=rule_id,
        name=f"rule{rule_id}",
        sensor_id=sensor_id,
        sensor_name=f"sensor{sensor_id}",
        asset_id=1,
        unit="mm/s",
        **{**plain, **changes},
    )


def batch_of(points: Sequence[Point], sensor_ids: Sequence[int] = (1,)) -> ReadingBatch:
    """The same readings for each of the sensors."""
    times, values, qualities = zip(*points, strict=True) if points else ((), (), ())
    count = len(sensor_ids)
    return ReadingBatch.of(
        times * count, np.repeat(np.array(sensor_ids), len(times)), values * count, qualities * count
    )


def every_s(*values: float) -> list[Point]:
    """Good readings, one a second from 0 s on."""
    return [(second * S, value, GOOD) for second, value in enumerate(values)]


def told(changes: Sequence[AlarmChange]) -> list[Told]:
    return [(str(change.kind), to_micros(change.at), change.value) for change in changes]


def in_seconds(changes: Sequence[AlarmChange]) -> list[tuple[str, float, float]]:
    return [(kind, at / S, value) for kind, at, value in told(changes)]


def fold(rules: ThresholdRule | Sequence[ThresholdRule], points: Sequence[Point]) -> list[AlarmChange]:
    evaluator = ThresholdEvaluator([rules] if isinstance(rules, ThresholdRule) else rules)
    return evaluator.fold(batch_of(points))


ON, OFF = "raised", "cleared"


@pytest.mark.parametrize(
    ("changes", "values", "expected"),
    [
        pytest.param({}, [10, 10], [], id="equal to the high limit is no violation"),
        pytest.param({}, [9, 10.1], [(ON, 1, 10.1)], id="above the high limit raises"),
        pytest.param({}, [11, 10], [(ON, 0, 11), (OFF, 1, 10)], id="without deadband back at the limit clears"),
        pytest.param({"low": 3.0}, [3, 3], [], id="equal to the low limit is no violation"),
        pytest.param({"low": 3.0}, [2.9, 3], [(ON, 0, 2.9), (OFF, 1, 3)], id="low limit, mirrored"),
        pytest.param(
            {"deadband": 2.0},
            [11, 8.1, 11, 8.1, 8],
            [(ON, 0, 11), (OFF, 4, 8)],
            id="flapping inside the deadband",
        ),
        pytest.param(
            {"low": 3.0, "deadband": 2.0},
            [2, 4.9, 5],
            [(ON, 0, 2), (OFF, 2, 5)],
            id="deadband of a low limit",
        ),
        pytest.param({"on_delay_s": 2.0}, [11, 12, 10, 11], [], id="on-delay cancelled at the limit"),
        pytest.param(
            {"on_delay_s": 2.0, "deadband": 5.0},
            [11, 9, 11, 9],
            [],
            id="the deadband plays no part while pending",
        ),
        pytest.param({"on_delay_s": 2.0}, [11, 12, 13], [(ON, 2, 13)], id="on-delay just reached, still violating"),
        pytest.param({"on_delay_s": 2.0}, [11, 12, 9], [], id="on-delay just reached, no longer violating"),
        pytest.param(
            {"on_delay_s": 1.5},
            [11, 12, 9],
            [(ON, 1.5, 12), (OFF, 2, 9)],
            id="raised by the next normal reading",
        ),
        pytest.param({"on_delay_s": 1.5}, [11, 12, 13], [(ON, 1.5, 12)], id="raised by the next violating reading"),
        pytest.param({"off_delay_s": 2.0}, [11, 9, 11, 9, 9], [(ON, 0, 11)], id="off-delay cancelled by a violation"),
        pytest.param(
            {"off_delay_s": 2.0, "deadband": 2.0},
            [11, 8, 9, 8, 8],
            [(ON, 0, 11)],
            id="off-delay cancelled in the deadband",
        ),
        pytest.param({"off_delay_s": 2.0}, [11, 9, 8, 7], [(ON, 0, 11), (OFF, 3, 7)], id="off-delay just reached"),
        pytest.param({"off_delay_s": 2.0}, [11, 9, 8, 11], [(ON, 0, 11)], id="off-delay just reached, violating again"),
        pytest.param(
            {"off_delay_s": 1.5},
            [11, 9, 8, 11],
            [(ON, 0, 11), (OFF, 2.5, 8), (ON, 3, 11)],
            id="cleared and raised again by one reading",
        ),
        pytest.param(
            {"high": 10.0, "low": 3.0},
            [11, 2, 5],
            [(ON, 0, 11), (OFF, 1, 2), (ON, 1, 2), (OFF, 2, 5)],
            id="from one side to the other",
        ),
    ],
)
def test_changes_of_one_sensor(
    changes: dict[str, Any], values: list[float], expected: list[tuple[str, float, float]]
) -> None:
    found = [each for each in in_seconds(fold(rule(**changes), every_s(*values))) if each[0] != "peak"]
    assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("quality", [BAD, STALE])
def test_bad_and_stale_readings_neither_raise_nor_clear_nor_interrupt(quality: int) -> None:
    assert fold(rule(), [(0, 99.0, quality)]) == []
    assert in_seconds(fold(rule(), [(0, 11.0, GOOD), (S, 0.0, quality)])) == [(ON, 0, 11.0)]
    through = [(0, 11.0, GOOD), (S, 0.0, quality), (2 * S, 12.0, GOOD)]
    assert in_seconds(fold(rule(on_delay_s=2.0), through)) == [(ON, 2, 12.0)]


def test_uncertain_readings_count() -> None:
    assert in_seconds(fold(rule(), [(0, 11.0, UNCERTAIN), (S, 9.0, UNCERTAIN)])) == [
        (ON, 0, 11.0),
        (OFF, 1, 9.0),
    ]


def test_a_value_holds_through_a_gap() -> None:
    day = 86_400 * S
    changes = fold(rule(on_delay_s=60.0), [(0, 11.0, GOOD), (day, 9.0, GOOD)])
    assert told(changes) == [(ON, 60 * S, 11.0), (OFF, day, 9.0)]


def test_two_readings_in_one_millisecond_are_two_readings() -> None:
    changes = fold(rule(), [(1000, 11.0, GOOD), (1400, 9.0, GOOD), (1800, 12.0, GOOD)])
    assert told(changes) == [(ON, 1000, 11.0), (OFF, 1400, 9.0), (ON, 1800, 12.0)]
    assert len({change.key for change in changes}) == 2


def test_two_readings_at_the_same_instant_do_no_harm() -> None:
    changes = fold(rule(), [(1000, 11.0, GOOD), (1000, 9.0, GOOD)])
    assert told(changes) == [(ON, 1000, 11.0), (OFF, 1000, 9.0)]


def test_a_change_carries_the_alarm() -> None:
    evaluator = ThresholdEvaluator([rule(low=3.0, high=10.0, on_delay_s=1.0)])
    (raised,) = evaluator.fold(batch_of([(5 * S, 2.0, GOOD), (6 * S, 2.5, GOOD)]))
    assert raised.kind is ChangeKind.RAISED
    assert raised.side is Side.LOW
    assert raised.limit == 3.0
    assert raised.key == f"rule1/sensor1/low/{6 * S}"
    assert raised.at == raised.began_at == to_datetime(6 * S)
    assert (raised.value, raised.peak_value, raised.peak_at) == (2.5, 2.0, to_datetime(5 * S))
    (active,) = evaluator.active()
    assert (active.key, active.rule, active.side) == (raised.key, raised.rule, Side.LOW)
    assert (active.began_at, active.peak_value, active.peak_at) == (raised.at, 2.0, to_datetime(5 * S))
    (cleared,) = evaluator.fold(batch_of([(9 * S, 5.0, GOOD)]))
    assert (cleared.kind, cleared.key, cleared.peak_value) == (ChangeKind.CLEARED, raised.key, 2.0)
    assert cleared.began_at == to_datetime(6 * S)
    assert evaluator.active() == []


def test_a_peak_is_told_once_a_fold_and_only_when_it_moved() -> None:
    evaluator = ThresholdEvaluator([rule()])
    first = evaluator.fold(batch_of(every_s(11, 13, 12)))
    assert in_seconds(first) == [(ON, 0, 11), ("peak", 1, 13)]
    assert evaluator.fold(batch_of([(3 * S, 13.0, GOOD)])) == []
    (peak,) = evaluator.fold(batch_of([(4 * S, 14.0, GOOD), (5 * S, 15.0, GOOD)]))
    assert (peak.kind, peak.value, peak.peak_value, peak.key) == (ChangeKind.PEAK, 15.0, 15.0, first[0].key)
    (cleared,) = evaluator.fold(batch_of([(6 * S, 16.0, GOOD), (7 * S, 1.0, GOOD)]))
    assert (cleared.kind, cleared.peak_value, cleared.peak_at) == (
        ChangeKind.CLEARED,
        16.0,
        to_datetime(6 * S),
    )


def test_a_tick_raises_what_was_due_before_it() -> None:
    evaluator = ThresholdEvaluator([rule(on_delay_s=2.0)])
    evaluator.fold(batch_of([(0, 11.0, GOOD)]))
    assert evaluator.pending_sensors().tolist() == [1]
    assert evaluator.tick(np.array([2 * S])) == []
    assert told(evaluator.tick(np.array([2 * S + 1]))) == [(ON, 2 * S, 11.0)]
    assert evaluator.pending_sensors().tolist() == []
    assert evaluator.tick(np.array([90 * S])) == []


def test_a_tick_clears_what_was_due_before_it() -> None:
    evaluator = ThresholdEvaluator([rule(off_delay_s=2.0)])
    evaluator.fold(batch_of(every_s(11, 9)))
    assert evaluator.tick(np.array([3 * S])) == []
    assert told(evaluator.tick(np.array([4 * S]))) == [(OFF, 3 * S, 9.0)]


def test_a_tick_knows_the_clock_of_each_sensor() -> None:
    evaluator = ThresholdEvaluator([rule(sensor_id=each, on_delay_s=2.0) for each in (4, 2)])
    assert evaluator.sensor_ids.tolist() == [2, 4]
    evaluator.fold(batch_of([(0, 11.0, GOOD)], [2, 4]))
    (raised,) = evaluator.tick(np.array([1 * S, 3 * S]))
    assert raised.rule.sensor_id == 4
    assert evaluator.pending_sensors().tolist() == [2]
    with pytest.raises(ValueError, match="1 instants for 2 sensors"):
        evaluator.tick(np.array([0]))


def test_no_alarm_ends_before_it_began_when_a_tick_ran_ahead() -> None:
    evaluator = ThresholdEvaluator([rule(on_delay_s=10.0)])
    evaluator.fold(batch_of([(0, 11.0, GOOD)]))
    evaluator.tick(np.array([20 * S]))
    assert told(evaluator.fold(batch_of([(5 * S, 1.0, GOOD)]))) == [(OFF, 10 * S, 1.0)]


def test_changes_come_in_order_of_event_time_and_key() -> None:
    evaluator = ThresholdEvaluator([rule(sensor_id=each, rule_id=each) for each in (1, 2, 3)])
    changes = evaluator.fold(ReadingBatch.of([9, 5, 7, 5], [1, 2, 2, 3], [11.0, 11.0, 9.0, 11.0]))
    assert [(change.at, change.key) for change in changes] == sorted((change.at, change.key) for change in changes)
    assert len(changes) == 4


def test_several_rules_watch_one_sensor_and_other_sensors_are_passed_over() -> None:
    evaluator = ThresholdEvaluator([rule(2, 1), rule(2, 2, high=20.0)])
    batch = ReadingBatch.of([0, 0, 0], [1, 2, 3], [99.0, 15.0, 99.0])
    assert [change.rule.id for change in evaluator.fold(batch)] == [1]


def test_no_rules_and_no_readings_are_fine() -> None:
    nothing = ThresholdEvaluator([])
    assert nothing.fold(batch_of(every_s(1))) == []
    assert nothing.tick(np.empty(0, np.int64)) == []
    nothing.restore(ThresholdEvaluator([rule()]).snapshot())
    assert ThresholdEvaluator([rule()]).fold(ReadingBatch.empty()) == []


def test_two_rules_of_one_sensor_need_two_names() -> None:
    with pytest.raises(ConfigurationError, match="rename"):
        ThresholdEvaluator([rule(), rule()])


def test_restore_keeps_what_still_fits_when_rules_change() -> None:
    evaluator = ThresholdEvaluator([rule(1, 1), rule(2, 2), rule(3, 3, on_delay_s=5.0)])
    evaluator.fold(batch_of([(0, 11.0, GOOD)], [1, 2, 3]))
    body = evaluator.snapshot()

    changed = ThresholdEvaluator([rule(2, 2), rule(3, 3, on_delay_s=5.0, high=50.0), rule(9, 9)])
    changed.fold(batch_of([(0, 99.0, GOOD)], [9]))
    changed.restore(body)
    assert [alarm.rule.id for alarm in changed.active()] == [2]
    assert changed.pending_sensors().size == 0  # 11 is no violation of the new limit

    moved = ThresholdEvaluator([rule(7, 1)])
    moved.restore(body)
    assert moved.active() == []  # the same rule on another sensor is another alarm


def test_a_foreign_snapshot_is_refused() -> None:
    with pytest.raises(StateError):
        ThresholdEvaluator([rule()]).restore(b"PK nonsense")


@dataclass
class OneSide:
    """The reference: one side of a rule, one reading at a time, as one would tell it to a person."""

    rule: ThresholdRule
    high: bool
    active: bool = False
    since: int | None = None
    began: int = 0
    held: float = 0.0
    peak: tuple[float, int] = (0.0, 0)

    def violates(self, value: float) -> bool:
        if self.high:
            return self.rule.high is not None and value > self.rule.high
        return self.rule.low is not None and value < self.rule.low

    def is_back(self, value: float) -> bool:
        if self.high:
            return self.rule.high is not None and value <= self.rule.high - self.rule.deadband
        return self.rule.low is not None and value >= self.rule.low + self.rule.deadband

    def due(self) -> int | None:
        delay_s = self.rule.off_delay_s if self.active else self.rule.on_delay_s
        return None if self.since is None else self.since + round(delay_s * 1e6)

    def change(self, at: int, value: float) -> tuple[Any, ...]:
        self.active, self.since = not self.active, None
        if self.active:
            self.began = at
        return (at, self.rule.id, self.high, self.active, self.began, value, *self.peak)

    def until(self, now: int) -> list[tuple[Any, ...]]:
        due = self.due()
        return [self.change(due, self.held)] if due is not None and due < now else []

    def read(self, time: int, value: float) -> list[tuple[Any, ...]]:
        happened = self.until(time)
        if self.violates(value) and ((not self.active and self.since is None) or self.worse(value)):
            self.peak = (value, time)
        if self.is_back(value) if self.active else self.violates(value):
            self.since = time if self.since is None else self.since
            if self.due() == time:
                happened.append(self.change(time, value))
        else:
            self.since = None
        self.held = value
        return happened

    def worse(self, value: float) -> bool:
        return value > self.peak[0] if self.high else value < self.peak[0]


def plain(change: AlarmChange) -> tuple[Any, ...]:
    return (
        to_micros(change.at),
        change.rule.id,
        change.side is Side.HIGH,
        change.kind is ChangeKind.RAISED,
        to_micros(change.began_at),
        change.value,
        change.peak_value,
        to_micros(change.peak_at),
    )


def final_peaks(changes: Sequence[AlarmChange]) -> dict[str, tuple[float, int]]:
    return {change.key: (change.peak_value, to_micros(change.peak_at)) for change in changes}


delays = st.sampled_from([0.0, 0.0, 1e-6, 2e-6, 5e-6])
some_rules = st.lists(
    st.tuples(
        st.sampled_from([(6.0, None), (None, 2.0), (6.0, 2.0)]),
        st.sampled_from([0.0, 1.0, 3.0]),
        delays,
        delays,
    ),
    min_size=1,
    max_size=3,
)
streams = st.lists(
    st.tuples(st.integers(1, 4), st.integers(0, 9), st.sampled_from([GOOD, GOOD, GOOD, UNCERTAIN, BAD, STALE])),
    max_size=50,
)


@pytest.mark.parametrize("sensors", [2, 40], ids=["few sensors, one by one", "many sensors, in rounds"])
@given(
    kinds=some_rules,
    stream=streams,
    cuts=st.sets(st.integers(0, 50), max_size=8),
    lag=st.integers(0, 20),
    data=st.data(),
)
@settings(max_examples=120, deadline=None)
def test_any_cut_with_restarts_equals_the_reference(
    *,
    sensors: int,
    kinds: list[tuple[tuple[float | None, float | None], float, float, float]],
    stream: list[tuple[int, int, int]],
    cuts: set[int],
    lag: int,
    data: st.DataObject,
) -> None:
    ids = list(range(1, sensors + 1))
    rules = [
        rule(
            sensor,
            sensor * 10 + number,
            high=high,
            low=low,
            deadband=deadband,
            on_delay_s=on,
            off_delay_s=off,
        )
        for sensor in ids
        for number, ((high, low), deadband, on, off) in enumerate(kinds)
    ]
    times = np.cumsum([gap for gap, _, _ in stream]).tolist()
    points = [(time, float(value), quality) for time, (_, value, quality) in zip(times, stream, strict=True)]
    sides = [OneSide(each, high) for each in rules for high in (True, False)]
    expected = [
        happened
        for side in sides
        for time, value, quality in points
        if quality <= UNCERTAIN
        for happened in side.read(time, value)
    ]
    end = points[-1][0] + lag if points else 0
    expected += [happened for side in sides for happened in side.until(end)]

    uncut = ThresholdEvaluator(rules)
    whole = uncut.fold(batch_of(points, ids))
    whole += uncut.tick(np.full(sensors, end))

    evaluator = ThresholdEvaluator(rules)
    found: list[AlarmChange] = []
    bounds = sorted({0, len(points), *(cut for cut in cuts if cut < len(points))})
    for start, stop in pairwise(bounds):
        if data.draw(st.booleans(), label="restart"):
            body = evaluator.snapshot()
            evaluator.fold(batch_of(points[start:stop], ids))  # a transaction that failed
            if data.draw(st.booleans(), label="new process"):
                evaluator = ThresholdEvaluator(rules)
            evaluator.restore(body)
            assert evaluator.snapshot() == body
        found += evaluator.fold(batch_of(points[start:stop], ids))
    found += evaluator.tick(np.full(sensors, end))

    for changes in (whole, found):
        assert sorted(plain(change) for change in changes if change.kind is not ChangeKind.PEAK) == sorted(expected)
    assert final_peaks(found) == final_peaks(whole)
    assert evaluator.snapshot() == uncut.snapshot()
    standing = {alarm.key: (alarm.peak_value, to_micros(alarm.peak_at)) for alarm in evaluator.active()}
    assert standing == {key: peak for key, peak in final_peaks(whole).items() if key in standing}
    assert len(standing) == sum(side.active for side in sides)


def test_segments_of_unequal_length_are_folded_alike() -> None:
    random = np.random.default_rng(3)
    ids = list(range(1, 120))
    rules = [rule(each, each, high=7.0, low=1.0, deadband=2.0, on_delay_s=2e-6) for each in ids]
    whole, apart = ThresholdEvaluator(rules), ThresholdEvaluator(rules)
    for first in range(0, 3000, 1000):
        parts = [
            batch_of(
                [
                    (first + each, value, GOOD)
                    for each, value in enumerate(random.integers(0, 9, random.integers(0, 60)))
                ],
                [sensor],
            )
            for sensor in ids
        ]
        together = whole.fold(ReadingBatch.concat(parts))
        one_by_one = [change for part in parts for change in apart.fold(part)]
        assert together
        assert together == sorted(one_by_one, key=lambda change: (change.at, change.key))
