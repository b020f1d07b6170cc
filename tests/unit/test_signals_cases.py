"""Signals, case by case: boundaries, gaps, resets, and what a person would expect to see."""

import math
from collections.abc import Sequence

import numpy as np
import pytest

from rules.definition import Rule
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
    Window,
    is_condition,
)
from rules.signals.build import build
from rules.signals.contract import SignalBlock
from rules.signals.sliding import CELLS
from telemetry.batch import ReadingBatch
from telemetry.errors import ConfigurationError
from telemetry.plant import AssetState

S = 1_000_000
OTHER = 2

Row = tuple[float, float] | tuple[float, float, int] | tuple[float, float, int, int]
"""second, value, quality, sensor"""


def rule_on(signal: Signal, rule_id: int = 10) -> Rule:
    return Rule(
        id=rule_id,
        name="rule",
        sensor_id=1,
        sensor_name="pump.point",
        asset_id=1,
        unit="",
        signal=signal,
        high=None if is_condition(signal) else 1.0,
        on_delay_s=60.0,
    )


def block_of(signal: Signal) -> SignalBlock:
    (block,) = build([rule_on(signal)]).values()
    return block


def batch_of(rows: Sequence[Row]) -> ReadingBatch:
    full = [(*row, 0, 1)[:4] if len(row) == 2 else (*row, 1)[:4] for row in rows]
    time, value, quality, sensor = zip(*full, strict=True)
    return ReadingBatch.of([round(second * S) for second in time], sensor, value, quality).sorted()


def folded(block: SignalBlock, *rows: Row) -> list[tuple[float, float]]:
    samples = block.fold(batch_of(rows))
    assert set(samples.signal.tolist()) <= {-10}
    return [(time / S, value) for time, value in zip(samples.time.tolist(), samples.value.tolist(), strict=True)]


CASES: dict[str, tuple[Signal, list[Row], list[tuple[float, float]]]] = {
    "deviation from a setpoint": (Deviation(setpoint=50.0), [(0, 50.0), (1, 47.5)], [(0, 0.0), (1, -2.5)]),
    "deviation from a sensor: nothing before both are known, both new values at one instant": (
        Deviation(reference_id=OTHER),
        [(0, 5.0), (1, 6.0), (2, 1.0, 0, OTHER), (3, 7.0), (3, 3.0, 0, OTHER), (4, 9.0, 2, OTHER), (5, 8.0)],
        [(2, 5.0), (3, 4.0), (5, 5.0)],
    ),
    "rate: three readings over half of the window, the one at its old end is out": (
        Rate(window_s=4, per_s=60),
        [(0, 0.0), (1, 1.0), (1.5, 1.5), (2, 2.0), (4, 4.0)],
        [(2, 60.0), (4, 60.0)],
    ),
    "rate: nothing after a gap until half of a window has gone by": (
        Rate(window_s=4, per_s=1),
        [(0, 0.0), (1, 0.0), (2, 0.0), (100, 7.0), (101, 6.0), (101.9, 5.1), (102, 5.0)],
        [(2, 0.0), (102, -1.0)],
    ),
    "mean: the reading at the old end is out": (
        Window(statistic=Statistic.MEAN, window_s=10, min_readings=1),
        [(0, 4.0), (5, 2.0), (9.999999, 0.0), (10, 1.0), (15, 5.0)],
        [(0, 4.0), (5, 3.0), (9.999999, 2.0), (10, 1.0), (15, 2.0)],
    ),
    "largest: min_readings reached with equality": (
        Window(statistic=Statistic.MAX, window_s=10, min_readings=2),
        [(0, 4.0), (5, 2.0), (10, 1.0), (30, 7.0), (31, -1.0)],
        [(5, 4.0), (10, 2.0), (31, 7.0)],
    ),
    "smallest": (
        Window(statistic=Statistic.MIN, window_s=10),
        [(0, 4.0), (5, 2.0), (10, 3.0), (15, 5.0)],
        [(5, 2.0), (10, 2.0), (15, 3.0)],
    ),
    "standard deviation is n - 1, and none of one": (
        Window(statistic=Statistic.STANDARD_DEVIATION, window_s=10, min_readings=1),
        [(0, 1.0), (1, 3.0), (2, 5.0)],
        [(1, math.sqrt(2.0)), (2, 2.0)],
    ),
    "count: at the limit is not beyond": (
        Count(above=5.0, at_least=2, of=3),
        [(0, 5.0), (1, 5.1), (2, 6.0), (3, 5.0), (4, 4.0), (5, 4.0)],
        [(0, 0.0), (1, 1.0), (2, 2.0), (3, 2.0), (4, 1.0), (5, 0.0)],
    ),
    "count: below, and the reading at the old end is out": (
        Count(below=0.0, at_least=2, of=9, within_s=10),
        [(0, -1.0), (5, -1.0), (9.999999, 0.0), (10, -1.0)],
        [(0, 1.0), (5, 2.0), (9.999999, 2.0), (10, 2.0)],
    ),
    "count: bad readings are none of the last three": (
        Count(above=5.0, at_least=2, of=3),
        [(0, 6.0), (1, 9.0, 2), (2, 9.0, 3), (3, 6.0, 1)],
        [(0, 1.0), (3, 2.0)],
    ),
    "flat: within the tolerance, both ends included, of where it began": (
        FlatLine(tolerance=1.0),
        [(0, 5.0), (1, 6.0), (2, 4.0), (3, 6.5), (4, 5.5), (5, 5.4)],
        [(0, 0.0), (0, 1.0), (1, 1.0), (2, 1.0), (3, 0.0), (3, 1.0), (4, 1.0), (5, 0.0), (5, 1.0)],
    ),
    "flat: a creeping value is not flat": (
        FlatLine(tolerance=1.0),
        [(0, 0.0), (1, 0.7), (2, 1.4)],
        [(0, 0.0), (0, 1.0), (1, 1.0), (2, 0.0), (2, 1.0)],
    ),
    "out of range: bad ones too, stale ones not": (
        OutOfRange(),
        [(0, 5.0), (1, 900.0, 2), (2, 900.0, 3), (3, 6.0, 1)],
        [(0, 5.0), (1, 900.0), (3, 6.0)],
    ),
    "no data: any reading is data, of any of the sensors": (
        NoData(sensor_ids=(1, OTHER)),
        [(0, 5.0), (0, 5.0, 0, OTHER), (1, 5.0, 2), (2, 5.0, 3, OTHER)],
        [(0, 0.0), (0, 1.0), (1, 0.0), (1, 1.0), (2, 0.0), (2, 1.0)],
    ),
    "quality": (Quality(), [(0, 5.0), (1, 5.0, 1), (2, 5.0, 2), (3, 5.0, 3)], [(0, 0.0), (1, 0.0), (2, 1.0), (3, 1.0)]),
    "a counter that is put back counts from 0": (
        Usage(),
        [(0, 990.0), (1, 999.0), (2, 3.0), (3, 5.0), (4, 500.0, 2), (5, 6.0)],
        [(0, 0.0), (1, 9.0), (2, 12.0), (3, 14.0), (5, 15.0)],
    ),
    "running hours are those that ended": (
        Usage(running_hours=True),
        [
            (0, AssetState.STOPPED),
            (3600, AssetState.RUNNING),
            (5400, AssetState.RUNNING),
            (7200, AssetState.STOPPED, 2),
            (9000, AssetState.FAILED),
            (90000, AssetState.RUNNING),
        ],
        [(0, 0.0), (3600, 0.0), (5400, 0.5), (9000, 1.5), (90000, 1.5)],
    ),
    "an expression over two sensors": (
        Expression(text="a - 15 > b * 2", inputs=(("a", 1), ("b", OTHER)), is_condition=True),
        [(0, 20.0), (1, 3.0, 0, OTHER), (2, 21.0), (2, 4.0, 0, OTHER), (3, 23.1), (4, 0.0, 2), (5, 2.0, 1, OTHER)],
        [(1, 0.0), (2, 0.0), (3, 1.0), (5, 1.0)],
    ),
    "an expression that is not defined, or not finite, says nothing": (
        Expression(text="8 / a + 6 / int(a)", inputs=(("a", 1),), is_condition=False),
        [(0, 2.0), (1, 0.0)],
        [],
    ),
    "an expression with a division": (
        Expression(text="8 / a", inputs=(("a", 1),), is_condition=False),
        [(0, 2.0), (1, 0.0), (2, 4.0)],
        [(0, 4.0), (2, 2.0)],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_samples_are(case: str) -> None:
    signal, rows, expected = CASES[case]
    found = folded(block_of(signal), *rows)
    assert [time for time, _ in found] == [time for time, _ in expected]
    assert [value for _, value in found] == pytest.approx([value for _, value in expected], abs=1e-12)


@pytest.mark.parametrize("level", [0.0, 1e8, -1e8])
def test_standard_deviation_far_from_zero(level: float) -> None:
    noise = np.random.default_rng(4).normal(0.0, 0.01, 3000)
    values = level + noise
    block = block_of(Window(statistic=Statistic.STANDARD_DEVIATION, window_s=20))
    found = folded(block, *((second, value) for second, value in enumerate(values.tolist())))
    wanted = [np.std(values[place - 19 : place + 1], ddof=1) for place in range(19, 3000)]
    assert [value for _, value in found[18:]] == pytest.approx(wanted, rel=1e-6)


def test_standard_deviation_recovers_from_a_start_up_of_a_hundred_million() -> None:
    values = np.concatenate((np.zeros(25), 1e8 + np.random.default_rng(4).normal(0.0, 0.01, 100)))
    block = block_of(Window(statistic=Statistic.STANDARD_DEVIATION, window_s=20))
    found = dict(folded(block, *((second, value) for second, value in enumerate(values.tolist()))))
    assert [found[second] for second in range(44, 125)] == pytest.approx(
        [np.std(values[second - 19 : second + 1], ddof=1) for second in range(44, 125)], rel=1e-6
    )


def test_a_dense_window_reaches_back_by_one_cell_more_at_most() -> None:
    window_s, rate = 10.0, 100
    block = block_of(Window(statistic=Statistic.MEAN, window_s=window_s))
    found = dict(folded(block, *((step / rate, float(step)) for step in range(5000))))
    for second, mean in found.items():
        if second >= 2 * window_s:
            reach_s = 2 * (second - mean / rate)
            assert window_s - 2 / rate <= reach_s <= window_s * (1 + 1 / CELLS)


def test_memory_is_bounded_whatever_the_rate() -> None:
    block = block_of(Window(statistic=Statistic.STANDARD_DEVIATION, window_s=86_400))
    folded(block, *((step / 100, float(step % 7)) for step in range(2000)))
    few = len(block.snapshot())
    folded(block, *((20 + step / 100, float(step % 7)) for step in range(60_000)))
    assert len(block.snapshot()) - few < 100
    assert few < 10_000


def test_of_one_noisy_reading_the_rate_is_not_made() -> None:
    rows = [(second, 2.0 * second + (30.0 if second == 59 else 0.0)) for second in range(60)]
    found = folded(block_of(Rate(window_s=60, per_s=1)), *rows)
    assert found[-1][1] == pytest.approx(2.0, abs=0.06)


def test_usage_begins_anew_at_a_reset() -> None:
    block = block_of(Usage())
    assert folded(block, (0, 100.0), (10, 130.0)) == [(0, 0.0), (10, 30.0)]
    samples = block.reset(np.array([10]), 15 * S)
    assert (samples.signal.tolist(), samples.time.tolist()) == ([-10], [15 * S])
    assert np.isnan(samples.value).all()
    assert folded(block, (14, 132.0), (20, 135.0)) == [(20, 3.0)]


def test_hours_before_the_reset_are_not_counted() -> None:
    block = block_of(Usage(running_hours=True))
    assert folded(block, (0, 1.0), (3600, 1.0)) == [(0, 0.0), (3600, 1.0)]
    block.reset(np.array([10]), 5400 * S)
    other = block_of(Usage(running_hours=True))
    other.restore(block.snapshot())
    assert folded(other, (5000, 1.0), (5400, 1.0), (7200, 1.0)) == [(7200, 0.5)]


def test_a_reset_that_comes_late_is_told_no_earlier_than_the_last_reading() -> None:
    block = block_of(Usage())
    folded(block, (0, 100.0), (10, 130.0))
    assert block.reset(np.array([10]), 5 * S).time.tolist() == [10 * S]
    assert block.reset(np.array([10]), 5 * S).time.tolist() == []
    assert folded(block, (20, 131.0)) == [(20, 1.0)]


def test_a_reset_is_only_of_the_rules_named() -> None:
    (block,) = build([rule_on(Usage(), rule_id) for rule_id in (3, 4, 5)]).values()
    block.fold(batch_of([(0, 1.0), (1, 4.0)]))
    assert block.reset(np.array([3, 5, 77]), 2 * S).signal.tolist() == [-5, -3]
    assert block.fold(batch_of([(3, 5.0)])).value.tolist() == [1.0, 4.0, 1.0]


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (Window(statistic=Statistic.MAX, window_s=10), Window(statistic=Statistic.MAX, window_s=20)),
        (Window(statistic=Statistic.MAX, window_s=10), Window(statistic=Statistic.MIN, window_s=10)),
        (Rate(window_s=4, per_s=1), Rate(window_s=5, per_s=1)),
        (Count(above=1.0, at_least=1, of=3), Count(above=1.0, at_least=1, of=4)),
        (Count(above=1.0, at_least=1, of=3), Count(above=2.0, at_least=1, of=3)),
        (FlatLine(tolerance=1.0), FlatLine(tolerance=2.0)),
        (Usage(), Usage(running_hours=True)),
        (
            Expression(text="a > 1", inputs=(("a", 1),), is_condition=True),
            Expression(text="a + b > 1", inputs=(("a", 1), ("b", OTHER)), is_condition=True),
        ),
    ],
    ids=lambda signal: type(signal).__name__,
)
def test_a_rule_whose_signal_was_changed_starts_fresh(before: Signal, now: Signal) -> None:
    block, changed, fresh = block_of(before), block_of(now), block_of(now)
    block.fold(batch_of([(second, 3.0) for second in range(9)]))
    changed.restore(block.snapshot())
    rows: list[Row] = [(second, 1.5) for second in range(9, 18)]
    assert folded(changed, *rows) == folded(fresh, *rows)


@pytest.mark.parametrize(
    ("before", "now"),
    [
        (Count(above=1.0, at_least=1, of=3), Count(above=1.0, at_least=2, of=3, within_s=100.0)),
        (Rate(window_s=4, per_s=1), Rate(window_s=4, per_s=60)),
        (
            Window(statistic=Statistic.MEAN, window_s=10),
            Window(statistic=Statistic.STANDARD_DEVIATION, window_s=10, min_readings=5),
        ),
        (
            Expression(text="a > 1", inputs=(("a", 1),), is_condition=True),
            Expression(text="a + 1", inputs=(("a", 1),), is_condition=False),
        ),
    ],
    ids=lambda signal: type(signal).__name__,
)
def test_what_is_made_of_the_same_state_goes_on(before: Signal, now: Signal) -> None:
    block, changed, always = block_of(before), block_of(now), block_of(now)
    early: list[Row] = [(second, 3.0 + second) for second in range(9)]
    block.fold(batch_of(early))
    always.fold(batch_of(early))
    changed.restore(block.snapshot())
    assert folded(changed, (9, 1.0)) == folded(always, (9, 1.0)) != []


def test_expressions_with_other_numbers_of_inputs_may_come_and_go() -> None:
    one = rule_on(Expression(text="a > 1", inputs=(("a", 1),), is_condition=True), 4)
    two = rule_on(Expression(text="a > b", inputs=(("a", 1), ("b", OTHER)), is_condition=True), 5)
    both, alone = build([one, two])["expression"], build([one])["expression"]
    both.fold(batch_of([(0, 1.0), (0, 2.0, 0, OTHER)]))
    alone.restore(both.snapshot())
    both.restore(alone.snapshot())
    assert both.fold(batch_of([(1, 3.0)])).signal.tolist() == [-4]


def test_an_expression_that_cannot_be_read_is_told() -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        build([rule_on(Expression(text="a >", inputs=(("a", 1),), is_condition=True))])


def test_blocks_are_built_for_the_kinds_there_are() -> None:
    rules = [
        rule_on(Deviation(setpoint=1.0), 1),
        rule_on(Deviation(reference_id=OTHER), 2),
        rule_on(Quality(), 3),
        rule_on(Window(statistic=Statistic.MIN, window_s=3), 4),
    ]
    assert sorted(build(rules)) == ["quality", "reference", "setpoint", "window_extreme"]
    assert build([]) == {}
