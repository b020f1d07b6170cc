"""Scores are reported by exception, and a rule at the limit cannot tell the difference."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.contract import ALARM
from models.reporting import ScoreReports
from telemetry.batch import ReadingBatch

S = 1_000_000
IDS = np.array([4, 9], np.int32)


def scores(*columns: list[float], first: int = 0) -> ReadingBatch:
    """A score a second of each sensor."""
    parts = [
        ReadingBatch.of((np.arange(len(column)) + first) * S, np.full(len(column), IDS[place]), column)
        for place, column in enumerate(columns)
    ]
    return ReadingBatch.concat(parts)


def test_usual_scores_are_told_once_in_a_while() -> None:
    told = ScoreReports(IDS, every_s=10.0).select(scores([0.5] * 25))
    assert np.flatnonzero(told).tolist() == [0, 10, 20]


def test_crossing_the_limit_is_told_at_once_both_ways() -> None:
    told = ScoreReports(IDS, every_s=100.0).select(scores([0.5, 0.9, 1.0, 1.1, 0.99, 0.2]))
    assert np.flatnonzero(told).tolist() == [0, 2, 4]


def test_above_the_limit_every_change_by_a_quarter_is_told() -> None:
    told = ScoreReports(IDS, every_s=100.0).select(scores([1.0, 1.1, 1.2, 1.3, 2.0, 2.1, 40.0, 41.0, 1.0]))
    assert np.flatnonzero(told).tolist() == [0, 3, 4, 6, 8]


def test_sensors_do_not_influence_each_other() -> None:
    told = ScoreReports(IDS, every_s=100.0).select(scores([2.0, 2.0], [0.1, 0.1]))
    assert told.tolist() == [True, False, True, False]


@given(
    values=st.lists(st.floats(0.0, 30.0), min_size=1, max_size=60),
    cuts=st.sets(st.integers(1, 59), max_size=5),
    restart=st.booleans(),
)
def test_cuts_and_restarts_change_nothing_and_the_limit_is_crossed_at_the_same_readings(
    values: list[float], cuts: set[int], restart: bool
) -> None:
    whole = ScoreReports(IDS, every_s=7.0).select(scores(values))
    reports = ScoreReports(IDS, every_s=7.0)
    found: list[bool] = []
    for start, end in pairwise(sorted({0, len(values), *(cut for cut in cuts if cut < len(values))})):
        if restart:
            body = reports.snapshot()
            reports = ScoreReports(IDS, every_s=7.0)
            reports.restore(body)
        found += reports.select(scores(values[start:end], first=start)).tolist()
    assert found == whole.tolist()
    held = np.maximum.accumulate(np.where(whole, np.arange(len(values)), 0))
    np.testing.assert_array_equal(np.array(values)[held] >= ALARM, np.array(values) >= ALARM)
