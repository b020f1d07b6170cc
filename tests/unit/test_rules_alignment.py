"""Readings of several sensors in one order of event time: groups, frontiers, late and silent members."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.alignment import GroupOrder, Released, groups_of, inputs_of
from rules.definition import Gate, Rule
from rules.signal import Deviation, Expression, NoData, Signal, Value
from telemetry.batch import ReadingBatch
from telemetry.errors import ConfigurationError, StateError

Reading = tuple[int, int]
"""sensor, time in us; the value is the time"""


def batch(readings: Iterable[Reading]) -> ReadingBatch:
    columns = sorted(readings)
    return ReadingBatch.of([time for _, time in columns], [sensor for sensor, _ in columns], [t for _, t in columns])


def ready(released: Released) -> list[Reading]:
    return list(zip(released.ready.sensor_id.tolist(), released.ready.time.tolist(), strict=True))


def advance(order: GroupOrder, sensor_id: int, now_us: int) -> Released:
    return order.advance(np.array([sensor_id], np.int32), np.array([now_us], np.int64))


def order_of(*groups: set[int], align_us: int = 10, **options: int) -> GroupOrder:
    return GroupOrder(groups, align_us / 1e6, **options)


def test_readings_wait_until_all_members_have_come_as_far() -> None:
    order = order_of({1, 2})
    assert ready(order.release(batch([(1, 100), (1, 103)]))) == []
    assert ready(order.release(batch([(2, 101)]))) == [(1, 100), (2, 101)]
    assert order.frontier.tolist() == [101]
    assert order.holding().tolist() == [True]
    assert ready(order.release(batch([(2, 103)]))) == [(1, 103), (2, 103)]
    assert order.holding().tolist() == [False]


def test_a_group_waits_for_its_slowest_member_no_longer_than_align_s() -> None:
    order = order_of({1, 2})
    assert ready(order.release(batch([(1, 100), (1, 109)]))) == []
    assert ready(order.release(batch([(1, 110)]))) == [(1, 100)]
    assert order.frontier.tolist() == [100]


def test_what_comes_at_or_before_the_frontier_is_late() -> None:
    order = order_of({1, 2})
    order.release(batch([(1, 110)]))
    released = order.release(batch([(2, 99), (2, 100), (2, 101)]))
    assert (ready(released), released.late) == ([(2, 101)], 2)


def test_of_a_group_of_one_nothing_is_held_back() -> None:
    order = order_of({7}, {1, 2})
    assert ready(order.release(batch([(7, 100), (1, 100)]))) == [(7, 100)]
    released = order.release(batch([(7, 101)]))
    assert released.moved.tolist() == [True, False]


def test_time_that_passes_for_a_silent_member_lets_the_others_through() -> None:
    order = order_of({1, 2}, align_us=1000)
    order.release(batch([(1, 100), (2, 100)]))
    order.release(batch([(1, 130)]))
    assert ready(advance(order, 2, 130)) == []
    assert order.frontier.tolist() == [129]  # a reading of it at 130 may still come
    assert ready(advance(order, 2, 131)) == [(1, 130)]


def test_time_that_passes_without_effect_leaves_no_trace() -> None:
    order = order_of({1, 2}, align_us=1000)
    order.release(batch([(1, 100), (2, 90)]))
    before = order.snapshot()
    assert not advance(order, 1, 200).moved.any()
    assert order.snapshot() == before


def test_the_readings_held_back_are_bounded() -> None:
    order = order_of({1, 2}, align_us=1000, max_held=3)
    assert ready(order.release(batch([(1, time) for time in range(100, 103)]))) == []
    assert ready(order.release(batch([(1, 103), (1, 104)]))) == [(1, 100), (1, 101)]
    assert order.frontier.tolist() == [101]
    assert order.release(batch([(2, 101)])).late == 1


def test_the_end_of_a_replay_lets_everything_through() -> None:
    order = order_of({1, 2})
    order.release(batch([(1, 100), (1, 105)]))
    assert ready(order.flush()) == [(1, 100), (1, 105)]
    assert order.frontier.tolist() == [105]


def test_groups_that_join_begin_at_the_furthest_frontier_of_their_members() -> None:
    order = order_of({1, 2}, {3, 4})
    order.release(batch([(1, 100), (2, 100), (2, 103), (2, 107), (3, 105), (4, 105), (4, 110)]))
    assert order.frontier.tolist() == [100, 105]
    joined = order_of({1, 2, 3})
    joined.restore(order.snapshot())
    assert joined.frontier.tolist() == [105]
    assert ready(joined.release(batch([(1, 107), (3, 107)]))) == [(1, 107), (2, 107), (3, 107)]


def test_the_limits_of_align_s_are_told() -> None:
    with pytest.raises(ConfigurationError, match="between 0 and 3600 s"):
        GroupOrder([{1}], 3601)
    with pytest.raises(ValueError, match="two groups"):
        GroupOrder([{1, 2}, {2, 3}], 1)
    with pytest.raises(StateError):
        order_of({1}).restore(b"nonsense")


def test_no_groups_at_all() -> None:
    order = order_of()
    assert len(order.release(ReadingBatch.empty()).ready) == 0
    assert len(order.flush().ready) == 0
    order.restore(order.snapshot())


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(0, 9)), max_size=40),
    st.lists(st.integers(0, 40), max_size=8),
    st.lists(st.integers(0, 40), max_size=3),
)
def test_any_cut_lets_the_same_readings_through_in_order(
    steps: list[tuple[int, int]], cuts: list[int], restarts: list[int]
) -> None:
    """Arrivals with a delay below `align_s`: all come out, none is late, later than the frontier before."""
    arrivals: list[tuple[int, Reading]] = []
    last = dict.fromkeys(range(1, 5), 0)
    for position, (sensor, delay) in enumerate(steps):
        time = 3 * position + 1
        arrival = max(time + delay, last[sensor])
        last[sensor] = arrival
        arrivals.append((arrival, (sensor, time)))
    stream = [reading for _, reading in sorted(arrivals, key=lambda each: each[0])]
    groups = ({1, 2, 3}, {4})
    order = order_of(*groups)
    out: list[Reading] = []
    for begin, end in pairwise(sorted({0, *cuts, len(stream)})):
        before = order.frontier
        released = order.release(batch(stream[begin:end]))
        assert released.late == 0
        for sensor, time in ready(released):
            group = int(sensor == 4)
            assert before[group] < time <= order.frontier[group]
        out += ready(released)
        if begin in restarts:
            parts = order.snapshot()
            order = order_of(*groups)
            order.restore(parts)
    out += ready(order.flush())
    assert sorted(out) == sorted(stream)


def rule(id_: int, sensor_id: int | None, signal: Signal | None = None, **changes: Any) -> Rule:
    limits = {} if isinstance(signal, NoData | Expression) else {"high": 1.0}
    return Rule(
        id=id_,
        name=f"rule{id_}",
        sensor_id=sensor_id,
        sensor_name=f"sensor{sensor_id}",
        unit="",
        signal=signal or Value(),
        on_delay_s=1.0,
        **{"asset_id": 1, **limits, **changes},
    )


def test_inputs_are_all_sensors_a_rule_looks_at() -> None:
    assert inputs_of(rule(1, 5)) == {5}
    assert inputs_of(rule(1, 5, gate=Gate(sensor_id=6))) == {5, 6}
    assert inputs_of(rule(1, 5, Deviation(reference_id=7))) == {5, 7}
    assert inputs_of(rule(1, 5, Deviation(setpoint=7.0))) == {5}
    assert inputs_of(rule(1, None, NoData(sensor_ids=(1, 2)))) == {1, 2}
    assert inputs_of(rule(1, None, Expression(text="a", inputs=(("a", 3), ("b", 4)), is_condition=True))) == {3, 4}


def test_sensors_are_grouped_when_a_rule_looks_at_them_together() -> None:
    rules = [rule(1, 1, Deviation(reference_id=2)), rule(2, 2, gate=Gate(sensor_id=3)), rule(3, 9), rule(4, 4)]
    assert groups_of(rules) == [{1, 2, 3}, {4}, {9}]
    assert groups_of([]) == []


def test_sensors_are_grouped_when_alarms_of_their_rules_bear_on_each_other() -> None:
    assert groups_of([rule(1, 1), rule(2, 2, suppressed_by=frozenset({1, 99}))]) == [{1, 2}]
    first_out = [rule(id_, id_, first_out="trip") for id_ in (1, 2, 3)]
    assert groups_of(first_out) == [{1, 2, 3}]
    elsewhere = rule(4, 4, first_out="trip", asset_id=2)
    assert groups_of([*first_out, elsewhere]) == [{1, 2, 3}, {4}]
