"""The choice of a resolution by what the rollups count."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.batch import EPOCH
from telemetry.buckets import Resolution
from telemetry.resolution import Choice, Tally, choose, source_of

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def tally(counts: dict[int, int], step: timedelta = HOUR, sensor_id: int = 1) -> Tally:
    """Readings by number of the bucket since 1970."""
    return Tally(
        step=step,
        time=np.array([number * (step // timedelta(microseconds=1)) for number in counts], np.int64),
        sensor_id=np.full(len(counts), sensor_id, np.int32),
        count=np.array(list(counts.values()), np.int64),
    )


CASES = {
    "few enough to show each": (dict.fromkeys(range(24), 4), HOUR, 96, Resolution.RAW, timedelta(0)),
    "one too many": (dict.fromkeys(range(24), 4), HOUR, 95, Resolution.MINUTE, 30 * MINUTE),
    "a day at 1 Hz": (dict.fromkeys(range(24), 3600), HOUR, 1440, Resolution.MINUTE, MINUTE),
    "a day at 1 Hz, less room": (dict.fromkeys(range(24), 3600), HOUR, 1000, Resolution.MINUTE, 2 * MINUTE),
    "a year": (dict.fromkeys(range(365), 86_400), DAY, 1000, Resolution.HOUR, 12 * HOUR),
    "a year, with room": (dict.fromkeys(range(365), 86_400), DAY, 9000, Resolution.HOUR, HOUR),
    "a year, little room": (dict.fromkeys(range(365), 86_400), DAY, 100, Resolution.DAY, 4 * DAY),
    "all in one hour": ({0: 3600}, HOUR, 60, Resolution.MINUTE, MINUTE),
    "nothing": ({}, HOUR, 100, Resolution.RAW, timedelta(0)),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_finest_that_fits_is_chosen(
    case: tuple[dict[int, int], timedelta, int, Resolution, timedelta],
) -> None:
    counts, step, points, resolution, width = case
    assert choose(tally(counts, step), points) == Choice(resolution=resolution, step=width)


def test_nothing_finer_than_wanted_is_chosen() -> None:
    hours = tally(dict.fromkeys(range(24), 3600))
    assert choose(hours, 10_000, Resolution.HOUR) == Choice(resolution=Resolution.HOUR, step=HOUR)
    assert choose(hours, 10, Resolution.HOUR) == Choice(resolution=Resolution.HOUR, step=3 * HOUR)
    assert choose(hours, 10, Resolution.DAY) == Choice(resolution=Resolution.DAY, step=DAY)
    assert choose(tally({0: 5}), 10, Resolution.MINUTE) == Choice(resolution=Resolution.MINUTE, step=MINUTE)


def test_the_sensor_with_the_most_readings_decides() -> None:
    few, many = tally({0: 5}), tally({0: 50, 1: 50}, sensor_id=2)
    both = Tally(
        step=HOUR,
        time=np.concatenate((few.time, many.time)),
        sensor_id=np.concatenate((few.sensor_id, many.sensor_id)),
        count=np.concatenate((few.count, many.count)),
    )
    assert both.readings == 100
    assert both.buckets(HOUR) == 2
    assert both.buckets(30 * MINUTE) == 4


@given(
    minutes=st.lists(st.integers(0, 60 * 24 * 40), min_size=1, max_size=80),
    points=st.integers(1, 60),
    step=st.sampled_from([MINUTE, HOUR, DAY]),
)
def test_there_are_never_more_rows_than_points(minutes: list[int], points: int, step: timedelta) -> None:
    numbers, counts = np.unique(np.array(minutes) // (step // MINUTE), return_counts=True)
    choice = choose(tally(dict(zip(numbers.tolist(), counts.tolist(), strict=True)), step), points)
    rows = (
        len(minutes) if choice.resolution is Resolution.RAW else len({at // (choice.step // MINUTE) for at in minutes})
    )
    assert rows <= points


def test_the_coarsest_exact_source_of_a_step() -> None:
    noon = datetime(2026, 3, 2, 12, tzinfo=UTC)
    assert source_of(2 * DAY) is Resolution.DAY
    assert source_of(2 * DAY, noon) is Resolution.HOUR
    assert source_of(2 * DAY, noon + MINUTE) is Resolution.MINUTE
    assert source_of(2 * DAY, noon + timedelta(seconds=1)) is Resolution.RAW
    assert source_of(90 * MINUTE, EPOCH) is Resolution.MINUTE
    assert source_of(timedelta(seconds=90)) is Resolution.RAW
    assert source_of(timedelta(0)) is Resolution.RAW
