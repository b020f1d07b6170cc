"""Gaps: silence and bad values, apart from each other."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.batch import ReadingBatch, to_micros
from telemetry.buckets import Buckets
from telemetry.gaps import Gap, Sightings, find_gaps, silent_after

T0 = datetime(2026, 3, 2, tzinfo=UTC)
SECOND = timedelta(seconds=1)
GOOD, UNCERTAIN, BAD, STALE = range(4)


def readings(*points: tuple[float, int]) -> Sightings:
    """Readings of (seconds after T0, quality)."""
    times = [to_micros(T0 + at * SECOND) for at, _ in points]
    return Sightings.of_readings(
        ReadingBatch.of(times, [1] * len(times), [0] * len(times), [quality for _, quality in points])
    )


def gaps(sightings: Sightings, end_s: float = 100, tolerance_s: float | None = 10) -> list[tuple[float, float, str]]:
    tolerance = None if tolerance_s is None else tolerance_s * SECOND
    found = find_gaps(sightings, T0, T0 + end_s * SECOND, tolerance)
    return [((gap.begin - T0) / SECOND, (gap.end - T0) / SECOND, gap.reason) for gap in found]


def every(step: int, begin: int, end: int, quality: int = GOOD) -> list[tuple[float, int]]:
    return [(at, quality) for at in range(begin, end, step)]


CASES = {
    "none": (every(10, 0, 100), []),
    "in the middle": ([*every(10, 0, 40), *every(10, 60, 100)], [(30, 60, "silent")]),
    "before the first": (every(10, 50, 100), [(0, 50, "silent")]),
    "after the last": (every(10, 0, 60), [(50, 100, "silent")]),
    "as long as may be": ([*every(10, 0, 50), (50, GOOD), *every(10, 60, 100)], []),
    "nothing at all": ([], [(0, 100, "silent")]),
    "one bad reading": ([*every(10, 0, 30), (30, BAD), *every(10, 40, 100)], [(30, 40, "unusable")]),
    "several are one": ([*every(10, 0, 30), *every(10, 30, 60, STALE), *every(10, 60, 100)], [(30, 60, "unusable")]),
    "uncertain is usable": ([*every(10, 0, 30), (30, UNCERTAIN), *every(10, 40, 100)], []),
    "bad, then silence": (
        [*every(10, 0, 30), (30, BAD), (40, BAD), *every(10, 80, 100)],
        [(30, 40, "unusable"), (40, 80, "silent")],
    ),
    "silence, then bad": ([(0, GOOD), (30, BAD), *every(10, 40, 100)], [(0, 30, "silent"), (30, 40, "unusable")]),
    "bad until the end": ([*every(10, 0, 90), (90, BAD)], [(90, 100, "unusable")]),
    "two silences with a reading between": (
        [(0, GOOD), (50, GOOD), *every(10, 90, 100)],
        [(0, 50, "silent"), (50, 90, "silent")],
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_gaps_between_readings(case: tuple[list[tuple[float, int]], list[tuple[float, float, str]]]) -> None:
    points, expected = case
    assert gaps(readings(*points)) == expected


def test_a_sensor_that_reports_when_it_likes_has_gaps_from_bad_values_only() -> None:
    assert gaps(readings((0, GOOD), (70, BAD), (90, GOOD)), tolerance_s=None) == [(70, 90, "unusable")]


def test_what_is_still_to_come_is_not_missing() -> None:
    assert gaps(readings(*every(10, 0, 60)), end_s=55) == []


def test_seconds_of_a_gap() -> None:
    assert Gap(begin=T0, end=T0 + 90 * SECOND, reason="silent").seconds == 90


INTERVALS = {
    "regular": ([1.0] * 100, 1.0),
    "one in twenty is an outage": ([1.0] * 19 + [500.0], 1.0),
    "at rest slower": ([1.0] * 50 + [60.0] * 50, 60.0),
    "jitter": ([0.9, 1.1, 1.0] * 30, 1.1),
    "too few": ([1.0, 1.0], None),
}


@pytest.mark.parametrize("case", INTERVALS.values(), ids=INTERVALS.keys())
def test_the_usual_interval(case: tuple[list[float], float | None]) -> None:
    steps, expected = case
    sightings = readings(*[(at, GOOD) for at in np.cumsum([0.0, *steps]).tolist()])
    assert sightings.interval == (None if expected is None else expected * SECOND)


def test_silence_is_three_intervals() -> None:
    assert silent_after(20 * SECOND) == 60 * SECOND
    assert silent_after(None) is None


def buckets(counts: dict[int, tuple[int, int]], step: timedelta = 60 * SECOND) -> Sightings:
    """Buckets by number after T0: (readings, usable readings)."""
    count = np.array([count for count, _ in counts.values()], np.int64)
    usable = np.array([usable for _, usable in counts.values()], np.int64)
    value = np.where(usable > 0, 1.0, np.nan)
    return Sightings.of_buckets(
        Buckets(
            step=step,
            time=np.array([to_micros(T0 + number * step) for number in counts], np.int64),
            sensor_id=np.ones(len(counts), np.int32),
            count=count,
            good_count=usable,
            usable_count=usable,
            min=value,
            max=value,
            sum=value * usable,
            sum_sq=value * usable,
            first=value,
            last=value,
        )
    )


def test_a_missing_bucket_of_a_frequent_sensor_is_a_gap() -> None:
    sightings = buckets(dict.fromkeys([0, 1, 2, 3, 5, 6, 7, 8, 9], (60, 60)))
    assert sightings.interval == SECOND
    assert gaps(sightings, end_s=600, tolerance_s=3) == [(240, 300, "silent")]


def test_missing_buckets_of_a_slow_sensor_are_not() -> None:
    sightings = buckets(dict.fromkeys(range(0, 60, 10), (1, 1)))
    assert sightings.interval == 600 * SECOND
    assert gaps(sightings, end_s=3600, tolerance_s=1800) == []


def test_a_bucket_without_usable_readings_is_a_gap_of_its_own_kind() -> None:
    sightings = buckets({number: (60, 0 if number in {2, 3} else 58) for number in range(6)})
    assert gaps(sightings, end_s=360, tolerance_s=3) == [(120, 240, "unusable")]


POINTS = st.lists(st.tuples(st.integers(0, 99), st.integers(0, 3)), max_size=30, unique_by=lambda point: point[0])


@given(points=POINTS, tolerance_s=st.one_of(st.none(), st.integers(1, 50)))
def test_a_moment_is_in_a_gap_exactly_if_what_was_known_last_says_so(
    points: list[tuple[float, int]], tolerance_s: float | None
) -> None:
    found = gaps(readings(*sorted(points)), tolerance_s=tolerance_s)
    assert all(begin < end for begin, end, _ in found)
    assert all(one[1] <= other[0] for one, other in pairwise(found))
    for tick in range(100):
        moment = tick + 0.5
        before = max((point for point in points if point[0] <= moment), default=(0, GOOD))
        after = min((at for at, _ in points if at > moment), default=100)
        expected = "unusable" if points and before[1] >= BAD else None
        if not points or (tolerance_s is not None and after - before[0] > tolerance_s):
            expected = "silent"
        inside = [reason for begin, end, reason in found if begin <= moment < end]
        assert inside == ([expected] if expected else [])
