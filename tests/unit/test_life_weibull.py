"""Life by age: a published fit, confidence, conditional remaining life, and answers that are none."""

import numpy as np
import pytest
from scipy import stats

from models.life.pf_interval import AlarmedLife, fit_pf_interval, remaining_life_since_alarm
from models.life.weibull import WeibullFit, fit_weibull, remaining_life_at_age

# Distances (km) to failure of vehicle shock absorbers, and of those that had not failed: O'Connor 1985, as in
# Meeker & Escobar 1998, table C.2.
FAILED_KM = [6700, 9120, 12200, 13150, 14300, 17520, 20100, 20900, 22700, 26510, 27490]
SURVIVED_KM = [6950, 7820, 8790, 9660, 9820, 11310, 11690, 11850, 11880, 12140, 12870, 13330, 13470, 14040]
SURVIVED_KM += [17540, 17890, 18450, 18960, 18980, 19410, 20100, 20150, 20320, 23490, 27410, 27890, 28100]


def _fit(failed: object, survived: object = ()) -> WeibullFit:
    found = fit_weibull(np.asarray(failed, float), np.asarray(survived, float))
    assert found is not None
    return found


def test_the_published_fit_of_the_shock_absorbers() -> None:
    found = _fit(FAILED_KM, SURVIVED_KM)

    # Meeker & Escobar 1998, table 8.2, in mu = ln scale and sigma = 1/shape: 10.23 (0.110), 0.3164 (0.0732).
    assert np.log(found.scale_s) == pytest.approx(10.23, abs=0.005)
    assert 1 / found.shape == pytest.approx(0.3164, abs=5e-4)
    assert np.sqrt(found.covariance[1]) == pytest.approx(0.110, abs=5e-4)
    assert np.sqrt(found.covariance[0]) / found.shape == pytest.approx(0.0732, abs=5e-4)
    assert (found.failures, found.survivors) == (11, 27)
    assert found.shape_low < found.shape < found.shape_high


def test_the_same_as_scipy_on_other_data() -> None:
    generator = np.random.default_rng(3)
    life, seen = generator.weibull(0.7, 40) * 500, generator.uniform(50, 900, 40)
    failed, survived = life[life <= seen], seen[life > seen]

    found = _fit(failed, survived)

    shape, _, scale = stats.weibull_min.fit(stats.CensoredData(uncensored=failed, right=survived), floc=0)
    assert found.shape == pytest.approx(shape, rel=1e-3)
    assert found.scale_s == pytest.approx(scale, rel=1e-3)


def test_survivors_lengthen_life() -> None:
    assert _fit(FAILED_KM, SURVIVED_KM).mean_life_s > 1.3 * _fit(FAILED_KM).mean_life_s


def test_the_unit_does_not_matter() -> None:
    small, large = _fit(FAILED_KM, SURVIVED_KM), _fit(np.array(FAILED_KM) * 1e9, np.array(SURVIVED_KM) * 1e9)

    assert large.shape == pytest.approx(small.shape)
    assert large.scale_s == pytest.approx(1e9 * small.scale_s)


@pytest.mark.parametrize("failed", [[], [100.0], [100.0, 200.0], [100.0] * 8], ids=["none", "one", "two", "equal"])
def test_too_few_failures_are_no_answer(failed: list[float]) -> None:
    fit = fit_weibull(failed, [50.0, 300.0])

    assert fit is None
    assert "fewer than 3 failures" in (remaining_life_at_age(fit, 10.0).reason or "")


def test_ages_that_are_none_are_refused() -> None:
    for failed, survived in (([1.0, 2.0, np.nan], []), ([0.0, 1.0, 2.0], []), ([1.0, 2.0, 3.0], [-1.0])):
        with pytest.raises(ValueError, match="ages"):
            fit_weibull(failed, survived)
    with pytest.raises(ValueError, match="age"):
        remaining_life_at_age(_fit(FAILED_KM), -1.0)


def test_with_many_failures_the_remaining_life_is_that_of_the_distribution() -> None:
    life = np.random.default_rng(5).weibull(2.5, 20_000) * 1000
    age = 800.0

    found = remaining_life_at_age(_fit(life), age)

    known = stats.weibull_min(2.5, scale=1000)
    expected = [known.isf(known.sf(age) * survival) - age for survival in (0.9, 0.5, 0.1)]
    assert [found.p10_s, found.p50_s, found.p90_s] == pytest.approx(expected, rel=0.03)


def test_wear_out_shortens_what_is_left_and_infant_mortality_lengthens_it() -> None:
    quantiles = (np.arange(100) + 0.5) / 100
    wearing, settling = (_fit(stats.weibull_min.ppf(quantiles, shape, scale=1000)) for shape in (3.0, 0.5))

    left = [[remaining_life_at_age(fit, age).p50_s or 0 for age in (0.0, 1000.0)] for fit in (wearing, settling)]

    assert left[0][1] < 0.5 * left[0][0]
    assert left[1][1] > 2 * left[1][0]


def test_what_is_not_known_of_the_parameters_widens_the_answer() -> None:
    few, many = (_fit(stats.weibull_min.ppf((np.arange(n) + 0.5) / n, 2.0, scale=1000)) for n in (4, 400))

    surplus = []
    for fit in (few, many):
        found, plain = remaining_life_at_age(fit, 500.0), stats.weibull_min(fit.shape, scale=fit.scale_s)
        surplus.append((found.p90_s or 0) / (plain.isf(plain.sf(500.0) * 0.1) - 500.0))

    assert surplus[0] > 1.15
    assert surplus[1] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("age", [0.0, 1e-6, 1e3, 1e5, 1e7])
def test_extreme_ages_have_an_answer(age: float) -> None:
    found = remaining_life_at_age(_fit(FAILED_KM, SURVIVED_KM), age)

    assert found.reason is None
    assert (found.p10_s or 0) < (found.p90_s or 0)


def test_intervals_cover_as_often_as_they_say() -> None:
    generator = np.random.default_rng(8)
    shape, scale = 2.0, 1000.0
    within = np.zeros(3)
    count = 100
    for _ in range(count):
        life, seen = generator.weibull(shape, 25) * scale, generator.uniform(300, 1500, 25)
        fit = _fit(life[life <= seen], seen[life > seen])
        lived = next(life for life in iter(lambda: generator.weibull(shape) * scale, None) if life > 500)
        remaining = remaining_life_at_age(fit, 500.0)
        within += (
            fit.shape_low <= shape <= fit.shape_high,
            fit.scale_low_s <= scale <= fit.scale_high_s,
            (remaining.p10_s or 0) <= lived - 500 <= (remaining.p90_s or 0),
        )

    assert within / count == pytest.approx([0.9, 0.9, 0.8], abs=0.1)


def test_the_interval_from_alarm_to_failure_scales_with_the_age_at_alarm() -> None:
    quantiles = stats.weibull_min.ppf((np.arange(40) + 0.5) / 40, 1.5, scale=0.3)
    ages = np.linspace(100, 5000, 40)
    fit = fit_pf_interval(
        [
            AlarmedLife(alarm_age_s=age, end_age_s=age * (1 + share), failed=True)
            for age, share in zip(ages, quantiles, strict=True)
        ]
    )

    young = remaining_life_since_alarm(fit, alarm_age_s=100.0, age_s=100.0)
    old = remaining_life_since_alarm(fit, alarm_age_s=1000.0, age_s=1000.0)

    assert young.p50_s == pytest.approx(100 * stats.weibull_min.median(1.5, scale=0.3), rel=0.05)
    assert old.p50_s == pytest.approx(10 * (young.p50_s or 0))


def test_repairs_after_an_alarm_count_as_survived() -> None:
    failed = [AlarmedLife(alarm_age_s=100.0, end_age_s=100.0 + life, failed=True) for life in (10.0, 20.0, 40.0)]
    repaired = [AlarmedLife(alarm_age_s=100.0, end_age_s=160.0, failed=False)] * 3

    alone, both = fit_pf_interval(failed), fit_pf_interval(failed + repaired)

    assert alone is not None
    assert both is not None
    assert both.scale_s > 1.5 * alone.scale_s
    assert both.survivors == 3


def test_alarms_after_the_end_are_refused_and_failures_at_once_are_not() -> None:
    with pytest.raises(ValueError, match="not after the end"):
        fit_pf_interval([AlarmedLife(alarm_age_s=2.0, end_age_s=1.0, failed=True)])

    at_once = [AlarmedLife(alarm_age_s=100.0, end_age_s=end, failed=True) for end in (100.0, 110.0, 150.0)]
    assert fit_pf_interval(at_once) is not None
    assert remaining_life_since_alarm(fit_pf_interval([]), alarm_age_s=1.0, age_s=1.0).reason is not None
