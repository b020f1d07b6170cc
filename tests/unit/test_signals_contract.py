"""What the signals of every kind must do: compared with plain Python that looks at one reading at a time."""

import itertools
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.definition import Rule
from rules.samples import Samples
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
    is_condition,
)
from rules.signals.build import BLOCKS, build
from rules.signals.contract import SignalBlock
from rules.signals.sliding import CELLS
from telemetry.batch import ReadingBatch
from telemetry.errors import StateError
from telemetry.quality import Quality as Worth

S = 1_000_000
T0 = 1_750_000_000 * S

Reading = tuple[int, int, float, int]
"""time, sensor, value, quality"""
Sample = tuple[int, int, float]
"""signal, time, value"""

A, B = 1, 2
"""sensors; the rules below look at both, and at a third that another rule has"""

WITHIN = Expression(text="a > 2 && b - 1 > a * 2 || a / b > 5", inputs=(("a", A), ("b", B)), is_condition=True)

KINDS: Mapping[str, Sequence[Signal]] = {
    "value": [Value()],
    "setpoint": [Deviation(setpoint=1.5)],
    "reference": [Deviation(reference_id=B), Deviation(reference_id=3)],
    "rate": [Rate(window_s=4, per_s=60), Rate(window_s=300, per_s=1), Rate(window_s=1, per_s=3600)],
    "window": [
        Window(statistic=Statistic.MEAN, window_s=5),
        Window(statistic=Statistic.STANDARD_DEVIATION, window_s=5, min_readings=3),
        Window(statistic=Statistic.MEAN, window_s=1, min_readings=1),
        Window(statistic=Statistic.STANDARD_DEVIATION, window_s=200),
    ],
    "window_extreme": [
        Window(statistic=Statistic.MAX, window_s=5),
        Window(statistic=Statistic.MIN, window_s=3, min_readings=1),
        Window(statistic=Statistic.MIN, window_s=200),
    ],
    "count": [
        Count(above=2.0, at_least=2, of=3),
        Count(below=0.0, at_least=1, of=4, within_s=5),
        Count(above=0.0, at_least=2, of=20, within_s=12),
    ],
    "flat_line": [FlatLine(), FlatLine(tolerance=1.0)],
    "out_of_range": [OutOfRange()],
    "no_data": [NoData(sensor_ids=(A,)), NoData(sensor_ids=(A, B, 3))],
    "quality": [Quality()],
    "usage": [Usage(), Usage(running_hours=True)],
    "expression": [
        WITHIN,
        Expression(text="max(a, -b) + 1", inputs=(("a", A), ("b", B)), is_condition=False),
        Expression(text="a * 2 > 3", inputs=(("a", B),), is_condition=True),
    ],
}

pytestmark = pytest.mark.parametrize("kind", sorted(KINDS))


def rule_on(signal: Signal, *, rule_id: int, sensor_id: int | None = A) -> Rule:
    return Rule(
        id=rule_id,
        name=f"rule {rule_id}",
        sensor_id=None if isinstance(signal, Expression | NoData) else sensor_id,
        sensor_name="pump.point",
        asset_id=1,
        unit="",
        signal=signal,
        high=None if is_condition(signal) else 1e12,
        on_delay_s=60.0,
    )


def rules_of(kind: str) -> list[Rule]:
    """Each signal on sensor A, and the first on B too, with ids in no order."""
    rules = [rule_on(signal, rule_id=7 + 3 * place) for place, signal in enumerate(KINDS[kind])]
    return [*rules, rule_on(KINDS[kind][0], rule_id=5, sensor_id=B)]


def block_of(kind: str) -> SignalBlock:
    blocks = build(rules_of(kind))
    assert list(blocks) == [kind]
    return blocks[kind]


def batch_of(readings: Sequence[Reading]) -> ReadingBatch:
    time, sensor, value, quality = zip(*readings, strict=True) if readings else ((), (), (), ())
    return ReadingBatch.of(time, sensor, value, quality).sorted()


def listed(samples: Samples) -> list[Sample]:
    return list(zip(samples.signal.tolist(), samples.time.tolist(), samples.value.tolist(), strict=True))


def by_signal(samples: Sequence[Sample]) -> list[Sample]:
    return sorted(samples, key=lambda sample: sample[:2])


def folded(block: SignalBlock, batches: Sequence[Sequence[Reading]]) -> list[Sample]:
    out = []
    for batch in batches:
        samples = listed(block.fold(batch_of(batch)))
        assert samples == by_signal(samples), "sorted by signal and time"
        out += samples
    return by_signal(out)


# ---- one reading at a time, in plain Python


def is_measured(reading: Reading) -> bool:
    return reading[3] <= Worth.UNCERTAIN and math.isfinite(reading[2])


def own(rule: Rule, readings: Sequence[Reading]) -> list[Reading]:
    return [each for each in readings if each[1] == rule.sensor_id and is_measured(each)]


def values(rule: Rule, readings: Sequence[Reading]) -> Iterator[tuple[int, float]]:
    for time, _, value, _ in own(rule, readings):
        match rule.signal:
            case Deviation(setpoint=float(setpoint)):
                yield time, value - setpoint
            case _:
                yield time, value


def out_of_range(rule: Rule, readings: Sequence[Reading]) -> Iterator[tuple[int, float]]:
    for time, sensor, value, quality in readings:
        if sensor == rule.sensor_id and quality != Worth.STALE and math.isfinite(value):
            yield time, value


def quality_of(rule: Rule, readings: Sequence[Reading]) -> Iterator[tuple[int, float]]:
    for time, sensor, _, quality in readings:
        if sensor == rule.sensor_id:
            yield time, 1.0 if quality in (Worth.BAD, Worth.STALE) else 0.0


def no_data(rule: Rule, readings: Sequence[Reading]) -> Iterator[tuple[int, float]]:
    assert isinstance(rule.signal, NoData)
    for time in sorted({each[0] for each in readings if each[1] in rule.signal.sensor_ids}):
        yield time, 0.0
        yield time, 1.0


def instants(readings: Sequence[Reading], sensors: Sequence[int]) -> Iterator[tuple[int, dict[int, float]]]:
    """All values known after each instant with a measured one."""
    known: dict[int, float] = {}
    usable = sorted(each for each in readings if each[1] in sensors and is_measured(each))
    for time, together in itertools.groupby(usable, key=lambda reading: reading[0]):
        known.update({sensor: value for _, sensor, value, _ in together})
        if len(known) == len(set(sensors)):
            yield time, dict(known)


def reference(rule: Rule, readings: Sequence[Reading]) -> Iterator[tuple[int, float]]:
    assert isinstance(rule.signal, Deviation)
    assert rule.signal.reference_id is not None
    assert rule.sensor_id is not None
    for time, known in instants(readings, (rule.sensor_id, rule.signal.reference_id)):
        yield time, known[rule.sensor_id] - known[rule.signal.reference_id]


def expression(rule: Rule, readings: Sequence[Reading]) -> Iterator[tuple[int, float]]:
    assert isinstance(rule.signal, Expression)
    for time, known in instants(readings, [sensor for _, sensor in rule.signal.inputs]):
        if rule.signal.text == WITHIN.text:
            a, b = known[A], known[B]
            quotient = a / b if b else math.copysign(math.inf, a) * math.copysign(1, b)
            if (a > 2 and b - 1 > a * 2) or a or b:  # 0 / 0 is compared with nothing
                yield time, float((a > 2 and b - 1 > a * 2) or quotient > 5)
        elif len(known) == 2:
            yield time, max(known[A], -known[B]) + 1
        else:
            yield time, float(known[B] * 2 > 3)


def in_window(usable: Sequence[Reading], rule: Rule, window_s: float) -> Iterator[list[Reading]]:
    """The readings of the window at each; a cell is in it as a whole while its newest reading is."""
    window = round(window_s * S)
    shift = rule.id * 0x9E3779B97F4A7C15 % window

    def cell(reading: Reading) -> tuple[int, int]:
        block, inside = divmod(reading[0] - shift, window)
        return block, inside * CELLS // window

    for position, reading in enumerate(usable):
        oldest = min(place for place in range(position + 1) if usable[place][0] > reading[0] - window)
        yield [each for each in usable[: position + 1] if cell(each) >= cell(usable[oldest])]


def window(rule: Rule, readings: Sequence[Reading]) -> Iterator[tuple[int, float]]:
    assert isinstance(rule.signal, Window)
    ways: dict[Statistic, Callable[[Sequence[float]], float]] = {
        Statistic.MEAN: statistics.fmean,
        Statistic.STANDARD_DEVIATION: statistics.stdev,
        Statistic.MAX: max,
        Statistic.MIN: min,
    }
    for inside in in_window(own(rule, readings), rule, rule.signal.window_s):
        if len(inside) >= rule.signal.min_readings:
            yield inside[-1][0], ways[rule.signal.statistic]([each[2] for each in inside])


def rate(rule: Rule, readings: Sequence[Reading]) -> Iterator[tuple[int, float]]:
    assert isinstance(rule.signal, Rate)
    for inside in in_window(own(rule, readings), rule, rule.signal.window_s):
        now = inside[-1][0]
        if len(inside) >= 3 and (now - inside[0][0]) / S >= rule.signal.window_s / 2:
            line = statistics.linear_regression([(each[0] - now) / S for each in inside], [each[2] for each in inside])
            yield now, line.slope * rule.signal.per_s


def count(rule: Rule, readings: Sequence[Reading]) -> Iterator[tuple[int, float]]:
    assert isinstance(rule.signal, Count)
    usable = own(rule, readings)
    above = math.inf if rule.signal.above is None else rule.signal.above
    below = -math.inf if rule.signal.below is None else rule.signal.below
    for position, (now, *_) in enumerate(usable):
        last = usable[max(0, position + 1 - rule.signal.of) : position + 1]
        last = [each for each in last if each[0] > now - rule.signal.within_s * S]
        yield now, float(sum(not below <= each[2] <= above for each in last))


def flat_line(rule: Rule, readings: Sequence[Reading]) -> Iterator[tuple[int, float]]:
    assert isinstance(rule.signal, FlatLine)
    began_at = None
    for time, _, value, _ in own(rule, readings):
        if began_at is None or abs(value - began_at) > rule.signal.tolerance:
            began_at = value
            yield time, 0.0
        yield time, 1.0


def usage(rule: Rule, readings: Sequence[Reading]) -> Iterator[tuple[int, float]]:
    assert isinstance(rule.signal, Usage)
    total = 0.0
    before: Reading | None = None
    for reading in own(rule, readings):
        if before is not None:
            if not rule.signal.running_hours:
                total += max(0.0, reading[2] - before[2] if reading[2] >= before[2] else reading[2])
            elif before[2] == 1:
                total += (reading[0] - before[0]) / 3600 / S
        before = reading
        yield reading[0], total


ONE_BY_ONE: Mapping[str, Callable[[Rule, Sequence[Reading]], Iterator[tuple[int, float]]]] = {
    "value": values,
    "setpoint": values,
    "reference": reference,
    "rate": rate,
    "window": window,
    "window_extreme": window,
    "count": count,
    "flat_line": flat_line,
    "out_of_range": out_of_range,
    "no_data": no_data,
    "quality": quality_of,
    "usage": usage,
    "expression": expression,
}


def expected(kind: str, readings: Sequence[Reading]) -> list[Sample]:
    return by_signal([(-rule.id, *sample) for rule in rules_of(kind) for sample in ONE_BY_ONE[kind](rule, readings)])


# ---- streams


def streams(steps: st.SearchStrategy[int], level: float = 0.0, spread: float = 1.0) -> st.SearchStrategy[list[Reading]]:
    """Readings of four sensors, strictly ascending per sensor, often several at one instant, in order of time."""
    reading = st.tuples(
        steps,
        st.sets(st.sampled_from((A, B, 3, 4)), min_size=1),
        st.integers(-2, 8),
        st.sampled_from((0, 0, 0, 0, 0, 1, 2, 3)),
    )

    def laid_out(drawn: list[tuple[int, set[int], int, int]]) -> list[Reading]:
        times = itertools.accumulate(step for step, *_ in drawn)
        return [
            (T0 + time, sensor, level + spread * ((value + 3 * sensor) % 7), quality)
            for time, (_, sensors, value, quality) in zip(times, drawn, strict=True)
            for sensor in sorted(sensors)
        ]

    return st.lists(reading, max_size=60).map(laid_out)


STEPS = st.one_of(st.sampled_from((1, 500, S // 2, S, S, S, 2 * S, 5 * S)), st.integers(1, 400 * S))


def cut_at_instants(readings: Sequence[Reading], cuts: set[int]) -> list[list[Reading]]:
    """Batches; readings of one instant are in one."""
    batches: list[list[Reading]] = [[]]
    for number, (_, together) in enumerate(itertools.groupby(readings, key=lambda reading: reading[0])):
        if number in cuts:
            batches.append([])
        batches[-1] += together
    return batches


CUTS = st.one_of(st.sets(st.integers(0, 80)), st.just(set(range(80))))


def random_stream(count: int, *, seed: int = 3) -> list[Reading]:
    rng = np.random.default_rng(seed)
    steps = rng.choice((S // 10, S, S, 3 * S, 40 * S, 900 * S), count, p=(0.4, 0.2, 0.2, 0.15, 0.04, 0.01))
    qualities = rng.choice(4, (count, 3), p=(0.85, 0.05, 0.05, 0.05))
    readings = rng.integers(-3, 6, (count, 3))
    return [
        (T0 + time, sensor + 1, float(readings[row, sensor]), int(qualities[row, sensor]))
        for row, time in enumerate(np.cumsum(steps).tolist())
        for sensor in range(3)
    ]


# ---- the contract


def test_every_block_is_in_this_suite(kind: str) -> None:
    assert set(KINDS) == set(BLOCKS) == set(ONE_BY_ONE)


@settings(deadline=None, max_examples=20)
@given(data=st.data())
def test_samples_are_those_of_looking_at_one_reading_after_the_other(kind: str, data: Any) -> None:
    readings = data.draw(streams(STEPS))
    found, wanted = folded(block_of(kind), [readings]), expected(kind, readings)
    assert [sample[:2] for sample in found] == [sample[:2] for sample in wanted]
    assert [sample[2] for sample in found] == pytest.approx([sample[2] for sample in wanted], rel=1e-9, abs=1e-9)


def test_a_long_stream_in_one_fold_is_that_of_looking_at_one_reading_after_the_other(kind: str) -> None:
    readings = random_stream(500)
    found, wanted = folded(block_of(kind), [readings]), expected(kind, readings)
    assert [sample[:2] for sample in found] == [sample[:2] for sample in wanted]
    assert [sample[2] for sample in found] == pytest.approx([sample[2] for sample in wanted], rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=20)
@given(readings=streams(STEPS, level=0.1, spread=math.pi), cuts=CUTS)
def test_samples_do_not_depend_on_batches_to_the_last_bit(kind: str, readings: list[Reading], cuts: set[int]) -> None:
    assert folded(block_of(kind), cut_at_instants(readings, cuts)) == folded(block_of(kind), [readings])


def test_a_long_stream_does_not_depend_on_batches_to_the_last_bit(kind: str) -> None:
    readings = [(time, sensor, math.pi * value, worth) for time, sensor, value, worth in random_stream(500)]
    whole = folded(block_of(kind), [readings])
    assert len(whole) >= 500
    assert folded(block_of(kind), cut_at_instants(readings, set(range(500)))) == whole
    assert folded(block_of(kind), cut_at_instants(readings, set(range(0, 500, 37)))) == whole


@settings(deadline=None, max_examples=20)
@given(readings=streams(STEPS, level=0.1, spread=math.pi), cuts=CUTS)
def test_a_restored_block_goes_on_as_the_one_before(kind: str, readings: list[Reading], cuts: set[int]) -> None:
    block, out = block_of(kind), []
    for batch in cut_at_instants(readings, cuts):
        body = block.snapshot()
        block = block_of(kind)
        block.restore(body)
        out += listed(block.fold(batch_of(batch)))
    assert by_signal(out) == folded(block_of(kind), [readings])


def test_restoring_replaces_what_was_there(kind: str) -> None:
    readings = random_stream(300)
    block, other = block_of(kind), block_of(kind)
    block.fold(batch_of(readings[:450]))
    other.fold(batch_of(random_stream(200, seed=9)))
    other.restore(block.snapshot())
    assert other.snapshot() == block.snapshot()
    assert listed(other.fold(batch_of(readings[450:]))) == listed(block.fold(batch_of(readings[450:])))


def test_state_is_matched_by_rule_and_others_start_fresh(kind: str) -> None:
    early, late = random_stream(300)[:450], random_stream(300)[450:]
    block = block_of(kind)
    block.fold(batch_of(early))
    after = listed(block.fold(batch_of(late)))

    kept, *_ = rules_of(kind)
    new = rule_on(KINDS[kind][0], rule_id=99)
    narrow = build([kept, new])[kind]
    before = block_of(kind)
    before.fold(batch_of(early))
    narrow.restore(before.snapshot())
    fresh = [sample for sample in expected(kind, late) if sample[0] == -kept.id]
    samples = listed(narrow.fold(batch_of(late)))
    assert [sample for sample in samples if sample[0] == -kept.id] == [each for each in after if each[0] == -kept.id]
    assert len([sample for sample in samples if sample[0] == -99]) == pytest.approx(len(fresh), abs=2)
    alone = build([new])[kind]
    assert [sample for sample in samples if sample[0] == -99] == listed(alone.fold(batch_of(late)))


def test_a_rule_that_looks_at_another_sensor_now_starts_fresh(kind: str) -> None:
    signal = KINDS[kind][0]
    if not isinstance(signal, NoData | Expression):
        late = [each for each in random_stream(300)[450:] if each[1] == B or not isinstance(signal, Deviation)]
        block = build([rule_on(signal, rule_id=7, sensor_id=A)])[kind]
        block.fold(batch_of(random_stream(300)[:450]))
        moved, fresh = (build([rule_on(signal, rule_id=7, sensor_id=B)])[kind] for _ in range(2))
        moved.restore(block.snapshot())
        assert listed(moved.fold(batch_of(late))) == listed(fresh.fold(batch_of(late)))


@pytest.mark.parametrize("body", [b"", b"PK\x03\x04 nothing", b"\x00" * 100])
def test_damaged_state_is_told(kind: str, body: bytes) -> None:
    with pytest.raises(StateError):
        block_of(kind).restore(body)


def test_state_of_another_kind_is_told(kind: str) -> None:
    other = next(name for name in BLOCKS if name != kind)
    with pytest.raises(StateError):
        block_of(kind).restore(block_of(other).snapshot())


def test_nothing_comes_of_nothing_or_of_strangers(kind: str) -> None:
    block = block_of(kind)
    assert listed(block.fold(ReadingBatch.empty())) == []
    assert listed(block.fold(batch_of([(T0, 77, 1.0, 0), (T0 + S, 77, 2.0, 0), (T0, 0, 1.0, 0)]))) == []
    assert block.snapshot() == block_of(kind).snapshot()


def test_the_sensors_looked_at_are_told_once_and_sorted(kind: str) -> None:
    sensors = {A, B}
    if kind in ("reference", "no_data"):
        sensors.add(3)
    if kind == "no_data":
        sensors = {A, B, 3}
    assert block_of(kind).sensor_ids.tolist() == sorted(sensors)


@pytest.mark.parametrize("worth", [Worth.BAD, Worth.STALE])
def test_what_is_bad_changes_nothing_but_for_rules_about_the_sensor(kind: str, worth: Worth) -> None:
    clean = [reading for reading in random_stream(200) if is_measured(reading)]
    dirty = sorted([*clean, *((time + 7, sensor, 1e9, int(worth)) for time, sensor, *_ in clean)])
    found, wanted = folded(block_of(kind), [dirty]), folded(block_of(kind), [clean])
    tells = kind in ("quality", "no_data") or (kind == "out_of_range" and worth is Worth.BAD)
    assert (found != wanted) is tells
    assert len(found) == (2 * len(wanted) if tells else len(wanted))


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_no_number_never_says_normal(kind: str, number: float) -> None:
    clean = random_stream(60)
    dirty = sorted([*clean, *((time + 7, sensor, number, 0) for time, sensor, *_ in clean)])
    found = folded(block_of(kind), [dirty])
    assert all(math.isfinite(value) for *_, value in found)
    if kind not in ("quality", "no_data"):
        assert found == folded(block_of(kind), [clean])


@pytest.mark.parametrize("number", [1.7e308, -1.7e308])
def test_values_at_the_end_of_the_scale_are_forgotten_with_time(kind: str, number: float) -> None:
    spikes = [(T0 - 2000 * S + S * step, sensor, number * (-1) ** step, 0) for step in range(9) for sensor in (A, B, 3)]
    readings = random_stream(100)
    block = block_of(kind)
    assert all(math.isfinite(value) for *_, value in folded(block, [spikes]))
    later = folded(block, [readings])
    assert all(math.isfinite(value) for *_, value in later)
    if kind != "usage":
        settled = readings[150][0]
        usual = [sample for sample in folded(block_of(kind), [readings]) if sample[1] >= settled]
        assert usual
        assert [sample for sample in later if sample[1] >= settled] == usual


@pytest.mark.parametrize("level", [1e8, -1e8])
def test_far_from_zero_nothing_is_lost(kind: str, level: float) -> None:
    if kind in ("usage", "expression"):
        return
    readings = [(time, sensor, level + value / 64, worth) for time, sensor, value, worth in random_stream(400)]
    found, wanted = folded(block_of(kind), [readings]), expected(kind, readings)
    assert [sample[:2] for sample in found] == [sample[:2] for sample in wanted]
    if kind == "rate":
        near = expected(kind, [(time, sensor, value / 64, worth) for time, sensor, value, worth in random_stream(400)])
        assert [sample[2] for sample in found] == pytest.approx([sample[2] for sample in near], rel=1e-6, abs=1e-4)
    else:
        assert [sample[2] for sample in found] == pytest.approx([sample[2] for sample in wanted], rel=1e-6, abs=1e-7)


def test_two_readings_within_a_millisecond_are_two(kind: str) -> None:
    readings = [(T0 + at, sensor, value, 0) for at, value in ((0, 1.0), (1, 2.0), (400, 0.0)) for sensor in (A, B, 3)]
    times = {time for _, time, _ in folded(block_of(kind), [readings])}
    assert times == (set() if kind == "rate" else {T0, T0 + 1, T0 + 400})


def test_only_usage_has_a_beginning_to_go_back_to(kind: str) -> None:
    block = block_of(kind)
    readings = random_stream(50)
    block.fold(batch_of(readings))
    before = block.snapshot()
    samples = listed(block.reset(np.array([7, 1234]), readings[-1][0] + S))
    if kind == "usage":
        ((signal, time, value),) = samples
        assert (signal, time) == (-7, readings[-1][0] + S)
        assert math.isnan(value)
    else:
        assert samples == []
        assert block.snapshot() == before
