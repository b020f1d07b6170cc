"""Data quality at the door: what each check finds, and that crashes, cuts and redelivery change nothing of it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.door_checks import DoorCheckState, Finding, Findings, counted
from telemetry.batch import ReadingBatch
from telemetry.errors import StateError
from telemetry.plant import DoorChecks, Sensor, SensorKind
from telemetry.quality import Quality
from telemetry.store import Written

GOOD, UNCERTAIN, BAD, STALE = (int(quality) for quality in Quality)
SECOND = 1_000_000
BEGIN = 1_700_000_000 * SECOND

Row = tuple[int, int, float, int]
"""time, sensor, value, quality"""


def sensor(id_: int, **checks: float) -> Sensor:
    return Sensor(
        id=id_,
        name=f"P.s{id_}",
        asset_id=1,
        kind=SensorKind.MEASURED,
        quantity="",
        unit="",
        site="works",
        checks=DoorChecks(**checks),
    )


def readings(*rows: Sequence[float], sensor_id: int = 1) -> ReadingBatch:
    """(second, value[, quality]) of one sensor."""
    return ReadingBatch.of(
        [BEGIN + round(row[0] * SECOND) for row in rows],
        [sensor_id] * len(rows),
        [row[1] for row in rows],
        [row[2] if len(row) > 2 else GOOD for row in rows],
    )


def rows_of(batch: ReadingBatch) -> Iterable[Row]:
    return zip(batch.time.tolist(), batch.sensor_id.tolist(), batch.value.tolist(), batch.quality.tolist(), strict=True)


def batch_of(rows: Sequence[Row]) -> ReadingBatch:
    return ReadingBatch.of(*(list(column) for column in zip(*rows, strict=True))) if rows else ReadingBatch.empty()


@dataclass
class Door:
    """A state with a store and a journal around it, as the engine has them."""

    sensors: Sequence[Sensor]
    stored: dict[tuple[int, int], tuple[float, int]] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    checkpoint: bytes | None = None
    journal: list[ReadingBatch] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.state = DoorCheckState(self.sensors)

    def deliver(self, batch: ReadingBatch) -> list[int]:
        """Judge, store, count and fold; the qualities that the checks came to."""
        judged = self.state.judge(batch)
        written = self._write(judged.batch)
        self.findings.update(judged.findings(written))
        new = judged.batch.take(written.stored)
        self.journal.append(new.take(np.isin(new.sensor_id, self.state.sensor_ids)))
        self.state.fold(self.journal[-1])
        quality: list[int] = judged.batch.quality.tolist()
        return quality

    def crash(self) -> None:
        """Lose everything but the database."""
        self.state = DoorCheckState(self.sensors)
        if self.checkpoint is not None:
            self.state.restore(self.checkpoint)
        for entry in self.journal:
            self.state.fold(ReadingBatch.from_bytes(entry.to_bytes()))

    def write_checkpoint(self) -> None:
        self.checkpoint, self.journal = self.state.snapshot(), []

    def _write(self, batch: ReadingBatch) -> Written:
        stored, duplicate = np.zeros(len(batch), np.bool_), np.zeros(len(batch), np.bool_)
        for place, (time, sensor_id, value, quality) in enumerate(rows_of(batch)):
            there = self.stored.get((sensor_id, time))
            if there is None:
                self.stored[sensor_id, time] = value, quality
                stored[place] = True
            else:
                duplicate[place] = there[0] == value and there[1] >= quality
        return Written(stored=stored, duplicate=duplicate, conflicting=~(stored | duplicate))

    def counts(self, sensor_id: int = 1) -> dict[str, int]:
        return {str(finding): count for (id_, finding), count in self.findings.items() if id_ == sensor_id}


def test_a_value_outside_the_range_is_bad_and_its_ends_are_inside() -> None:
    door = Door([sensor(1, low=-40, high=200), sensor(2, low=0), sensor(3, high=0)])
    assert door.deliver(readings((0, -40), (1, -40.5), (2, 200), (3, 200.5))) == [GOOD, BAD, GOOD, BAD]
    assert door.deliver(readings((0, -1), (1, 1e9), sensor_id=2)) == [BAD, GOOD]
    assert door.deliver(readings((0, -1e9), (1, 1), sensor_id=3)) == [GOOD, BAD]
    assert door.counts() == {"out_of_range": 2}


def test_quality_is_only_ever_lowered() -> None:
    door = Door([sensor(1, low=0, high=10)])
    assert door.deliver(readings((0, 99, STALE), (1, 99, BAD), (2, 99, UNCERTAIN), (3, 5, UNCERTAIN))) == [
        STALE, BAD, BAD, UNCERTAIN,
    ]  # fmt: skip


def test_a_value_that_stays_is_uncertain_after_the_time_that_is_allowed() -> None:
    door = Door([sensor(1, flat_line_s=10)])
    assert door.deliver(readings((0, 7), (5, 7), (10, 7), (11, 7))) == [GOOD, GOOD, GOOD, UNCERTAIN]
    assert door.deliver(readings((12, 7), (13, 8), (14, 7), (25, 7))) == [UNCERTAIN, GOOD, GOOD, UNCERTAIN]
    assert door.counts() == {"flat_line": 3}


def test_a_spike_is_uncertain_and_the_level_stays() -> None:
    door = Door([sensor(1, spike=5)])
    assert door.deliver(readings((0, 1), (1, 2), (2, 50), (3, 2), (4, -50), (5, 50), (6, 3))) == [
        GOOD, GOOD, UNCERTAIN, GOOD, UNCERTAIN, UNCERTAIN, GOOD,
    ]  # fmt: skip
    assert door.counts() == {"spike": 3}


def test_the_third_reading_that_agrees_makes_a_new_level() -> None:
    door = Door([sensor(1, spike=5)])
    assert door.deliver(readings((0, 1), (1, 50), (2, 52), (3, 51), (4, 50))) == [
        GOOD, UNCERTAIN, UNCERTAIN, GOOD, GOOD,
    ]  # fmt: skip
    assert door.deliver(readings((5, 1))) == [UNCERTAIN]


def test_readings_that_do_not_agree_with_each_other_make_no_level() -> None:
    door = Door([sensor(1, spike=5)])
    assert door.deliver(readings((0, 1), *((second, 50.0 * second) for second in range(1, 9)))) == [GOOD] + 8 * [1]


def test_bad_and_stale_readings_are_no_values_to_compare_with() -> None:
    door = Door([sensor(1, low=-100, spike=5, flat_line_s=3)])
    rows = [(0, 1), (1, 90, BAD), (2, 90, STALE), (3, -900), (4, 2), (5, 2), (6, 90, BAD), (7, 2), (8, 2)]
    assert door.deliver(readings(*rows)) == [GOOD, BAD, STALE, BAD, GOOD, GOOD, BAD, GOOD, UNCERTAIN]


def test_readings_too_close_and_too_far_apart_are_counted_and_keep_their_quality() -> None:
    door = Door([sensor(1, rate_s=2)])
    assert set(door.deliver(readings((0, 1), (2, 2), (2.9, 3), (3.9, 4), (7.9, 5), (11.91, 6)))) == {GOOD}
    assert door.counts() == {"wrong_rate": 2}


def test_a_clock_that_goes_back_further_than_a_reading_is_counted() -> None:
    door = Door([sensor(1, rate_s=2), sensor(2, flat_line_s=600)])
    door.deliver(readings((10, 1), (12, 2), (11, 3), (10.5, 4), (9.9, 5), (3, 6), (14, 7)))
    assert door.counts() == {"clock_jump_back": 2}
    door.deliver(readings((10, 1), (13, 2), (11, 3), (9, 4), sensor_id=2))
    door.deliver(readings((9.5, 1), (8, 4), (14, 5), (12.5, 4), sensor_id=2))
    assert door.counts(2) == {"clock_jump_back": 4}


def test_without_a_rate_and_with_one_reading_no_clock_goes_back() -> None:
    door = Door([sensor(1, flat_line_s=600)])
    door.deliver(readings((10, 1), (3, 2)))
    assert door.counts() == {}


def test_another_value_for_an_instant_is_counted_for_any_sensor() -> None:
    door = Door([sensor(1), sensor(2, rate_s=1)])
    for id_ in (1, 2):
        door.deliver(readings((0, 1), (0, 1), (0, 2), (1, 5), sensor_id=id_))
        assert door.counts(id_) == {"repeated_time": 1}


def test_late_readings_are_compared_with_nothing_but_the_range() -> None:
    door = Door([sensor(1, low=0, spike=5, flat_line_s=1, rate_s=1)])
    door.deliver(readings((10, 1), (11, 2)))
    assert door.deliver(readings((5, 90), (6, 90), (9, 90), (4, -1), (12, 3))) == [GOOD, GOOD, GOOD, BAD, GOOD]
    assert door.counts() == {"out_of_range": 1, "clock_jump_back": 4}


def test_late_readings_alone_do_not_bring_a_clock_back() -> None:
    door = Door([sensor(1, spike=5)])
    for second, value, quality in ((10, 1, GOOD), (5, 90, GOOD), (7, 90, GOOD), (11, 90, UNCERTAIN)):
        assert door.deliver(readings((second, value))) == [quality]


def test_a_spike_that_is_over_counts_nothing_towards_a_new_level() -> None:
    door = Door([sensor(1, spike=5)])
    for second, value in enumerate((1, 50, 1, 50, 50)):
        assert door.deliver(readings((second, value))) == [GOOD if value == 1 else UNCERTAIN]


def test_judging_changes_no_state() -> None:
    state = DoorCheckState(PLANT)
    state.fold(readings((0, 1), (2, 30), sensor_id=2))
    before = state.snapshot()
    state.judge(readings((3, 30), (4, 30), (1, 7), sensor_id=2))
    assert DoorCheckState(PLANT).snapshot() != before == state.snapshot()


def test_historical_readings_are_not_compared() -> None:
    state = DoorCheckState([sensor(1, low=0, spike=5)])
    state.fold(readings((0, 1)))
    batch = readings((1, 90), (2, -1), (3, 90))
    judged = state.judge(batch, np.array([True, True, False]))
    assert judged.batch.quality.tolist() == [GOOD, BAD, UNCERTAIN]


def test_sensors_without_checks_are_left_as_they_are() -> None:
    state = DoorCheckState([sensor(1), sensor(7, spike=1)])
    batch = ReadingBatch.of([BEGIN] * 3, [1, 8, 2**31 - 1], [1e300, 0, 0])
    judged = state.judge(batch)
    assert judged.batch is batch
    assert judged.found == {}
    assert state.sensor_ids.tolist() == [7]


def test_the_state_goes_over_to_the_sensors_that_are_left_and_new_ones_start_fresh() -> None:
    before = DoorCheckState([sensor(1, spike=5), sensor(2, spike=5), sensor(3, spike=5)])
    for id_ in (1, 2, 3):
        before.fold(readings((0, 10 * id_), sensor_id=id_))
    after = DoorCheckState([sensor(2, spike=1), sensor(4, spike=5), sensor(3, low=0)])
    after.restore(before.snapshot())
    assert after.judge(readings((1, 22), sensor_id=2)).batch.quality.tolist() == [UNCERTAIN]
    assert after.judge(readings((1, 99), sensor_id=4)).batch.quality.tolist() == [GOOD]
    assert after.judge(readings((1, 99), sensor_id=3)).batch.quality.tolist() == [GOOD]


def test_what_was_judged_before_a_restore_is_not_taken_over_after_it() -> None:
    state = DoorCheckState([sensor(1, spike=5)])
    low, high = readings((1, 2)), DoorCheckState([sensor(1, spike=5)])
    high.fold(readings((0, 90)))
    state.judge(low)
    state.restore(high.snapshot())
    state.fold(low)
    assert state.judge(readings((2, 91))).batch.quality.tolist() == [GOOD]


def test_what_is_folded_counts_not_what_was_judged() -> None:
    state = DoorCheckState([sensor(1, spike=5)])
    state.judge(readings((0, 90)))
    state.fold(readings((0, 1)))
    assert state.judge(readings((1, 2))).batch.quality.tolist() == [GOOD]


def test_a_damaged_state_is_said_to_be_damaged() -> None:
    with pytest.raises(StateError):
        DoorCheckState([sensor(1, spike=5)]).restore(b"nonsense")


def test_what_was_turned_away_is_counted_by_sensor() -> None:
    findings = counted(np.array([4, 9, 4], np.int32), Finding.FUTURE)
    findings.update(counted(np.array([4], np.int32), Finding.FUTURE))
    assert findings == {(4, Finding.FUTURE): 3, (9, Finding.FUTURE): 1}


# What the checks mean, reading by reading --------------------------------------------------------------------------


class Plainly:
    """The comparing checks of one sensor, written for reading."""

    def __init__(self, checks: DoorChecks) -> None:
        self.checks = checks
        self.newest: int | None = None
        self.distance: float | None = None
        self.held: tuple[float, int] | None = None
        self.level: float | None = None
        self.suspicious: list[float] = []

    def judge(self, time: int, value: float, quality: int) -> tuple[int, set[Finding]]:
        found = set[Finding]()
        low, high = self.checks.low, self.checks.high
        if (low is not None and value < low) or (high is not None and value > high):
            quality = max(quality, BAD)
            found.add(Finding.OUT_OF_RANGE)
        if quality == STALE or (self.checks.flat_line_s, self.checks.spike, self.checks.rate_s) == (None, None, None):
            return quality, found
        rate = None if self.checks.rate_s is None else self.checks.rate_s * SECOND
        if self.newest is not None and time <= self.newest:
            usual = rate or self.distance
            if usual is not None and self.newest - time > usual:
                found.add(Finding.CLOCK_JUMP_BACK)
            return quality, found
        if self.newest is not None:
            self.distance = time - self.newest
            if rate is not None and not rate / 2 <= self.distance <= 2 * rate:
                found.add(Finding.WRONG_RATE)
        self.newest = time
        if quality >= BAD:
            return quality, found
        if self.held is None or self.held[0] != value:
            self.held = value, time
        if self.checks.flat_line_s is not None and time - self.held[1] > self.checks.flat_line_s * SECOND:
            found.add(Finding.FLAT_LINE)
        if self._is_spike(value):
            found.add(Finding.SPIKE)
        return max(quality, UNCERTAIN) if found & {Finding.FLAT_LINE, Finding.SPIKE} else quality, found

    def _is_spike(self, value: float) -> bool:
        limit = self.checks.spike
        if limit is None or self.level is None or abs(value - self.level) <= limit:
            self.level, self.suspicious = value, []
            return False
        if self.suspicious and abs(value - self.suspicious[-1]) > limit:
            self.suspicious = []
        self.suspicious.append(value)
        if len(self.suspicious) == 3:
            self.level, self.suspicious = value, []
            return False
        return True


PLANT = [
    sensor(2, low=-10, high=60, flat_line_s=3, spike=5, rate_s=1),
    sensor(3, flat_line_s=2),
    sensor(5, spike=5),
    sensor(6, low=0),
    sensor(9),
]
VALUES = st.sampled_from([0.0, 0.0, 0.0, 1.0, 30.0, 30.0, 32.0, -20.0, 90.0])
QUALITIES = st.sampled_from([GOOD, GOOD, GOOD, GOOD, UNCERTAIN, BAD, STALE])
SENSORS = st.sampled_from([2, 2, 2, 2, 3, 5, 5, 6, 9])
ROWS = st.lists(st.tuples(st.integers(0, 25), SENSORS, VALUES, QUALITIES), max_size=60)
# In order of time, as most streams are, in which every check finds something; and in any.
STREAMS = st.one_of(
    ROWS.map(lambda rows: [(BEGIN + second * SECOND, *row) for second, *row in rows]),
    ROWS.map(lambda rows: [(BEGIN + place * SECOND, *row) for place, (_, *row) in enumerate(rows)]),
)
STEPS = st.lists(st.sampled_from(["", "", "cut", "crash", "checkpoint"]), min_size=60, max_size=60)


def without_second_thoughts(rows: Sequence[Row]) -> list[Row]:
    """Leaves out what comes at the instant of a stale reading.

    The store takes it for a repetition; whether its time counts as seen depends on what is in the batch with it.
    """
    stale = set[tuple[int, int]]()
    kept = []
    for row in rows:
        if row[:2] not in stale:
            kept.append(row)
        if row[3] == STALE:
            stale.add(row[:2])
    return kept


def plainly(rows: Sequence[Row]) -> tuple[dict[tuple[int, int], tuple[float, int]], Findings]:
    """What is stored and counted of rows in order of arrival."""
    known = {each.id: Plainly(each.checks) for each in PLANT}
    stored: dict[tuple[int, int], tuple[float, int]] = {}
    findings = Findings()
    for time, sensor_id, value, quality in rows:
        lowered, found = known[sensor_id].judge(time, value, quality)
        there = stored.get((sensor_id, time))
        if there is None:
            stored[sensor_id, time] = value, lowered
            findings.update((sensor_id, finding) for finding in found)
        elif there[0] != value or there[1] < lowered:
            findings[sensor_id, Finding.REPEATED_TIME] += 1
    return stored, findings


@settings(max_examples=200, deadline=None)
@given(STREAMS, STEPS)
def test_any_cut_crash_and_checkpoint_comes_to_what_reading_by_reading_does(rows: list[Row], steps: list[str]) -> None:
    door, rows = Door(PLANT), without_second_thoughts(rows)
    places = [0, *(place for place in range(1, len(rows)) if steps[place]), len(rows)]
    for begin, end in pairwise(places):
        if steps[begin] == "checkpoint":
            door.write_checkpoint()
        if steps[begin] == "crash":
            door.crash()
        door.deliver(batch_of(rows[begin:end]))
    assert (door.stored, +door.findings) == plainly(rows)


@given(STREAMS, st.integers(0, 60), st.integers(0, 60))
def test_what_is_delivered_again_after_a_crash_changes_nothing(rows: list[Row], cut: int, again: int) -> None:
    # Of two values for one instant the second is refused, and counted, as often as it comes.
    rows = list({(row[0], row[1]): row for row in rows}.values())
    twice, once = Door(PLANT), Door(PLANT)
    for door in (twice, once):
        door.deliver(batch_of(rows[:cut]))
    twice.crash()
    twice.deliver(batch_of(rows[max(0, cut - again) : cut]))
    for door in (twice, once):
        door.deliver(batch_of(rows[cut:]))
    assert (twice.stored, +twice.findings) == (once.stored, +once.findings)
