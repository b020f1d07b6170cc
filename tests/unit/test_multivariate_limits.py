"""Limits of assets: what they are by theory, and that alarms of healthy assets are as rare as the budget says."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy import stats
from scipy.signal import lfilter

from models.contract import ALARM
from models.multivariate.charts import Charts
from models.multivariate.limits import YEAR_S, distance_limit, independent_samples, tail_factor

Values = npt.NDArray[np.float64]


def column(*values: float) -> Values:
    return np.array(values, np.float64)


@pytest.mark.parametrize("sensors", [1.0, 3.0, 20.0])
@pytest.mark.parametrize("probability", [1e-2, 1e-9])
def test_with_everything_known_the_limit_is_that_of_chi_squared(sensors: float, probability: float) -> None:
    limit = distance_limit(column(sensors), column(1e8), column(probability))
    assert limit[0] == pytest.approx(stats.chi2.isf(probability, sensors), rel=1e-5)


def test_of_one_sensor_the_limit_is_that_of_a_future_observation() -> None:
    """The prediction interval of Student: t(n - 1) sqrt(1 + 1/n)."""
    limit = distance_limit(column(1.0), column(12.0), column(1e-3))
    assert np.sqrt(limit[0]) == pytest.approx(stats.t.isf(5e-4, 11) * np.sqrt(1 + 1 / 12))


def test_the_less_was_seen_the_wider_the_limit() -> None:
    limits = distance_limit(np.full(4, 8.0), column(4, 10, 40, 1000), np.full(4, 1e-6))
    assert (np.diff(limits) < 0).all()


def test_heavy_tails_widen_the_limit_and_normal_ones_do_not() -> None:
    factors = tail_factor(np.full(3, 8.0), column(0.0, 8.0, 40.0), np.full(3, 1e-6))
    assert factors[0] == pytest.approx(1.0)
    assert (np.diff(factors) > 0.2).all()


def test_samples_that_follow_on_each_other_count_less() -> None:
    random = np.random.default_rng(2)
    noise = random.normal(size=(2000, 200))
    for memory in (0.0, 0.8):
        series = lfilter([1], [1, -memory], noise, axis=0)
        means = series.reshape(10, 200, 200).mean(axis=1)
        found = independent_samples(
            np.full(200, 2000.0), np.full(200, 200.0), series.var(axis=0), means.var(axis=0, ddof=1)
        )
        # By theory n (1 - memory) / (1 + memory); never more than there are.
        assert np.median(found) == pytest.approx(2000 * (1 - memory) / (1 + memory), rel=0.15)
    assert np.isnan(independent_samples(column(100.0), column(10.0), column(0.0), column(0.0))).all()


@pytest.mark.parametrize("kind", ["independent", "autocorrelated", "heavy tails"])
def test_false_alarms_of_healthy_assets_keep_to_the_budget(kind: str) -> None:
    """Alarms that begin, over their budget: about 1, which a model of a tail cannot hold closely."""
    assets, sensors, warmup, rows, every_s, budget = 200, 4, 200, 700, 3600.0, 40.0
    random = np.random.default_rng(4)
    mixing = np.eye(sensors) + 0.3 * random.normal(size=(assets, sensors, sensors))
    noise = random.standard_t(5, (rows, assets, sensors)) if kind == "heavy tails" else None
    plain = random.normal(size=(rows, assets, sensors)) if noise is None else noise
    values = np.einsum("apq,naq->nap", mixing, plain)
    if kind == "autocorrelated":
        values = lfilter([1], [1, -0.8], values, axis=0)
    charts = Charts(
        assets,
        sensors,
        budget=np.full(assets, budget),
        warmup=np.full(assets, float(warmup)),
        warmup_h=np.zeros(assets),
        smoothing=np.full(assets, 0.1),
    )
    charts.pace(np.full(assets, every_s))
    scores = np.stack([charts.step(np.arange(assets), row)[0] for row in values])[warmup:]
    alarm = scores >= ALARM
    begun = np.count_nonzero(alarm[1:] & ~alarm[:-1])
    years = alarm.size * every_s / YEAR_S
    assert 0.2 < begun / (budget * years) < 3.0
