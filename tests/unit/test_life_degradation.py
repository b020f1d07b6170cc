"""Degradation of a machine since it was new: faults that grow, and changes that are none."""

import numpy as np
import numpy.typing as npt
import pytest

from models.life.degradation import DegradationParameters, degradation

Column = npt.NDArray[np.float64]

STEP_S = 30.0
SYMPTOMS = 5


def _machine(hours: float, seed: int = 0) -> tuple[Column, Column]:
    """Levels in dB that wear in (with the logarithm of age) and scatter by 1 dB."""
    time = np.arange(0, hours * 3600, STEP_S)
    generator = np.random.default_rng(seed)
    wear_in = np.array([-1.0, 0.5, -2.0, 1.0, 0.5])[:, None, None] * np.log1p(time / 600)
    return time, wear_in + generator.normal(0, 1, (SYMPTOMS, 2, time.size))


def _first(time: Column, level: Column) -> float:
    alarms = np.flatnonzero(degradation(time, level).score >= 1)
    return float(time[alarms[0]]) if alarms.size else float("inf")


@pytest.mark.parametrize("seed", range(3))
def test_wear_in_and_scatter_raise_no_alarm(seed: int) -> None:
    time, level = _machine(5, seed)

    assert _first(time, level) == np.inf


def test_a_broad_fault_that_grows_is_noticed_long_before_it_is_loud() -> None:
    time, level = _machine(5)
    onset = 3 * 3600.0
    # 12 dB until the end, in two bands and one axis.
    level[:2, 0] += 12 * np.clip((time - onset) / 7200, 0, 1)

    first = _first(time, level)

    assert onset < first < onset + 3600
    assert degradation(time, level).score[-1] > 2


def test_a_slow_fault_is_not_learned() -> None:
    # Four days, 1.5 dB a day from the first hour on.
    parameters = DegradationParameters(window_s=3600.0, burst_s=1800.0, run_in_s=4 * 3600.0)
    time = np.arange(0, 4 * 86400.0, 300.0)
    level = np.random.default_rng(1).normal(0, 1, (SYMPTOMS, 2, time.size))
    level[[0, 3]] += 1.5 * time / 86400

    found = degradation(time, level, parameters)

    assert found.score[-1] >= 0.95
    assert found.score[time < 86400].max(initial=0, where=np.isfinite(found.score[time < 86400])) < 0.6


def test_one_symptom_alone_is_a_change_but_no_fault() -> None:
    time, level = _machine(5)
    level[3] += np.where(time > 2 * 3600, 14.0, 0.0)

    found = degradation(time, level)

    assert not (found.score >= 1).any()
    assert np.nanmax(found.rise_db[3]) > 12


def test_two_symptoms_in_the_run_in_are_no_fault_and_later_they_are() -> None:
    time, level = _machine(5)
    early, late = level.copy(), level.copy()
    early[2:4, :, (time > 1200) & (time < 2400)] += 6
    late[2:4, :, (time > 3 * 3600) & (time < 3 * 3600 + 1200)] += 6

    assert _first(time, early) == np.inf
    assert _first(time, late) == pytest.approx(3 * 3600, abs=300)


def test_what_rose_in_the_run_in_is_usual_when_it_ends() -> None:
    time, level = _machine(4)
    level[2:4] += np.where(time > 2400, 6.0, 0.0)

    found = degradation(time, level)

    assert np.nanmax(found.score[time > 3600]) < 0.8


def test_a_step_that_settles_is_forgotten_and_a_level_that_grows_on_is_not() -> None:
    time, level = _machine(7)
    settled, growing = level.copy(), level.copy()
    settled[:2] += np.where(time > 1.5 * 3600, 6.0, 0.0)
    growing[:2] += np.maximum(time / 3600 - 1.5, 0) * 2

    assert degradation(time, settled).score[-1] < 0.7
    assert degradation(time, growing).score[-1] > 1


def test_a_spike_is_no_fault_and_a_broad_loud_minute_is_one() -> None:
    time, level = _machine(5)
    spike, loud = level.copy(), level.copy()
    spike[:, :, time == 10800] += 40
    loud[:4, :, (time >= 10800) & (time < 10890)] += 20

    assert _first(time, spike) == np.inf
    assert _first(time, loud) == pytest.approx(10840, abs=40)


def test_nothing_comes_from_the_future() -> None:
    time, level = _machine(4)
    level[:3] += np.where(time > 3 * 3600, 8.0, 0.0)
    whole = degradation(time, level).score

    for until in (30, 70, 140, 300, 400):
        part = degradation(time[:until], level[:, :, :until]).score
        np.testing.assert_array_equal(part, whole[:until])


def test_unknown_levels_have_no_score_and_change_no_other() -> None:
    time, level = _machine(4)
    holes = level.copy()
    holes[2, 1, 100:110] = np.nan
    kept = np.r_[0:100, 110 : time.size]

    found = degradation(time, holes)

    assert np.isnan(found.score[100:110]).all()
    np.testing.assert_array_equal(found.score[kept], degradation(time[kept], level[:, :, kept]).score)
    assert np.isnan(found.score[time < 600]).all()
    assert np.isfinite(found.score[(time > 700) & (np.arange(time.size) >= 110)]).all()


def test_a_large_offset_changes_nothing() -> None:
    time, level = _machine(4)

    np.testing.assert_allclose(degradation(time + 1.7e9, level + 1e6).score, degradation(time, level).score, atol=1e-8)


def test_nothing_known_is_no_score_and_wrong_shapes_are_refused() -> None:
    time, level = _machine(1)

    assert np.isnan(degradation(time, np.full_like(level, np.nan)).score).all()
    with pytest.raises(ValueError, match="ascending"):
        degradation(time[::-1], level)
    with pytest.raises(ValueError, match="axes"):
        degradation(time[:5], level)
    with pytest.raises(ValueError, match="at least 3"):
        degradation(time, level[:2])
