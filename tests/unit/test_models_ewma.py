"""The EWMA chart: what it looks at, and what it says about recorded bearings."""

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


def test_a_shift_settles_at_its_share_of_the_limit() -> None:
    values = noise(6000)
    values[5000:] += 3.0
    # The chart of a shift of one sigma is at 1 / sqrt(0.2 / 1.8) = 3 sigmas of its own (Roberts 1959); its limit at
    # 0.02 false alarms a year and a reading every 10 s is 6.5 for white noise, and a little more for being learned.
    assert 0.3 < np.mean(scores_of(values)[5050:]) < 3 / 6.5


def test_an_outlier_in_the_warm_up_hardly_counts() -> None:
    clean, spoilt = noise(600), noise(600)
    spoilt[50] = 881.0
    assert np.abs(scores_of(spoilt)[400:] - scores_of(clean)[400:]).max() < 0.3


def test_two_outliers_are_no_anomaly_and_three_in_a_row_are() -> None:
    values = noise(800)
    values[600:602] = 881.0
    scores = scores_of(values)
    assert 0.3 < scores[600] < 0.7
    assert 0.7 < scores[601] < 1
    assert scores[612:].max() < 0.9
    values[602] = 881.0
    assert scores_of(values)[602] >= 1


def test_one_side_ignores_the_other() -> None:
    values = noise(800)
    values[700:] -= 15.0
    assert scores_of(values, side=1)[705:].max() < 0.1
    assert scores_of(values, side=-1)[705:].min() > 1
    assert scores_of(values)[705:].min() > 1


def test_min_scale_is_the_least_that_counts() -> None:
    values = noise(800)
    values[700:] += 9.0
    assert scores_of(values)[-1] > 1
    assert scores_of(values, min_scale=30.0)[-1] < 0.3


def bearing(name: str, column: str) -> Values:
    path = DATA / "femto_learning" / f"{name}.csv"
    if not path.exists():
        pytest.skip(f"recorded data not found: {path} (set PRECURSOR_DATA)")
    with path.open(newline="") as file:
        return np.array([float(row[column]) for row in csv.DictReader(file)])


@pytest.mark.parametrize("name", ["Bearing1_1", "Bearing1_2", "Bearing3_1", "Bearing3_2"])
def test_a_recorded_bearing_is_quiet_at_first_and_an_anomaly_before_it_fails(name: str) -> None:
    scores = scores_of(bearing(name, "h_rms"), side=1, warmup=200)
    assert np.median(scores[-20:]) > 1
    assert np.nanmax(scores[: scores.size // 2]) < 1
