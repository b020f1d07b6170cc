"""Reliability figures from seconds and entries per state."""

import csv
import gzip
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cbm.reliability import Reliability, mtbf_interval_h
from telemetry.plant import AssetState

HOUR_S = 3600.0


def hours(running: float = 0, failed: float = 0, stopped: float = 0) -> dict[AssetState, float]:
    return {
        AssetState.RUNNING: running * HOUR_S,
        AssetState.FAILED: failed * HOUR_S,
        AssetState.STOPPED: stopped * HOUR_S,
    }


@pytest.mark.parametrize(
    ("failures", "mtbf_h"),
    [
        pytest.param(761, 1151.2, id="all component failures"),
        pytest.param(719, 1218.5, id="machine events"),
        pytest.param(192, 4563.0, id="component 1"),
        pytest.param(259, 3382.6, id="component 2"),
        pytest.param(131, 6687.8, id="component 3"),
        pytest.param(179, 4894.4, id="component 4"),
    ],
)
def test_a_year_of_a_hundred_machines_gives_the_published_mtbf(failures: int, mtbf_h: float) -> None:
    year = Reliability.of(hours(running=8761 * 100), {AssetState.FAILED: failures})
    assert year.mtbf_h is not None
    assert year.mtbf_h == pytest.approx(mtbf_h, abs=0.05)
    assert year.mtbf_lower_h is not None
    assert year.mtbf_upper_h is not None
    assert year.mtbf_lower_h < year.mtbf_h < year.mtbf_upper_h


def test_recorded_failures_of_a_hundred_machines_give_the_published_mtbf(recorded_data: Path) -> None:
    with gzip.open(recorded_data / "azure_pdm_events" / "PdM_failures.csv.gz", "rt", encoding="utf-8") as file:
        failures = list(csv.DictReader(file))
    events = {(row["datetime"], row["machineID"]) for row in failures}
    by_failure = Reliability.of(hours(running=8761 * 100), {AssetState.FAILED: len(failures)})
    by_event = Reliability.of(hours(running=8761 * 100), {AssetState.FAILED: len(events)})
    assert by_failure.mtbf_h == pytest.approx(1151.2, abs=0.05)
    assert by_event.mtbf_h == pytest.approx(1218.5, abs=0.05)


def test_time_not_required_counts_neither_up_nor_down() -> None:
    without = Reliability.of(hours(running=90, failed=10), {AssetState.FAILED: 2})
    with_stops = Reliability.of(
        hours(running=90, failed=10, stopped=1000), {AssetState.FAILED: 2, AssetState.STOPPED: 7}
    )
    assert with_stops.availability == without.availability == 0.9
    assert with_stops.mtbf_h == without.mtbf_h == 45
    assert with_stops.mttr_h == without.mttr_h == 5
    assert with_stops.required_s == 100 * HOUR_S


def test_nothing_known_is_none_and_never_zero_or_one() -> None:
    nothing = Reliability.of({}, {}, window_s=HOUR_S)
    assert (nothing.availability, nothing.mtbf_h, nothing.mtbf_lower_h, nothing.mtbf_upper_h, nothing.mttr_h) == (
        None,
    ) * 5
    assert nothing.unknown_s == HOUR_S


def test_an_asset_that_only_stood_has_no_availability() -> None:
    stood = Reliability.of(hours(stopped=24), {AssetState.STOPPED: 1}, window_s=24 * HOUR_S)
    assert stood.availability is None
    assert stood.mtbf_lower_h is None
    assert stood.unknown_s == 0


def test_no_failure_yet_gives_a_lower_bound_instead_of_infinity() -> None:
    good = Reliability.of(hours(running=1000), {AssetState.RUNNING: 1})
    assert good.mtbf_h is None
    assert good.mttr_h is None
    assert good.mtbf_upper_h is None
    # chi2(0.95; 2) is -2 ln 0.05
    assert good.mtbf_lower_h == pytest.approx(1000 / -math.log(0.05))
    assert good.availability == 1.0


def test_a_failure_under_way_at_the_begin_counts_its_downtime_but_is_no_new_failure() -> None:
    carried = Reliability.of(hours(running=6, failed=4), {AssetState.RUNNING: 1})
    assert carried.failures == 0
    assert carried.availability == 0.6
    assert carried.mttr_h is None
    assert carried.downtime_s == 4 * HOUR_S


def test_a_machine_that_never_ran_has_downtime_and_repair_time_but_no_mtbf() -> None:
    dead = Reliability.of(hours(failed=5), {AssetState.FAILED: 1})
    assert dead.availability == 0.0
    assert dead.mttr_h == 5
    assert dead.mtbf_h is None
    assert dead.mtbf_lower_h is None


@pytest.mark.parametrize(
    ("failures", "confidence", "lower_h", "upper_h"),
    [
        # Divisors: table values of chi-squared at 1 - a/2 with 2r + 2 and at a/2 with 2r degrees of freedom.
        pytest.param(4, 0.9, 2000 / 18.307, 2000 / 2.733, id="4 failures at 90 %"),
        pytest.param(5, 0.95, 2000 / 23.337, 2000 / 3.247, id="5 failures at 95 %"),
        pytest.param(1, 0.8, 2000 / 7.779, 2000 / 0.2107, id="1 failure at 80 %"),
    ],
)
def test_the_interval_is_that_of_the_chi_squared_tables(
    failures: int, confidence: float, lower_h: float, upper_h: float
) -> None:
    lower, upper = mtbf_interval_h(1000, failures, confidence=confidence)
    assert lower == pytest.approx(lower_h, rel=1e-3)
    assert upper == pytest.approx(upper_h, rel=1e-3)


def test_the_interval_covers_the_true_mtbf_as_often_as_it_says() -> None:
    rng = np.random.default_rng(20260101)
    counts = rng.poisson(1000 / 200, size=2000)  # 1,000 h at a true MTBF of 200 h
    covered = 0
    for failures in counts:
        lower, upper = mtbf_interval_h(1000, int(failures))
        covered += lower <= 200 <= (upper or math.inf)
    # The interval is conservative because failures are whole numbers.
    assert covered / counts.size >= 0.89


@pytest.mark.parametrize("confidence", [0.0, 1.0, -0.1, 90.0, math.nan])
def test_a_confidence_that_is_no_probability_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        Reliability.of(hours(running=1), {}, confidence=confidence)


@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf])
def test_impossible_seconds_are_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Reliability.of({AssetState.RUNNING: seconds}, {})


@given(
    running=st.floats(0, 1e9),
    failed=st.floats(0, 1e9),
    stopped=st.floats(0, 1e9),
    failures=st.integers(0, 10_000),
)
def test_figures_stay_in_their_range(running: float, failed: float, stopped: float, failures: int) -> None:
    figures = Reliability.of(
        {AssetState.RUNNING: running, AssetState.FAILED: failed, AssetState.STOPPED: stopped},
        {AssetState.FAILED: failures},
    )
    if figures.availability is not None:
        assert 0 <= figures.availability <= 1
    if figures.mtbf_h is not None:
        assert figures.mtbf_lower_h is not None
        assert figures.mtbf_upper_h is not None
        assert figures.mtbf_lower_h <= figures.mtbf_h * 1.000001
    if failures == 0:
        assert figures.mtbf_h is None
        assert figures.mttr_h is None
