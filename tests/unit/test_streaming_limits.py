"""Limits that detectors set themselves: what they are fitted to, and how many false alarms come of them."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.signal import lfilter

from models.streaming.auto import AutoDetector
from models.streaming.learning import SPREAD_SIGMA, SPREAD_SMOOTHING
from models.streaming.limits import BLOCKS, BlockMaxima, cusum_floor, gaussian_floor, spread_floor
from telemetry.batch import ReadingBatch

Values = npt.NDArray[np.float64]

ONE = np.array([0])


def kept(values: Values, readings: int = 4) -> BlockMaxima:
    maxima = BlockMaxima(1)
    maxima.reset(ONE, np.array([readings]))
    for value in values:
        maxima.add(ONE, np.array([value]), np.array([float(readings)]))
    return maxima


def test_blocks_are_merged_two_by_two_so_that_memory_is_bounded_and_no_maximum_is_lost() -> None:
    values = np.arange(1.0, 3 * BLOCKS + 1)
    maxima = kept(values)
    assert maxima.readings[0] == 4 * 4
    assert maxima.filled[0] == 24
    np.testing.assert_array_equal(maxima.maxima[: maxima.filled[0], 0], values.reshape(-1, 4).max(axis=1))


def test_the_limit_of_gumbel_maxima_is_their_quantile_and_a_margin_that_shrinks_with_their_number() -> None:
    def excess(count: int) -> float:
        found = [
            kept(np.random.default_rng(seed).gumbel(10.0, 2.0, count), 10).limit(ONE, per_reading=np.array([1e-5]))[0]
            for seed in range(100)
        ]
        return float(np.mean(found) - (10.0 - 2.0 * np.log(-np.log1p(-1e-4))))

    assert 0 < excess(BLOCKS - 1) < excess(8)


def test_there_is_no_limit_from_three_blocks() -> None:
    assert kept(np.array([1.0, 2.0, 3.0])).limit(ONE, per_reading=np.array([1e-6]))[0] == 0


def test_floors_are_those_of_independent_normal_noise() -> None:
    assert gaussian_floor(np.array([0.0027]))[0] == pytest.approx(3.0, abs=0.01)
    # Hawkins and Olwell 1998, table 3.1: k = 0.5, h = 5 has a run length of 938 one-sided, 469 two-sided.
    assert cusum_floor(np.array([1 / 469]), np.array([0.5]))[0] == pytest.approx(5.0, abs=0.1)


def test_the_spread_has_the_tail_of_normal_noise() -> None:
    magnitudes = np.abs(np.random.default_rng(4).standard_normal((2_000, 500))) - np.sqrt(2 / np.pi)
    spread = np.asarray(lfilter([SPREAD_SMOOTHING], [1, SPREAD_SMOOTHING - 1], magnitudes, axis=1))[:, 100:]
    assert spread.std() == pytest.approx(SPREAD_SIGMA, rel=0.02)
    floor = float(spread_floor(np.array([1e-4]))[0])
    assert (spread > floor * SPREAD_SIGMA).mean() == pytest.approx(1e-4, rel=0.5)
    assert (spread > float(gaussian_floor(np.array([2e-4]))[0]) * SPREAD_SIGMA).mean() > 2e-4


def wanders(values: Values) -> tuple[float, float]:
    """Means over sensors (rows), each of 30 blocks of 50 readings."""
    maxima = BlockMaxima(len(values))
    every = np.arange(len(values))
    maxima.reset(every, np.full(len(values), 50))
    for block in np.split(values, 30, axis=1):
        maxima.add(every, block.max(axis=1), np.full(len(values), 50.0), block.sum(axis=1))
    found, alike = maxima.wandering(every)
    return float(found.mean()), float(alike.mean())


def test_how_much_readings_wander_is_the_long_run_variance_of_their_means() -> None:
    noise = np.random.default_rng(9).standard_normal((300, 1_500))
    assert wanders(noise) == pytest.approx((1.0, 1.0), abs=0.3)
    # (1 + phi) / (1 - phi) of an AR(1) process.
    slow = lfilter([np.sqrt(1 - 0.95**2)], [1, -0.95], noise, axis=1)
    found, alike = wanders(np.asarray(slow))
    assert found == pytest.approx(39.0, rel=0.2)
    assert alike > 1.2
    # A cycle of four blocks comes back to where it was: its blocks, in any order, would give five times as much.
    found, alike = wanders(3 * np.sin(np.arange(1_500) * 2 * np.pi / 200) + noise)
    assert found < 0.2 * 50 * (3 * 0.9) ** 2 / 2
    assert alike == 1


DAY_S, STEP_S = 86_400, 60
SENSORS, DAYS = 20, 12


def wandering(keeps: float) -> Values:
    noise = np.random.default_rng(3).standard_normal((SENSORS, DAYS * DAY_S // STEP_S))
    return np.asarray(lfilter([np.sqrt(1 - keeps**2)], [1, -keeps], noise, axis=1))


def daily() -> Values:
    days = np.arange(DAYS * DAY_S // STEP_S) * STEP_S / DAY_S + np.linspace(0, 1, SENSORS)[:, None]
    return np.asarray(3 * np.sin(2 * np.pi * days) + wandering(0.5))


@pytest.mark.parametrize(
    ("values", "most"),
    [
        pytest.param(lambda: wandering(0.0), 2.0, id="white"),
        pytest.param(lambda: wandering(0.9), 2.0, id="wandering for ten minutes"),
        pytest.param(lambda: wandering(np.exp(-1 / 360)), 1.5, id="wandering for a quarter of the warm-up"),
        pytest.param(lambda: np.round(wandering(0.5)), 2.0, id="a digit of a sigma"),
        pytest.param(daily, 2.0, id="with the day"),
    ],
)
def test_false_alarms_of_normal_time_are_about_as_many_as_budgeted(values: object, most: float) -> None:
    assert callable(values)
    budget = 50.0
    column = 20.0 + values()
    time = np.tile(np.arange(column.shape[1]) * STEP_S * 1_000_000, SENSORS)
    batch = ReadingBatch.of(time, np.repeat(np.arange(SENSORS), column.shape[1]), column.ravel())
    scores = (
        AutoDetector(np.arange(SENSORS, dtype=np.int32), budget=budget, warmup_h=24.0)
        .score(batch)
        .reshape(column.shape)
    )
    above = np.nan_to_num(scores) >= 1
    episodes = int((above[:, 1:] & ~above[:, :-1]).sum())
    expected = budget * SENSORS * (DAYS - 1) / 365.25
    assert expected > 25
    assert episodes <= most * expected
    assert np.isfinite(scores[:, 2000:]).all()
