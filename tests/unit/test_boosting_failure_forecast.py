"""Failures foretold from events, on machines whose errors are known to announce them."""

import numpy as np
import numpy.typing as npt
import pytest

from models.life.labelled_events import FailureForecast, MachineEvents, event_features, limit_of_best_f1
from telemetry.errors import StateError

HORIZON = 24.0
TIME = np.arange(0.0, 4000.0, 3.0)


def made(seed: int) -> tuple[MachineEvents, npt.NDArray[np.float64]]:
    """A machine and the failures of its first component, each 20 h after an error of the first kind; other errors
    mean nothing."""
    generator = np.random.default_rng(seed)
    failures = np.sort(generator.uniform(100, 4000, 12))
    noise = tuple(np.sort(generator.uniform(0, 4000, 40)) for _ in range(2))
    return MachineEvents(errors=(failures - 20, *noise), replaced=(failures, noise[0]), traits=(float(seed),)), failures


def test_hours_since_hour_of_day_and_counts_are_those_of_events_so_far() -> None:
    machine = MachineEvents(
        errors=(np.array([10.0, 30.0]), np.empty(0)), replaced=(np.array([-50.0, 30.0]), np.array([5.0])), traits=(7.0,)
    )
    rows = event_features(machine, np.array([9.0, 10.0, 31.0, 60.0]), horizon=HORIZON)
    nan = np.nan
    expected = [
        # since each error, hour of day of each, in one and two horizons, since each and any replacement, trait
        [nan, nan, nan, nan, 0, 0, 59, 4, 4, 7],
        [0, nan, 10, nan, 1, 1, 60, 5, 5, 7],
        [1, nan, 6, nan, 2, 2, 1, 26, 1, 7],
        [30, nan, 6, nan, 0, 1, 30, 55, 30, 7],
    ]
    np.testing.assert_array_equal(rows, expected)


def test_what_comes_later_changes_no_feature_now() -> None:
    machine, _ = made(1)
    until = 2000.0
    past = MachineEvents(
        errors=tuple(each[each <= until] for each in machine.errors),
        replaced=tuple(each[each <= until] for each in machine.replaced),
        traits=machine.traits,
    )
    now = np.arange(0.0, until, 3.0)
    np.testing.assert_array_equal(
        event_features(past, now, horizon=HORIZON), event_features(machine, now, horizon=HORIZON)
    )


def test_the_error_that_announces_failures_is_found_and_the_others_are_not_believed() -> None:
    machines = [made(seed) for seed in range(8)]
    features = [event_features(machine, TIME, horizon=HORIZON) for machine, _ in machines]
    due = [((failures > TIME[:, None]) & (failures <= TIME[:, None] + HORIZON)).any(axis=1) for _, failures in machines]
    table, label = np.concatenate(features[:6]), np.concatenate(due[:6])[:, None]
    model = FailureForecast.fit(table, label, seed=0, effort=0.4)
    chance = model.chance(np.concatenate(features[6:]))[:, 0]
    alarm, true = chance >= limit_of_best_f1(model.chance(table), label), np.concatenate(due[6:])
    # The label begins 24 h before and the error comes 20 h before: a sixth cannot be known, and the rest can.
    assert np.mean(alarm[true]) > 0.7
    assert np.mean(true[alarm]) > 0.85

    back = FailureForecast.from_parts(model.estimators)
    np.testing.assert_array_equal(back.chance(table), model.chance(table))
    again = FailureForecast.fit(table, label, seed=0, effort=0.4)
    np.testing.assert_array_equal(again.chance(table), model.chance(table))


def test_chances_are_how_often_it_came_true() -> None:
    generator = np.random.default_rng(0)
    table = generator.integers(2, size=(20_000, 1)).astype(np.float64)
    label = (generator.random(20_000) < np.where(table[:, 0] > 0, 0.3, 0.02))[:, None]
    chance = FailureForecast.fit(table, label).chance(np.array([[0.0], [1.0]]))[:, 0]
    np.testing.assert_allclose(chance, [0.02, 0.3], rtol=0.2)


def test_the_limit_is_the_middle_of_the_best_ones() -> None:
    assert limit_of_best_f1(np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True])) == pytest.approx(
        0.51, abs=0.02
    )


def test_a_component_that_never_failed_and_missing_parts_are_refused() -> None:
    with pytest.raises(ValueError, match="component 1"):
        FailureForecast.fit(np.zeros((4, 1)), np.array([[True, False], [False, False]] * 2))
    with pytest.raises(StateError, match="trees"):
        FailureForecast.from_parts({})
