"""Lines for charts: never too many points, and nothing that matters left out."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.drawing import FEWEST_POINTS, draw, thin

HISTORIES = st.lists(
    st.tuples(st.integers(2, 10**9), st.floats(-1e6, 1e6), st.booleans()),
    max_size=200,
)
POINTS = st.integers(FEWEST_POINTS, 60)


def columns(history: list[tuple[int, float, bool]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    time = 1_700_000_000_000_000 + np.cumsum(np.array([step for step, _, _ in history], np.int64))
    value = np.array([value for _, value, _ in history], np.float64)
    return time, value, np.array([broken for _, _, broken in history[1:]], np.bool_)


@given(history=HISTORIES, points=st.integers(8, 60))
def test_first_last_lowest_and_highest_are_kept_in_never_too_many_points(
    history: list[tuple[int, float, bool]], points: int
) -> None:
    time, value, _ = columns(history)
    kept = thin(time, value, points)
    assert kept.size == min(kept.size, points)
    assert (np.diff(kept) > 0).all()
    if time.size:
        assert (kept[0], kept[-1]) == (0, time.size - 1)
        assert value[kept].min() == value.min()
        assert value[kept].max() == value.max()
    if time.size <= points:
        assert kept.size == time.size


@given(history=HISTORIES, points=POINTS)
def test_a_drawn_line_breaks_only_where_something_is_missing(
    history: list[tuple[int, float, bool]], points: int
) -> None:
    time, value, broken = columns(history)
    line = draw(time, value, broken, points)
    assert len(line) <= points
    assert (np.diff(line.time) > 0).all()
    breaks = np.isnan(line.value)
    known = np.searchsorted(time, line.time[~breaks])
    assert (time[known] == line.time[~breaks]).all()
    assert (value[known] == line.value[~breaks]).all()
    if time.size:
        assert value[known].min() == value.min()
        assert value[known].max() == value.max()
    for at in np.flatnonzero(breaks):
        left, right = np.searchsorted(time, line.time[[at - 1, at + 1]])
        assert broken[left:right].any()
    if time.size + broken.sum() <= points:
        assert breaks.sum() == broken.sum()
        assert known.size == time.size


def test_a_single_spike_in_a_million_readings_is_drawn() -> None:
    time = np.arange(1_000_000, dtype=np.int64) * 1_000_000
    value = np.sin(np.arange(time.size) / 3000)
    value[654_321] = 9.5
    kept = thin(time, value, 200)
    assert 654_321 in kept
    assert kept.size <= 200


def test_of_too_many_breaks_the_longest_show() -> None:
    steps = np.where(np.arange(1000) % 100 == 50, 900, 10)
    time = np.cumsum(steps).astype(np.int64)
    line = draw(time, np.arange(1000.0), np.ones(999, np.bool_), 40)
    breaks = np.flatnonzero(np.isnan(line.value))
    assert breaks.size == 10
    for position in np.flatnonzero(steps[1:] == 900):
        middle = time[position] + 450
        assert any(line.time[at - 1] <= middle <= line.time[at + 1] for at in breaks)


def test_fewer_points_than_a_line_needs_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        thin(np.arange(9, dtype=np.int64), np.zeros(9), 7)
