"""Remaining lives and horizons, against cases worked out by hand."""

import math

import numpy as np
import pytest

from models.evaluation.horizon import caught, due_within
from models.evaluation.life import interval_share, judge_life, phm08_score


def test_capped_errors_do_not_know_of_lives_beyond_the_cap() -> None:
    true, predicted = np.array([200.0, 100.0, 10.0]), np.array([150.0, 97.0, 14.0])

    found = judge_life(true, predicted, cap=125)

    assert found.rmse == pytest.approx(math.sqrt((0 + 9 + 16) / 3))
    assert found.rmse_raw == pytest.approx(math.sqrt((2500 + 9 + 16) / 3))
    assert found.mae == pytest.approx(7 / 3)
    assert found.bias == pytest.approx(1 / 3)
    assert found.phm08 == pytest.approx(math.expm1(3 / 13) + math.expm1(4 / 10))
    assert judge_life(true, predicted).rmse == found.rmse_raw


def test_late_costs_more_than_early() -> None:
    assert phm08_score(np.array([0.0])) == 0
    assert phm08_score(np.array([20.0])) > phm08_score(np.array([-20.0])) > 0


def test_no_answer_is_in_no_error_but_is_told() -> None:
    found = judge_life(np.array([10.0, 20.0]), np.array([np.nan, 23.0]))
    silent = judge_life(np.array([10.0]), np.array([np.nan]))

    assert (found.cases, found.predicted, found.rmse) == (2, 1, 3.0)
    assert silent.predicted == 0
    assert all(math.isnan(each) for each in (silent.rmse, silent.rmse_raw, silent.mae, silent.bias, silent.phm08))


def test_truth_between_two_quantiles() -> None:
    true = np.array([1.0, 5.0, 9.0, 5.0])

    assert interval_share(true, np.array([0.0, 6, 9, np.nan]), np.array([2.0, 8, np.inf, 9])) == pytest.approx(2 / 3)
    assert math.isnan(interval_share(true[:1], np.array([np.nan]), np.array([1.0])))


def test_a_failure_is_due_after_the_lead_and_within_the_horizon() -> None:
    time = np.array([0.0, 76, 97, 99, 100, 101])

    assert due_within(time, np.array([100.0]), horizon=24).tolist() == [False, True, True, True, False, False]
    assert due_within(time, np.array([100.0]), horizon=24, lead=3).tolist() == [False, True, False, False, False, False]
    assert not due_within(time, np.zeros(0), horizon=24).any()


def test_a_failure_is_caught_by_the_first_warning_in_its_window() -> None:
    failures = np.array([100.0, 200.0, 300.0, 400.0])
    alarms = np.array([10.0, 76.0, 99.0, 198.0, 297.0])

    assert caught(failures, alarms, horizon=24, lead=3) == pytest.approx([24, np.nan, 3, np.nan], nan_ok=True)
    assert np.isnan(caught(failures, np.zeros(0), horizon=24)).all()
