"""`RunningGate`: only running machines are judged."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.operating import RunningGate
from telemetry.batch import ReadingBatch
from telemetry.plant import AssetState
from telemetry.quality import Quality

STATE, VIBRATION, OTHER = 1, 2, 3
SETTLE_S = 10


def gate() -> RunningGate:
    return RunningGate({VIBRATION: STATE}, settle_s=SETTLE_S)


def batch(rows: list[tuple[int, int, float]], quality: list[int] | None = None) -> ReadingBatch:
    return ReadingBatch.of([r[0] * 1_000_000 for r in rows], [r[1] for r in rows], [r[2] for r in rows], quality)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param([(0, VIBRATION, 1)], [True], id="no state known: taken to run"),
        pytest.param(
            [(0, STATE, AssetState.RUNNING), (1, VIBRATION, 1)], [True, True], id="runs when recording begins"
        ),
        pytest.param([(0, STATE, AssetState.STOPPED), (1, VIBRATION, 1)], [True, False], id="stopped"),
        pytest.param([(0, STATE, AssetState.FAILED), (1, VIBRATION, 1)], [True, False], id="failed"),
        pytest.param(
            [(0, STATE, 0), (5, STATE, 1), (14, VIBRATION, 1), (15, VIBRATION, 1)],
            [True, True, False, True],
            id="settles after a start",
        ),
        pytest.param(
            [(0, STATE, 1), (60, STATE, 1), (61, VIBRATION, 1)], [True] * 3, id="a repeated state is no start"
        ),
        pytest.param(
            [(9, STATE, 1), (5, STATE, 0), (10, VIBRATION, 1)], [True] * 3, id="a state out of order does not count"
        ),
        pytest.param([(0, STATE, 0), (1, OTHER, 1)], [True, True], id="sensors of other assets pass"),
    ],
)
def test_readings_pass_while_the_asset_runs(rows: list[tuple[int, int, float]], expected: list[bool]) -> None:
    assert gate().running(batch(rows)).tolist() == expected


def test_a_state_of_bad_quality_does_not_count() -> None:
    rows = batch([(0, STATE, 0), (1, VIBRATION, 1)], [Quality.BAD, Quality.GOOD])
    assert gate().running(rows).tolist() == [True, True]


ROWS = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from([STATE, VIBRATION, OTHER]), st.sampled_from([0.0, 1.0, 2.0])),
    max_size=40,
)


@given(rows=ROWS, cuts=st.lists(st.integers(0, 40), max_size=6))
def test_the_answer_does_not_depend_on_how_the_stream_is_cut_nor_on_a_restart(
    rows: list[tuple[int, int, float]], cuts: list[int]
) -> None:
    whole = gate().running(batch(rows)).tolist()
    pieces: list[bool] = []
    current = gate()
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    for begin, end in pairwise(edges):
        pieces += current.running(batch(rows[begin:end])).tolist()
        restored = gate()
        restored.restore(current.snapshot())
        current = restored
    assert pieces == whole


def test_a_state_sensor_added_later_leaves_the_others_as_they_were() -> None:
    before = gate()
    before.running(batch([(0, STATE, 0)]))
    after = RunningGate({VIBRATION: STATE, 12: 11}, settle_s=SETTLE_S)
    after.restore(before.snapshot())
    assert after.running(batch([(1, VIBRATION, 1), (1, 12, 1)])).tolist() == [False, True]
    assert after.state_sensors.dtype == np.int32
