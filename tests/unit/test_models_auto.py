"""The default detector of a sensor: noise that grows, and sensors that speak seldom."""

import numpy as np
import numpy.typing as npt
import pytest

from models.kinds import build
from telemetry.batch import ReadingBatch

HOUR = 3_600_000_000
SENSORS, FAULT = 10, 3_000

Values = npt.NDArray[np.float64]


def scores_of(kind: str, values: Values, *, step_us: int = 60_000_000, **parameters: float) -> Values:
    """Of sensors (rows), whose readings are `step_us` apart."""
    sensors, count = values.shape
    time = np.tile(np.arange(count) * step_us, sensors)
    batch = ReadingBatch.of(time, np.repeat(np.arange(sensors), count), values.ravel())
    scores = build(kind, [(sensor, parameters) for sensor in range(sensors)]).score(batch)
    return np.asarray(scores.reshape(values.shape), np.float64)


def noise(count: int) -> Values:
    return np.random.default_rng(8).standard_normal((SENSORS, count)) + 70.0


def test_noise_of_twice_the_size_is_an_anomaly_and_its_end_is_seen() -> None:
    values = noise(FAULT + 400)
    values[:, FAULT : FAULT + 200] = 70 + 2 * (values[:, FAULT : FAULT + 200] - 70)
    scores = scores_of("auto", values, warmup=1000)
    assert not (scores[:, :FAULT] >= 1).any()
    assert (scores[:, FAULT : FAULT + 120] >= 1).any(axis=1).all()
    assert not (scores[:, FAULT + 250 :] >= 1).any()
    # Neither of the charts of the level sees all of it.
    for kind in ("ewma", "cusum"):
        assert not (scores_of(kind, values, warmup=1000)[:, FAULT : FAULT + 120] >= 1).any(axis=1).all()


def test_noise_of_a_sensor_of_which_one_side_counts_is_not_looked_at() -> None:
    values = noise(FAULT + 200)
    # Twice the noise, but downwards only.
    values[:, FAULT:] -= 3 * np.abs(values[:, FAULT:] - 70)
    assert (scores_of("auto", values, warmup=1000)[:, -1] >= 1).all()
    assert not (scores_of("auto", values, warmup=1000, side=1)[:, FAULT:] >= 1).any()


def test_a_sum_that_was_high_is_silent_once_the_sensor_is_back() -> None:
    values = noise(FAULT + 220)
    values[:, FAULT : FAULT + 200] += 1.5
    scores = scores_of("cusum", values, warmup=1000)
    assert (scores[:, FAULT + 150 : FAULT + 200] >= 1).mean() > 0.9
    # As soon as the mean of some readings says so, not when the sum has been counted down.
    assert np.median(scores[:, FAULT + 209 : FAULT + 216]) < 0.1


def test_a_sensor_that_speaks_hourly_has_its_first_score_after_a_week() -> None:
    values = noise(400)
    values[:, 300:] += 8.0
    scores = scores_of("auto", values, step_us=HOUR)
    first = np.isfinite(scores).argmax(axis=1)
    assert (first >= 168).all()
    assert (first < 190).all()
    assert np.nanmax(scores[:, :300]) < 1
    assert scores[:, 310:].min() >= 1


@pytest.mark.parametrize("kind", ["auto", "ewma", "cusum"])
def test_what_a_sensor_did_long_after_the_warm_up_does_not_depend_on_others_that_still_learn(kind: str) -> None:
    values = noise(1_200)
    alone = scores_of(kind, values[:1], warmup=200)
    late = values.copy()
    late[1:, :600] = 70.0
    np.testing.assert_array_equal(scores_of(kind, late, warmup=200)[:1], alone)
