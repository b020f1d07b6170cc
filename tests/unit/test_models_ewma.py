"""The EWMA detector: its score in sigmas, and what it says about recorded bearings."""

import csv
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from models.streaming.ewma import EwmaDetector
from telemetry.batch import ReadingBatch

DATA = Path(os.environ.get("PRECURSOR_DATA", "../shared/data"))

Values = npt.NDArray[np.float64]


def scores_of(values: Values, **parameters: float) -> Values:
    detector = EwmaDetector(np.array([1], np.int32), **parameters)
    return detector.score(ReadingBatch.of(np.arange(values.size) * 10_000_000, np.ones(values.size), values))


def noise(count: int, seed: int = 2) -> Values:
    return np.random.default_rng(seed).normal(20.0, 3.0, count)


@pytest.mark.parametrize("smoothing", [0.05, 0.2, 1.0])
def test_under_independent_noise_the_score_is_the_magnitude_of_a_standard_normal(smoothing: float) -> None:
    sensors, count = 50, 1500
    detector = EwmaDetector(np.arange(sensors, dtype=np.int32), smoothing=smoothing, warmup=700)
    time = np.tile(np.arange(count), sensors)
    batch = ReadingBatch.of(time, np.repeat(np.arange(sensors), count), noise(sensors * count))
    scores = detector.score(batch)[time >= 700]
    assert np.sqrt(np.mean(scores**2)) == pytest.approx(1.0, abs=0.06)
    assert np.mean(scores > 1.96) == pytest.approx(0.05, abs=0.015)


def test_a_shift_of_one_sigma_settles_where_the_chart_says() -> None:
    values = noise(6000)
    values[5000:] += 3.0
    scores = scores_of(values, warmup=5000, learning_rate=0.0, gate=1.0)
    assert np.mean(scores[5050:]) == pytest.approx(1 / np.sqrt(0.2 / 1.8), rel=0.1)


def test_smoothing_of_one_scores_each_reading_by_itself() -> None:
    values = np.append(noise(500), 20.0 + 5 * 3.0)
    assert scores_of(values, smoothing=1.0)[-1] == pytest.approx(5.0, rel=0.15)


def test_an_outlier_in_the_warm_up_hardly_counts() -> None:
    clean, spoilt = noise(300), noise(300)
    spoilt[50] = 881.0
    difference = np.abs(scores_of(spoilt)[100:] - scores_of(clean)[100:])
    assert difference.max() < 0.5


def test_an_outlier_after_the_warm_up_is_seen_and_soon_forgotten() -> None:
    values = noise(300)
    values[200] = 881.0
    scores = scores_of(values)
    assert scores[200] > 10
    assert scores[215:].max() < 4


def test_a_slow_change_of_level_is_followed() -> None:
    values = noise(3000) + np.linspace(0.0, 12.0, 3000)
    assert np.quantile(scores_of(values, learning_rate=0.02)[200:], 0.999) < 6
    assert scores_of(values, learning_rate=0.0, gate=1.0)[-1] > 6


def test_one_side_ignores_the_other() -> None:
    values = noise(400)
    values[300:] -= 15.0
    assert scores_of(values, side=1)[305:].max() == 0.0
    assert scores_of(values, side=-1)[305:].min() > 6
    assert scores_of(values)[305:].min() > 6


def test_min_scale_keeps_one_digit_of_a_coarse_sensor_quiet() -> None:
    values = np.full(200, 73.2)
    values[150:] = 73.3
    assert scores_of(values)[-1] > 10
    assert scores_of(values, min_scale=0.1)[-1] < 4


def bearing(name: str, column: str) -> Values:
    path = DATA / "femto_learning" / f"{name}.csv"
    if not path.exists():
        pytest.skip(f"recorded data not found: {path} (set PRECURSOR_DATA)")
    with path.open(newline="") as file:
        return np.array([float(row[column]) for row in csv.DictReader(file)])


LIMIT = 8.0


@pytest.mark.parametrize("column", ["h_rms", "v_rms"])
@pytest.mark.parametrize("name", ["Bearing1_1", "Bearing1_2"])
def test_a_recorded_bearing_scores_high_before_it_fails(name: str, column: str) -> None:
    scores = scores_of(bearing(name, column), side=1, warmup=300)
    assert np.median(scores[-20:]) > LIMIT
    assert np.nanmax(scores[: int(scores.size * 0.45)]) < LIMIT


def test_a_recorded_bearing_is_quiet_in_its_first_half_with_the_defaults() -> None:
    scores = scores_of(bearing("Bearing1_1", "h_rms"))
    half = scores.size // 2
    assert np.nanmax(scores[:half]) < 6
    assert scores[-200:].min() > LIMIT
