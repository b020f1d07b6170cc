"""Life by age: a Weibull distribution from the ages at which assets failed, and those they have reached unfailed."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from models.life.prognosis import RemainingLife

__all__ = ["FEWEST_FAILURES", "VERSION", "WeibullFit", "fit_weibull", "remaining_life_at_age"]

VERSION = "weibull/1"

FEWEST_FAILURES = 3
"""with fewer the shape is anything: one failure fits every shape, two fit it to nearly no error"""

_CONFIDENCE = 0.9
_GRID = 61
_REACH = 5.0
"""standard errors to each side that the uncertainty of the parameters is followed"""

Ages = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeibullFit:
    """Survival exp(-(age / scale)^shape), by maximum likelihood.

    Intervals are two-sided, 90 %, of Wald's kind on the logarithms of the parameters (Meeker & Escobar 1998, sec. 8.4).
    """

    shape: float
    """below 1 failures get rarer with age (infant mortality), at 1 age does not matter, above 1 wear-out"""
    shape_low: float
    shape_high: float
    scale_s: float
    """s; the age at which 63.2 % have failed (characteristic life)"""
    scale_low_s: float
    scale_high_s: float
    failures: int
    survivors: int
    """ages at which assets were seen unfailed, or were taken out for another reason"""
    covariance: tuple[float, float, float]
    """of (ln shape, ln scale): variance, variance, covariance"""

    @property
    def mean_life_s(self) -> float:
        """s; scale x Gamma(1 + 1/shape)."""
        return float(stats.weibull_min.mean(self.shape, scale=self.scale_s))


def fit_weibull(failed_s: npt.ArrayLike, survived_s: npt.ArrayLike = ()) -> WeibullFit | None:
    """Fit the distribution of life to ages at failure and ages reached without failure (right-censored).

    The likelihood is that of Meeker & Escobar 1998, sec. 8.2; the scale is profiled out, so that one number is
    searched: 1/shape = sum(t^shape ln t)/sum(t^shape) - mean ln(failure ages).

    Args:
        failed_s: ages at failure, s, above 0.
        survived_s: ages without failure so far, or at a replacement for another reason, s; zeros do not count.

    Returns:
        None with fewer than `FEWEST_FAILURES` failures, or if all were at the same age: that is no basis for an answer.

    Raises:
        ValueError: an age is negative or not finite, or a failure at age 0.
    """
    failed = np.asarray(failed_s, np.float64).ravel()
    survived = np.asarray(survived_s, np.float64).ravel()
    if not (np.isfinite(failed).all() and np.isfinite(survived).all() and (failed > 0).all() and (survived >= 0).all()):
        raise ValueError("ages are finite and not negative, at failure above 0; leave out assets of unknown age")
    survived = survived[survived > 0]
    if failed.size < FEWEST_FAILURES or np.ptp(failed) <= 1e-9 * failed.max():
        return None
    unit = float(np.exp(np.log(failed).mean()))
    age = np.concatenate([failed, survived]) / unit
    log_age, mean_log_failed = np.log(age), float(np.log(failed / unit).mean())

    def slack(log_shape: float) -> float:
        weight = np.exp(np.exp(log_shape) * (log_age - log_age.max()))
        return float((weight * log_age).sum() / weight.sum() - mean_log_failed - np.exp(-log_shape))

    # The slack rises with the shape, from minus infinity to above 0 unless all failures are at the highest age of all.
    low, high = -4.0, 7.0
    if slack(high) <= 0:
        return None
    shape = float(np.exp(optimize.brentq(slack, low, high)))
    scale = float((np.exp(shape * log_age).sum() / failed.size) ** (1 / shape))
    variance_shape, variance_scale, covariance = _covariance(log_age, failed.size, shape, scale)
    reach = float(stats.norm.ppf(0.5 + _CONFIDENCE / 2))
    wide_shape, wide_scale = (float(np.exp(reach * np.sqrt(variance))) for variance in (variance_shape, variance_scale))
    return WeibullFit(
        shape=shape,
        shape_low=shape / wide_shape,
        shape_high=shape * wide_shape,
        scale_s=scale * unit,
        scale_low_s=scale * unit / wide_scale,
        scale_high_s=scale * unit * wide_scale,
        failures=int(failed.size),
        survivors=int(survived.size),
        covariance=(variance_shape, variance_scale, covariance),
    )


def _covariance(log_age: Ages, failures: int, shape: float, scale: float) -> tuple[float, float, float]:
    """Inverse of the observed information in (ln shape, ln scale).

    With w = shape ln(age / scale) the likelihood is ln L = sum over failures of (ln shape + w) - sum over all of e^w.
    """
    w = shape * (log_age - np.log(scale))
    hazard = np.exp(w)
    shape_shape = float((hazard * (w + w * w)).sum() - (w[:failures]).sum())
    scale_scale = shape**2 * float(hazard.sum())
    # At the maximum sum(e^w) is the number of failures, and cancels it.
    cross = -shape * float((hazard * w).sum())
    determinant = shape_shape * scale_scale - cross**2
    return scale_scale / determinant, shape_shape / determinant, -cross / determinant


def remaining_life_at_age(fit: WeibullFit | None, age_s: float) -> RemainingLife:
    """How much longer an asset lives that has reached an age, as far as age alone tells.

    P(life > age + r | life > age), averaged over what the parameters may be as well (normal on their logarithms), so
    that few failures give a wide answer (predictive distribution; Meeker & Escobar 1998, ch. 12 and 14).

    Args:
        fit: of lives of the same kind of asset and failure mode; None where `fit_weibull` had too little to go by.
        age_s: s since it was new or as good as new.

    Raises:
        ValueError: the age is negative or not finite.
    """
    if not (np.isfinite(age_s) and age_s >= 0):
        raise ValueError(f"an age of {age_s} s: expected a finite one from 0")
    if fit is None:
        return RemainingLife(reason=f"fewer than {FEWEST_FAILURES} failures at different ages are known")
    shape, scale, weight = _parameters(fit)
    ratio = _hazard(age_s, shape, scale)
    # Whoever is of that age has survived it: parameters that make it likely count for more.
    weight = weight * np.exp(-(ratio - ratio.min()))
    weight /= weight.sum()

    def survival(log_remaining: float) -> float:
        later = _hazard(age_s + np.exp(log_remaining), shape, scale)
        return float((weight * np.exp(ratio - later)).sum())

    low, high = np.log(fit.scale_s) - 60.0, np.log(fit.scale_s) + 20.0
    p10, p50, p90 = (
        float(np.exp(optimize.brentq(lambda x, level=level: survival(x) - level, low, high)))
        for level in (0.9, 0.5, 0.1)
    )
    return RemainingLife(p10_s=p10, p50_s=p50, p90_s=p90)


def _hazard(age_s: float, shape: Ages, scale: Ages) -> Ages:
    """Cumulative hazard (age / scale)^shape, as large as matters."""
    with np.errstate(divide="ignore"):
        hazard: Ages = np.exp(np.minimum(shape * (np.log(age_s) - np.log(scale)), 700.0))
    return hazard


def _parameters(fit: WeibullFit) -> tuple[Ages, Ages, Ages]:
    """Shapes, scales and their weights over a grid of the normal distribution of their logarithms."""
    variance_shape, variance_scale, covariance = fit.covariance
    step = np.linspace(-_REACH, _REACH, _GRID)
    first, second = (axis.ravel() for axis in np.meshgrid(step, step))
    weight = np.exp(-0.5 * (first**2 + second**2))
    shape = fit.shape * np.exp(np.sqrt(variance_shape) * first)
    slope = covariance / np.sqrt(variance_shape)
    scale = fit.scale_s * np.exp(slope * first + np.sqrt(variance_scale - slope**2) * second)
    return shape, scale, weight
