"""The threshold evaluator: its semantics case by case, and equality with a sample-by-sample reference."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.definition import Limit, Rule
from rules.events import AlarmChange, ChangeKind, Side
from rules.samples import Samples, signal_of
from rules.signal import Count, FlatLine, NoData, Quality
from rules.threshold import ThresholdEvaluator
from telemetry.batch import to_datetime, to_micros
from telemetry.errors import ConfigurationError, StateError

S = 1_000_000
NAN = math.nan

Point = tuple[int, float]
"""(time in us, value)"""
Told = tuple[str, int, float]
"""(kind, at in us, value)"""


def rule(sensor_id: int = 1, rule_id: int = 1, **changes: Any) -> Rule:
    plain: dict[str, Any] = {} if {"high", "low", "signal"} & changes.keys() else {"high": 10.0}
    return Rule(
        id=rule_id,
        name=f"rule{rule_id}",
        sensor_id=sensor_id,
        sensor_name=f"sensor{sensor_id}",
        asset_id=1,
        unit="mm/s",
        **{**plain, **changes},
    )


def samples(signal: Sequence[int], time: Sequence[int], value: Sequence[float]) -> Samples:
    return Samples(signal=np.array(signal, np.int32), time=np.array(time, np.int64), value=np.array(value, np.float64))


def samples_of(points: Sequence[Point], signals: Sequence[int] = (1,)) -> Samples:
    """The same samples for each of the signals, which are ascending."""
    times, values = zip(*points, strict=True) if points else ((), ())
    return Samples(
        signal=np.repeat(np.array(signals, np.int32), len(times)),
        time=np.array(times * len(signals), np.int64),
        value=np.array(values * len(signals), np.float64),
    )


def every_s(*values: float) -> list[Point]:
    """Samples, one a second from 0 s on."""
    return [(second * S, value) for second, value in enumerate(values)]


def told(changes: Sequence[AlarmChange]) -> list[Told]:
    return [(str(change.kind), to_micros(change.at), change.value) for change in changes]


def in_seconds(changes: Sequence[AlarmChange]) -> list[tuple[str, float, float]]:
    return [(kind, at / S, value) for kind, at, value in told(changes)]


def fold(rules: Rule | Sequence[Rule], points: Sequence[Point]) -> list[AlarmChange]:
    evaluator = ThresholdEvaluator([rules] if isinstance(rules, Rule) else rules)
    return evaluator.fold(samples_of(points))


def tick(evaluator: ThresholdEvaluator, now: dict[int, int]) -> list[AlarmChange]:
    return evaluator.tick(np.array(list(now), np.int32), np.array(list(now.values()), np.int64))


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


def test_a_value_holds_through_a_gap() -> None:
    day = 86_400 * S
    changes = fold(rule(on_delay_s=60.0), [(0, 11.0), (day, 9.0)])
    assert told(changes) == [(ON, 60 * S, 11.0), (OFF, day, 9.0)]


def test_two_readings_in_one_millisecond_are_two_readings() -> None:
    changes = fold(rule(), [(1000, 11.0), (1400, 9.0), (1800, 12.0)])
    assert told(changes) == [(ON, 1000, 11.0), (OFF, 1400, 9.0), (ON, 1800, 12.0)]
    assert len({change.key for change in changes}) == 2


def test_two_readings_at_the_same_instant_do_no_harm() -> None:
    changes = fold(rule(), [(1000, 11.0), (1000, 9.0)])
    assert told(changes) == [(ON, 1000, 11.0), (OFF, 1000, 9.0)]


def test_a_change_carries_the_alarm() -> None:
    evaluator = ThresholdEvaluator([rule(low=3.0, high=10.0, on_delay_s=1.0)])
    (raised,) = evaluator.fold(samples_of([(5 * S, 2.0), (6 * S, 2.5)]))
    assert raised.kind is ChangeKind.RAISED
    assert raised.side is Side.LOW
    assert raised.limit == 3.0
    assert raised.key == f"rule1/sensor1/low/{6 * S}"
    assert raised.at == raised.began_at == to_datetime(6 * S)
    assert (raised.value, raised.peak_value, raised.peak_at) == (2.5, 2.0, to_datetime(5 * S))
    (active,) = evaluator.active()
    assert (active.key, active.rule, active.side) == (raised.key, raised.rule, Side.LOW)
    assert (active.began_at, active.peak_value, active.peak_at) == (raised.at, 2.0, to_datetime(5 * S))
    (cleared,) = evaluator.fold(samples_of([(9 * S, 5.0)]))
    assert (cleared.kind, cleared.key, cleared.peak_value) == (ChangeKind.CLEARED, raised.key, 2.0)
    assert cleared.began_at == to_datetime(6 * S)
    assert evaluator.active() == []


def test_a_peak_is_told_once_a_fold_and_only_when_it_moved() -> None:
    evaluator = ThresholdEvaluator([rule()])
    first = evaluator.fold(samples_of(every_s(11, 13, 12)))
    assert in_seconds(first) == [(ON, 0, 11), ("peak", 1, 13)]
    assert evaluator.fold(samples_of([(3 * S, 13.0)])) == []
    (peak,) = evaluator.fold(samples_of([(4 * S, 14.0), (5 * S, 15.0)]))
    assert (peak.kind, peak.value, peak.peak_value, peak.key) == (ChangeKind.PEAK, 15.0, 15.0, first[0].key)
    (cleared,) = evaluator.fold(samples_of([(6 * S, 16.0), (7 * S, 1.0)]))
    assert (cleared.kind, cleared.peak_value, cleared.peak_at) == (
        ChangeKind.CLEARED,
        16.0,
        to_datetime(6 * S),
    )


def test_a_tick_raises_what_was_due_before_it() -> None:
    evaluator = ThresholdEvaluator([rule(on_delay_s=2.0)])
    evaluator.fold(samples_of([(0, 11.0)]))
    assert evaluator.pending().tolist() == [1]
    assert tick(evaluator, {1: 2 * S}) == []
    assert told(tick(evaluator, {1: 2 * S + 1})) == [(ON, 2 * S, 11.0)]
    assert evaluator.pending().tolist() == []
    assert tick(evaluator, {1: 90 * S}) == []


def test_a_tick_clears_what_was_due_before_it() -> None:
    evaluator = ThresholdEvaluator([rule(off_delay_s=2.0)])
    evaluator.fold(samples_of(every_s(11, 9)))
    assert tick(evaluator, {1: 3 * S}) == []
    assert told(tick(evaluator, {1: 4 * S})) == [(OFF, 3 * S, 9.0)]


def test_a_tick_is_for_the_signals_it_names() -> None:
    evaluator = ThresholdEvaluator([rule(sensor_id=each, rule_id=each, on_delay_s=2.0) for each in (4, 2)])
    assert evaluator.signals.tolist() == [2, 4]
    evaluator.fold(samples_of([(0, 11.0)], [2, 4]))
    (raised,) = tick(evaluator, {9: 9 * S, 4: 3 * S, 2: 1 * S, -7: 9 * S})
    assert raised.rule.sensor_id == 4
    assert evaluator.pending().tolist() == [2]
    with pytest.raises(ValueError, match="1 instants for 2 signals"):
        evaluator.tick(np.array([2, 4], np.int32), np.array([0]))


def test_no_alarm_ends_before_it_began_when_a_tick_ran_ahead() -> None:
    evaluator = ThresholdEvaluator([rule(on_delay_s=10.0)])
    evaluator.fold(samples_of([(0, 11.0)]))
    tick(evaluator, {1: 20 * S})
    assert told(evaluator.fold(samples_of([(5 * S, 1.0), (6 * S, 2.0), (15 * S, 3.0)]))) == [(OFF, 10 * S, 1.0)]


def test_no_alarm_grows_before_it_began_when_a_tick_ran_ahead() -> None:
    evaluator = ThresholdEvaluator([rule(on_delay_s=10.0)])
    evaluator.fold(samples_of([(0, 11.0)]))
    tick(evaluator, {1: 20 * S})
    (peak,) = evaluator.fold(samples_of([(5 * S, 12.0)]))
    assert (to_micros(peak.at), to_micros(peak.peak_at), peak.value) == (10 * S, 5 * S, 12.0)


def test_changes_come_in_order_of_event_time_and_key() -> None:
    evaluator = ThresholdEvaluator([rule(sensor_id=each, rule_id=each) for each in (1, 2, 3)])
    changes = evaluator.fold(samples([1, 2, 2, 3], [9, 5, 7, 5], [11.0, 11.0, 9.0, 11.0]))
    assert [(change.at, change.key) for change in changes] == sorted((change.at, change.key) for change in changes)
    assert len(changes) == 4


def test_several_rules_watch_one_sensor_and_other_sensors_are_passed_over() -> None:
    evaluator = ThresholdEvaluator([rule(2, 1), rule(2, 2, high=20.0)])
    found = evaluator.fold(samples([-2, 1, 2, 3], [0, 0, 0, 0], [99.0, 99.0, 15.0, 99.0]))
    assert [change.rule.id for change in found] == [1]


def test_no_rules_and_no_readings_are_fine() -> None:
    nothing = ThresholdEvaluator([])
    assert nothing.fold(samples_of(every_s(1))) == []
    assert tick(nothing, {}) == tick(nothing, {1: S}) == []
    assert nothing.active() == []
    assert nothing.pending().tolist() == []
    nothing.restore(ThresholdEvaluator([rule()]).snapshot())
    assert ThresholdEvaluator([rule()]).fold(Samples.empty()) == []


def test_two_rules_of_one_sensor_need_two_names() -> None:
    with pytest.raises(ConfigurationError, match="rename"):
        ThresholdEvaluator([rule(), rule()])


def test_restore_keeps_what_still_fits_when_rules_change() -> None:
    evaluator = ThresholdEvaluator([rule(1, 1), rule(2, 2), rule(3, 3, on_delay_s=5.0)])
    evaluator.fold(samples_of([(0, 11.0)], [1, 2, 3]))
    body = evaluator.snapshot()

    changed = ThresholdEvaluator([rule(2, 2), rule(3, 3, on_delay_s=5.0, high=50.0), rule(9, 9)])
    changed.fold(samples_of([(0, 99.0)], [9]))
    changed.restore(body)
    assert [alarm.rule.id for alarm in changed.active()] == [2]
    assert changed.pending().size == 0  # 11 is no violation of the new limit


def test_a_foreign_snapshot_is_refused() -> None:
    with pytest.raises(StateError):
        ThresholdEvaluator([rule()]).restore(b"PK nonsense")


@dataclass
class OneSide:
    """The reference: one side of a rule, one sample at a time, as one would tell it to a person."""

    rule: Rule
    limit: Limit
    active: bool = False
    since: int | None = None
    began: int = 0
    settled: int = -(2**62)
    held: float = 0.0
    peak: tuple[float, int] = (0.0, 0)

    def __post_init__(self) -> None:
        if isinstance(self.rule.signal, NoData):
            self.since, self.held = self.rule.watched_since_us, 1.0
            self.peak = (1.0, self.rule.watched_since_us or 0)

    def violates(self, value: float) -> bool:
        match self.limit.side:
            case Side.CONDITION:
                return value >= self.limit.value
            case Side.HIGH | Side.HIGH_HIGH:
                return value > self.limit.value
            case _:
                return value < self.limit.value

    def is_back(self, value: float) -> bool:
        if math.isnan(value):
            return True
        match self.limit.side:
            case Side.CONDITION:
                return value < self.limit.value
            case Side.HIGH | Side.HIGH_HIGH:
                return value <= self.limit.value - self.rule.deadband
            case _:
                return value >= self.limit.value + self.rule.deadband

    def due(self) -> int | None:
        delay_s = self.rule.off_delay_s if self.active else self.rule.on_delay_s
        return None if self.since is None else self.since + round(delay_s * 1e6)

    def change(self, at: int, value: float) -> tuple[Any, ...]:
        self.active, self.since, self.settled = not self.active, None, at
        if self.active:
            self.began = at
        kind = ChangeKind.RAISED if self.active else ChangeKind.CLEARED
        return (at, self.rule.id, self.limit.side, kind, self.began, str(value), *self.peak)

    def until(self, now: int) -> list[tuple[Any, ...]]:
        due = self.due()
        if due is None or due >= now or isinstance(self.rule.signal, FlatLine):
            return []
        return [self.change(due, self.held)]

    def see(self, time: int, value: float) -> list[tuple[Any, ...]]:
        happened = self.until(time)
        if self.violates(value) and ((not self.active and self.since is None) or self.worse(value)):
            self.peak = (value, time)
        now = max(time, self.settled)
        if self.is_back(value) if self.active else self.violates(value):
            self.since = now if self.since is None else self.since
            if (due := self.due()) is not None and due <= now:
                happened.append(self.change(now, value))
        else:
            self.since = None
        self.held = value
        return happened

    def worse(self, value: float) -> bool:
        return value < self.peak[0] if self.limit.side.is_low else value > self.peak[0]


def plain(change: AlarmChange) -> tuple[Any, ...]:
    return (
        to_micros(change.at),
        change.rule.id,
        change.side,
        change.kind,
        to_micros(change.began_at),
        str(change.value),
        change.peak_value,
        to_micros(change.peak_at),
    )


def transitions(changes: Sequence[AlarmChange]) -> list[tuple[Any, ...]]:
    return sorted(plain(change) for change in changes if change.kind is not ChangeKind.PEAK)


def final_peaks(changes: Sequence[AlarmChange]) -> dict[str, tuple[float, int]]:
    """Of rules with limits; those of conditions are not told on."""
    return {
        change.key: (change.peak_value, to_micros(change.peak_at))
        for change in changes
        if change.side is not Side.CONDITION
    }


KINDS: list[dict[str, Any]] = [
    {"high": 6.0},
    {"low": 2.0},
    {"high": 6.0, "low": 2.0},
    {"high_high": 7.0, "high": 5.0},
    {"high_high": 8.0, "high": 6.0, "low": 2.0, "low_low": 1.0},
    {"signal": Count(above=0.0, at_least=4, of=9)},
    {"signal": Quality()},
]
delays = st.sampled_from([0.0, 0.0, 1e-6, 2e-6, 5e-6])
limit_rules = st.builds(
    lambda kind, deadband, on, off: {**kind, "deadband": deadband, "on_delay_s": on, "off_delay_s": off},
    st.sampled_from(KINDS),
    st.sampled_from([0.0, 1.0, 3.0]),
    delays,
    delays,
)
delayed_rules = st.builds(
    lambda signal, on, since: {"signal": signal, "on_delay_s": on, "watched_since_us": since},
    st.sampled_from([FlatLine(), NoData(sensor_ids=(1,))]),
    st.sampled_from([1e-6, 3e-6, 5e-6]),
    st.sampled_from([None, 0, 4]),
)
streams = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from([*range(10), NAN]), st.sampled_from([None, None, None, 0, 1, 3, 9])),
    max_size=40,
)
"""(us since the last sample, value, whether a tick comes before it: so many us after the last sample)"""


@pytest.mark.parametrize(
    ("signals", "times"),
    [pytest.param(1, 1, id="one"), pytest.param(30, 1, id="many"), pytest.param(2, 700, id="long segments")],
)
@given(
    kinds=st.lists(st.one_of(limit_rules, delayed_rules), min_size=1, max_size=3),
    stream=streams,
    cuts=st.sets(st.integers(0, 39), max_size=8),
    lag=st.integers(0, 20),
    data=st.data(),
)
@settings(max_examples=100, deadline=None)
def test_any_cut_with_restarts_equals_the_reference(
    *,
    signals: int,
    times: int,
    kinds: list[dict[str, Any]],
    stream: list[tuple[int, float, int | None]],
    cuts: set[int],
    lag: int,
    data: st.DataObject,
) -> None:
    """Every sample comes so many times, a microsecond apart if it is more than once."""
    if times > 1:
        stream = stream[:5]
    ids = list(range(1, signals + 1))
    rules = [rule(sensor, sensor * 10 + number, **changes) for sensor in ids for number, changes in enumerate(kinds)]
    numbers = sorted({signal_of(each) for each in rules})
    pieces: list[list[Point]] = [[]]
    ticks: list[int] = []
    now = 0
    for gap, value, ahead in stream:
        if ahead is not None:
            pieces.append([])
            ticks.append(now + ahead)
        now += gap
        pieces[-1] += [(now + each, float(value)) for each in range(times)]
        now += times - 1
    ticks.append(now + lag)

    sides = [OneSide(each, limit) for each in rules for limit in each.limits]
    uncut, cut = ThresholdEvaluator(rules), ThresholdEvaluator(rules)
    expected: list[tuple[Any, ...]] = []
    whole: list[AlarmChange] = []
    found: list[AlarmChange] = []
    for points, moment in zip(pieces, ticks, strict=True):
        whole += uncut.fold(samples_of(points, numbers))
        for side in sides:
            for time, value in points:
                expected += side.see(time, value)
            expected += side.until(moment)
        bounds = sorted({0, len(points), *(at * times for at in cuts if at * times < len(points))})
        for start, stop in pairwise(bounds):
            if data.draw(st.booleans(), label="restart"):
                body = cut.snapshot()
                cut.fold(samples_of(points[start:stop], numbers))  # a transaction that failed
                if data.draw(st.booleans(), label="new process"):
                    cut = ThresholdEvaluator(rules)
                cut.restore(body)
                assert cut.snapshot() == body
            found += cut.fold(samples_of(points[start:stop], numbers))
        whole += tick(uncut, dict.fromkeys(numbers, moment))
        found += tick(cut, dict.fromkeys(numbers, moment))

    assert transitions(whole) == transitions(found) == sorted(expected)
    assert final_peaks(found) == final_peaks(whole)
    assert cut.snapshot() == uncut.snapshot()
    standing = {alarm.key: (alarm.peak_value, to_micros(alarm.peak_at)) for alarm in cut.active()}
    assert len(standing) == sum(side.active for side in sides)
    assert sorted(standing.values()) == sorted(side.peak for side in sides if side.active)
    assert {key: peak for key, peak in standing.items() if "condition" not in key}.items() <= final_peaks(whole).items()


def test_segments_of_unequal_length_are_folded_alike() -> None:
    random = np.random.default_rng(3)
    ids = list(range(1, 120))
    rules = [rule(each, each, high=7.0, low=1.0, deadband=2.0, on_delay_s=2e-6) for each in ids]
    whole, apart = ThresholdEvaluator(rules), ThresholdEvaluator(rules)
    for first in range(0, 3000, 1000):
        parts = [
            samples_of(
                [(first + each, value) for each, value in enumerate(random.integers(0, 9, random.integers(0, 60)))],
                [sensor],
            )
            for sensor in ids
        ]
        together = whole.fold(Samples.merged(parts))
        one_by_one = [change for part in parts for change in apart.fold(part)]
        assert together
        assert together == sorted(one_by_one, key=lambda change: (change.at, change.key))
