"""Mean, spread and merging of rollups, without a database."""

import statistics
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.batch import EPOCH
from telemetry.buckets import Buckets, Value, ceiling, floor

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
MINUTE_US = 60_000_000

# Quarters: their sums and squares are exact in float64.
VALUE = st.integers(-4000, 4000).map(lambda quarters: quarters / 4)
READING = st.tuples(st.integers(1, 3), st.integers(0, 300), VALUE, st.sampled_from([0, 0, 1, 2]))


def rolled_up(readings: list[tuple[int, int, float, int]], minutes: int = 1) -> Buckets:
    """Readings of (sensor, minute, value, quality) in buckets, one by one."""
    groups: dict[tuple[int, int], list[tuple[float, int]]] = {}
    for sensor_id, minute, value, quality in sorted(readings, key=lambda reading: reading[:2]):
        groups.setdefault((sensor_id, minute // minutes * minutes), []).append((value, quality))
    usable = [np.array([value for value, quality in group if quality <= 1]) for group in groups.values()]

    def column(function: Callable[[Value], np.float64]) -> Value:
        return np.array([function(values) if values.size else np.nan for values in usable], np.float64)

    return Buckets(
        step=minutes * MINUTE,
        time=np.array([minute * MINUTE_US for _, minute in groups], np.int64),
        sensor_id=np.array([sensor_id for sensor_id, _ in groups], np.int32),
        count=np.array([len(group) for group in groups.values()], np.int64),
        good_count=np.array([sum(quality == 0 for _, quality in group) for group in groups.values()], np.int64),
        usable_count=np.array([values.size for values in usable], np.int64),
        min=column(np.min),
        max=column(np.max),
        sum=column(np.sum),
        sum_sq=column(lambda values: np.sum(values * values)),
        first=column(lambda values: values[0]),
        last=column(lambda values: values[-1]),
    )


def one(values: list[float]) -> Buckets:
    return rolled_up([(1, 0, value, 0) for value in values])


@given(readings=st.lists(READING, max_size=60), minutes=st.sampled_from([1, 2, 5, 60, 1440]))
def test_merged_buckets_are_those_of_the_same_readings(
    readings: list[tuple[int, int, float, int]], minutes: int
) -> None:
    merged, expected = rolled_up(readings).merged(minutes * MINUTE), rolled_up(readings, minutes)
    assert merged.step == expected.step
    for name in ("time", "sensor_id", "count", "good_count", "usable_count", "min", "max", "sum", "sum_sq"):
        np.testing.assert_array_equal(getattr(merged, name), getattr(expected, name), err_msg=name)
    # Of equal times in one minute here any is first: the sort above keeps the order given.
    np.testing.assert_array_equal(merged.first, expected.first)
    np.testing.assert_array_equal(merged.last, expected.last)


def test_buckets_are_not_made_of_wider_or_uneven_ones() -> None:
    with pytest.raises(ValueError, match="cannot be made"):
        one([1.0]).merged(timedelta(seconds=90))


@given(readings=st.lists(READING, max_size=40))
def test_mean_and_standard_deviation_are_those_of_the_usable_readings(
    readings: list[tuple[int, int, float, int]],
) -> None:
    buckets = rolled_up(readings, 60)
    for row in range(len(buckets)):
        values = [
            value
            for sensor_id, minute, value, quality in readings
            if sensor_id == buckets.sensor_id[row]
            and minute // 60 * 60 * MINUTE_US == buckets.time[row]
            and quality <= 1
        ]
        if values:
            assert buckets.mean[row] == pytest.approx(np.mean(values), abs=1e-9)
            assert buckets.standard_deviation[row] == pytest.approx(np.std(values), abs=1e-4)
        else:
            assert np.isnan(buckets.mean[row])
            assert np.isnan(buckets.standard_deviation[row])


@given(values=st.lists(st.floats(-1e150, 1e150), min_size=1, max_size=20))
def test_the_spread_is_right_or_not_known(values: list[float]) -> None:
    buckets = one(values)
    [mean], [spread] = buckets.mean, buckets.standard_deviation
    assert min(values) <= mean <= max(values)
    if not np.isnan(spread):
        # Not NumPy's: of three equal numbers of 3e15 it says 0.5.
        assert spread == pytest.approx(statistics.pstdev(values), rel=0.06, abs=1e-150)
    else:
        assert np.std(values) < 1e-6 * np.max(np.abs(values))


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1e8] * 100, 0.0), ([7.0], 0.0), ([-3.0, 3.0], 3.0), ([60.0, 60.02] * 1800, 0.01)],
    ids=["constant", "one reading", "two readings", "small beside an offset"],
)
def test_the_spread_of(values: list[float], expected: float) -> None:
    assert one(values).standard_deviation[0] == pytest.approx(expected, rel=0.001)


def test_a_spread_that_drowned_in_a_large_offset_is_not_known() -> None:
    assert np.isnan(one([1e8, 1e8 + 0.02] * 50).standard_deviation[0])


def test_squares_that_overflowed_leave_the_mean_and_hide_the_spread() -> None:
    buckets = one([1.0, 3.0])
    buckets.sum_sq[0] = np.inf
    assert buckets.mean[0] == 2.0
    assert np.isnan(buckets.standard_deviation[0])


def test_a_sum_that_overflowed_hides_both() -> None:
    buckets = one([1.0])
    buckets.sum[0] = buckets.sum_sq[0] = np.inf
    assert np.isnan(buckets.mean[0])
    assert np.isnan(buckets.standard_deviation[0])


def test_buckets_begin_at_whole_steps_since_1970_in_utc() -> None:
    moment = datetime(2026, 3, 2, 10, 17, 5, tzinfo=UTC)
    assert floor(moment, 15 * MINUTE) == datetime(2026, 3, 2, 10, 15, tzinfo=UTC)
    assert ceiling(moment, HOUR) == datetime(2026, 3, 2, 11, tzinfo=UTC)
    assert ceiling(EPOCH, HOUR) == floor(EPOCH, HOUR) == EPOCH
