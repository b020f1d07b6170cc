"""Rules that apply only while another sensor says so."""

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.definition import Gate, Rule
from rules.gates import Gates
from rules.samples import Samples
from rules.signal import NoData, Signal, Value
from telemetry.batch import ReadingBatch
from telemetry.errors import StateError
from telemetry.quality import Quality

RUNNING = Gate(sensor_id=9, low=1.0, high=2.0)
SETTLING = Gate(sensor_id=9, low=1.0, high=2.0, settle_s=3e-6)
"""3 us"""

Point = tuple[int, float]
"""(us, value)"""


def rule(id_: int = 1, gate: Gate | None = RUNNING, signal: Signal | None = None) -> Rule:
    limits: dict[str, Any] = {"on_delay_s": 1.0} if isinstance(signal, NoData) else {"high": 10.0}
    return Rule(
        id=id_,
        name=f"rule{id_}",
        sensor_id=1,
        sensor_name="sensor1",
        asset_id=1,
        unit="",
        gate=gate,
        signal=signal or Value(),
        **limits,
    )


def fold(
    gates: Gates, until: int, gate: Sequence[Point] = (), samples: Sequence[Point] = (), quality: int = 0
) -> list[tuple[int, float | None]]:
    """The samples let through of rule 1; None is NaN."""
    readings = ReadingBatch.of(
        [time for time, _ in gate], [9] * len(gate), [value for _, value in gate], [quality] * len(gate)
    )
    before = Samples(
        signal=np.full(len(samples), -1, np.int32),
        time=np.array([time for time, _ in samples], np.int64),
        value=np.array([value for _, value in samples], np.float64),
    )
    after = gates.fold(before, readings, np.full(gates.signal.size, until, np.int64))
    mine = after.signal == -1
    return [
        (time, None if np.isnan(value) else value)
        for time, value in zip(after.time[mine].tolist(), after.value[mine].tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("gate", "readings", "samples", "expected"),
    [
        pytest.param(RUNNING, [(0, 1)], [(1, 5)], [(1, 5)], id="open"),
        pytest.param(RUNNING, [(0, 2)], [(1, 5)], [(1, 5)], id="both ends are within"),
        pytest.param(RUNNING, [(0, 2.1)], [(1, 5), (2, 6)], [(1, None)], id="closed: what may stand ends, no more"),
        pytest.param(RUNNING, [], [(1, 5), (2, 6)], [(1, None)], id="unknown is closed"),
        pytest.param(RUNNING, [(3, 1)], [(2, 4), (3, 5)], [(2, None), (3, 5)], id="at the opening instant it counts"),
        pytest.param(RUNNING, [(0, 1), (3, 0)], [(2, 5), (3, 6)], [(2, 5), (3, None)], id="at the closing it does not"),
        pytest.param(RUNNING, [(0, 1), (3, 0)], [(2, 5)], [(2, 5), (3, None)], id="the closing ends what stands"),
        pytest.param(
            RUNNING,
            [(0, 1), (3, 0), (4, 0), (6, 1)],
            [(2, 5), (5, 6), (7, 8)],
            [(2, 5), (3, None), (7, 8)],
            id="closed and open again",
        ),
        pytest.param(
            SETTLING, [(2, 1)], [(2, 4), (4, 5), (5, 6)], [(2, None), (5, 6)], id="only when settled, that included"
        ),
        pytest.param(SETTLING, [(2, 1), (5, 0)], [(5, 6)], [(5, None)], id="closed when it would have settled"),
        pytest.param(
            SETTLING,
            [(2, 1), (4, 0), (5, 1)],
            [(6, 4), (7, 5), (8, 6)],
            [(6, None), (8, 6)],
            id="settling begins anew",
        ),
        pytest.param(SETTLING, [(2, 1), (4, 2)], [(4, 4), (5, 5)], [(4, None), (5, 5)], id="open stays open"),
    ],
)
def test_which_samples_count(
    gate: Gate, readings: Sequence[Point], samples: Sequence[Point], expected: list[tuple[int, float | None]]
) -> None:
    assert fold(Gates([rule(gate=gate)]), 10, readings, samples) == expected


@pytest.mark.parametrize("quality", [Quality.BAD, Quality.STALE])
def test_bad_and_stale_states_change_nothing(quality: Quality) -> None:
    gates = Gates([rule()])
    assert fold(gates, 1, [(0, 1)], [(1, 5)]) == [(1, 5)]
    assert fold(gates, 3, [(2, 0)], [(3, 6)], quality=quality) == [(3, 6)]


def test_an_uncertain_state_counts() -> None:
    gates = Gates([rule()])
    assert fold(gates, 1, [(0, 1)], [(1, 5)], quality=Quality.UNCERTAIN) == [(1, 5)]


def test_samples_of_other_rules_pass() -> None:
    gates = Gates([rule(2)])
    assert fold(gates, 5, [], [(1, 5)]) == [(1, 5)]
    assert fold(Gates([]), 5, [], [(1, 5)]) == [(1, 5)]


def test_rules_with_the_same_gate_close_together_and_others_do_not() -> None:
    other = Gate(sensor_id=9, low=0.0, high=2.0)
    gates = Gates([rule(1), rule(2), rule(3, other), rule(4, Gate(sensor_id=8))])
    readings = ReadingBatch.of([0, 5], [9, 9], [1.0, 0.0])
    none = Samples.empty()
    told = gates.fold(none, readings, np.full(4, 9, np.int64))
    assert (told.signal.tolist(), told.time.tolist()) == ([-2, -1], [5, 5])
    assert np.isnan(told.value).all()


SILENT = NoData(sensor_ids=(1,))


def test_silence_counts_from_when_the_gate_has_settled() -> None:
    gates = Gates([rule(gate=SETTLING, signal=SILENT)])
    assert fold(gates, 1, [], [(1, 0), (1, 1)]) == [(1, None)]
    assert gates.waiting().tolist() == []
    assert fold(gates, 4, [(4, 1)]) == []
    assert gates.waiting().tolist() == [-1]
    assert fold(gates, 6) == []
    assert fold(gates, 8) == [(7, 1)]
    assert gates.waiting().tolist() == []


def test_a_value_from_before_the_opening_does_not_count() -> None:
    gates = Gates([rule()])
    assert fold(gates, 8, [(0, 0), (4, 1)], [(1, 99)]) == [(1, None)]


def test_a_gate_whose_ends_were_changed_is_as_its_sensor_said_last() -> None:
    gates = Gates([rule()])
    assert fold(gates, 2, [(1, 1.5)], [(2, 5)]) == [(2, 5)]
    narrower = Gates([rule(gate=Gate(sensor_id=9, low=1.8))])
    narrower.restore(gates.snapshot())
    assert fold(narrower, 4, [], [(3, 6), (4, 7)]) == [(3, None)]
    wider = Gates([rule(gate=Gate(sensor_id=9, low=1.2))])
    wider.restore(gates.snapshot())
    assert fold(wider, 4, [], [(3, 6)]) == [(3, 6)]


def test_a_damaged_snapshot_is_refused() -> None:
    with pytest.raises(StateError):
        Gates([rule()]).restore(b"nonsense")


@settings(deadline=None)
@given(
    states=st.lists(st.tuples(st.integers(1, 40), st.sampled_from([0.0, 1.0, 2.0])), unique_by=lambda each: each[0]),
    times=st.lists(st.integers(1, 40), unique=True),
    settle=st.integers(0, 5),
    signal=st.sampled_from([Value(), SILENT]),
    cut=st.randoms(use_true_random=False),
)
def test_any_cut_lets_the_same_samples_through(
    states: list[Point], times: list[int], settle: int, signal: Signal, cut: random.Random
) -> None:
    gated = [rule(gate=Gate(sensor_id=9, low=1.0, settle_s=settle * 1e-6), signal=signal)]
    samples = [(time, float(time)) for time in sorted(times)]
    states.sort()
    whole = fold(Gates(gated), 50, states, samples)
    gates, pieces, before = Gates(gated), [], 0
    for until in sorted({*(cut.randint(0, 50) for _ in range(5)), 50}):
        pieces += fold(
            gates,
            until,
            [point for point in states if before < point[0] <= until],
            [point for point in samples if before < point[0] <= until],
        )
        before = until
        parts = gates.snapshot()
        gates = Gates(gated)
        gates.restore(parts)
    assert pieces == whole

    open_at = _by_definition(states, settle)
    let_through = [time for time, value in whole if value is not None and (time, value) in samples]
    assert let_through == [time for time in sorted(times) if open_at(time)] or isinstance(signal, NoData)


def _by_definition(states: Sequence[Point], settle: int) -> Any:
    def is_open(time: int) -> bool:
        """Open at the last state up to now, and since long enough."""
        upto = [(at, value >= 1.0) for at, value in states if at <= time]
        if not upto or not upto[-1][1]:
            return False
        closed = [at for at, was_open in upto if not was_open]
        opened = min(at for at, _ in upto if not closed or at > closed[-1])
        return time >= opened + settle

    return is_open
