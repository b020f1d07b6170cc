"""How long until a degrading health indicator reaches its limit, if it degrades at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from models.life.change_point import FEWEST_POINTS, DriftFit, fit_drift, without_outliers
from models.life.prognosis import RemainingLife

__all__ = ["VERSION", "Shape", "Trend", "TrendLife", "life_by_trend"]

VERSION = "trend/1"

Shape = Literal["linear", "exponential"]
Column = npt.NDArray[np.float64]

_POINTS = 120
"""a window is condensed to this many medians before it is fitted: more add cost, hardly knowledge"""
_FARTHEST = 10.0
"""times the duration that the trend has been seen; beyond, an extrapolation is a guess"""
_NEGLIGIBLE = 1e-6
"""of the likelihood of both shapes"""
_MOST_ONSETS = 6
_HERMITE, _HERMITE_WEIGHT = np.polynomial.hermite_e.hermegauss(7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """The likeliest trend of a window."""

    shape: Shape
    onset_s: float
    """on the time axis of the window; when it began to get worse"""
    level: float
    """where it stands at the end of the window, noise removed, in the unit of the values"""
    slope_per_s: float
    """at the end of the window, in the unit of the values; positive is towards the limit"""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendLife:
    """Remaining life counted from the last reading of the window, and the trend it comes from."""

    remaining: RemainingLife
    trend: Trend | None
    """None where there is none; may be there without an answer"""


def life_by_trend(
    time_s: npt.ArrayLike, value: npt.ArrayLike, limit: float, *, rising: bool = True, farthest_s: float | None = None
) -> TrendLife:
    """When the true state behind a noisy health indicator first reaches a limit.

    The window is condensed to medians, freed of outliers and fitted with a level that turns into a drift
    (`models.life.change_point`), once as it is (linear) and, where all values and the limit are positive, once in
    logarithms (exponential; Gebraeel et al. 2005). The first passage of a Wiener process whose drift is itself
    uncertain has a closed form (Si et al. 2013, eq. 18); it is averaged over both shapes, onsets and kinds of noise by
    their likelihood.

    Args:
        time_s: s, any origin, not descending.
        value: the health indicator; NaN and infinite ones are left out.
        limit: in the same unit, where the function is lost.
        rising: whether it gets worse upwards.
        farthest_s: s; a P50 beyond is no answer. By default ten times the duration the trend has been seen.

    Returns:
        all zero if the limit is already reached; a reason instead where the values are too few, do not vary, show no
        significant trend towards the limit, or lie too far from it.

    Raises:
        ValueError: lengths differ, time descends, or the limit is not finite.
    """
    time, values = np.asarray(time_s, np.float64), np.asarray(value, np.float64)
    if time.shape != values.shape or time.ndim != 1:
        raise ValueError(f"time {time.shape} and values {values.shape}: expected two columns of one length")
    if not np.isfinite(limit):
        raise ValueError(f"a limit of {limit}: expected a finite number in the unit of the values")
    if (np.diff(time) < 0).any():
        raise ValueError("time descends; sort the window first")
    finite = np.isfinite(values) & np.isfinite(time)
    all_time, all_values = time[finite], values[finite]
    time, values = _prepared(all_time, all_values)
    if time.size < FEWEST_POINTS:
        return _none(f"{time.size} usable readings at different times, at least {FEWEST_POINTS} are needed")
    sign = 1.0 if rising else -1.0
    searched = _fits(time, values, limit, sign=sign, from_start=False)
    if not searched:
        return _none("the readings do not vary")
    best = searched[0]
    if best.weighed_state >= best.target:
        return TrendLife(remaining=RemainingLife(p10_s=0.0, p50_s=0.0, p90_s=0.0), trend=best.trend(sign))
    if not best.fit.significant or best.fit.drift[best.fit.likeliest] <= 0:
        return _none("no significant trend towards the limit")
    passages, fits = [], searched
    for onset_s, weight in _onsets(best.fit):
        after = all_time >= onset_s
        late_time, late_values = _prepared(all_time[after], all_values[after])
        late = (
            _fits(late_time, late_values, limit, sign=sign, from_start=True) if late_time.size >= FEWEST_POINTS else []
        )
        # The last median stands for the middle of its span, life is counted from the last reading.
        lag_s = float(all_time[-1] - late_time[-1])
        passages += [_Passage(fit, weight * fit.share, lag_s) for fit in late if fit.share > _NEGLIGIBLE]
        if late and fits is searched:
            fits = late
    if not passages:
        passages = [_Passage(fit, fit.share, float(all_time[-1] - time[-1])) for fit in searched]
    trend = fits[0].trend(sign)
    farthest = farthest_s if farthest_s is not None else _FARTHEST * float(all_time[-1] - trend.onset_s)
    return TrendLife(remaining=_remaining(passages, farthest), trend=trend)


def _onsets(fit: DriftFit) -> list[tuple[float, float]]:
    """The likeliest onsets first, with their weights."""
    onsets, place = np.unique(fit.onset_s, return_inverse=True)
    weight = np.bincount(place, fit.weight)
    order = np.argsort(-weight, kind="stable")[:_MOST_ONSETS]
    return [(float(onsets[each]), float(weight[each])) for each in order if weight[each] > 0.05 * weight.max()]


@dataclass(frozen=True, slots=True, kw_only=True)
class _ShapeFit:
    shape: Shape
    fit: DriftFit
    target: float
    """the limit, on the scale that was fitted, upwards"""
    share: float
    """how likely this shape is"""

    @property
    def weighed_state(self) -> float:
        return float(self.fit.weight @ self.fit.state)

    def trend(self, sign: float) -> Trend:
        row = self.fit.likeliest
        level, slope = sign * float(self.fit.state[row]), float(self.fit.drift[row])
        if self.shape == "exponential":
            level = float(np.exp(level))
            slope *= level
        return Trend(shape=self.shape, onset_s=float(self.fit.onset_s[row]), level=level, slope_per_s=slope)


def _fits(time: Column, value: Column, limit: float, *, sign: float, from_start: bool) -> list[_ShapeFit]:
    """The fits of both shapes, the likelier first; none if the values do not vary."""
    scales: list[tuple[Shape, Column, float, float]] = [("linear", value, limit, 0.0)]
    if limit > 0 and (value > 0).all():
        logarithm = np.log(value)
        scales.append(("exponential", logarithm, float(np.log(limit)), -float(logarithm.sum())))
    found = []
    for shape, scaled, target, jacobian in scales:
        fit = fit_drift(time, sign * scaled, from_start=from_start)
        if fit is not None:
            found.append((shape, fit, sign * target, fit.log_evidence + jacobian))
    if not found:
        return []
    most = max(evidence for *_, evidence in found)
    total = sum(np.exp(evidence - most) for *_, evidence in found)
    fits = [
        _ShapeFit(shape=shape, fit=fit, target=target, share=float(np.exp(evidence - most)) / float(total))
        for shape, fit, target, evidence in found
    ]
    return sorted(fits, key=lambda fit: -fit.share)


def _remaining(passages: Sequence["_Passage"], farthest_s: float) -> RemainingLife:
    total = sum(passage.weight for passage in passages)

    def reached(log_s: float) -> float:
        return sum(passage.weight * passage.reached(float(np.exp(log_s))) for passage in passages) / total

    beyond = float(np.log(farthest_s))
    nearest, latest = beyond - 30.0, beyond + 20.0
    if reached(beyond) < 0.5:
        return RemainingLife(
            reason=f"the trend is too slow: it takes, more likely than not, over {farthest_s:.0f} s to the limit"
        )
    if reached(latest) < 0.9:
        return RemainingLife(reason="the trend is too uncertain: it may as well never reach the limit")
    p10, p50, p90 = (
        0.0
        if reached(nearest) >= level
        else float(np.exp(optimize.brentq(lambda x, level=level: reached(x) - level, nearest, latest)))
        for level in (0.1, 0.5, 0.9)
    )
    return RemainingLife(p10_s=p10, p50_s=p50, p90_s=p90)


def _none(reason: str) -> TrendLife:
    return TrendLife(remaining=RemainingLife(reason=reason), trend=None)


def _prepared(time: Column, value: Column) -> tuple[Column, Column]:
    time, value = _condensed(time, value)
    inside = without_outliers(value)
    return time[inside], value[inside]


def _condensed(time: Column, value: Column) -> tuple[Column, Column]:
    """Medians over equal spans of time, or of readings at one time."""
    if not time.size:
        return time, value
    span = time[-1] - time[0]
    if time.size > _POINTS and span > 0:
        cell = np.minimum((time - time[0]) * (_POINTS / span), _POINTS - 1).astype(np.intp)
    else:
        cell = np.cumsum(np.diff(time, prepend=time[0]) > 0)
    starts = np.flatnonzero(np.diff(cell, prepend=-1))
    if starts.size == time.size:
        return time, value
    count = np.diff(starts, append=time.size)
    ordered = value[np.lexsort((value, cell))]
    middle = (ordered[starts + (count - 1) // 2] + ordered[starts + count // 2]) / 2
    return np.add.reduceat(time, starts) / count, middle


class _Passage:
    """Distribution of the time until a limit is first passed."""

    def __init__(self, shaped: _ShapeFit, weight: float, lag_s: float) -> None:
        fit = shaped.fit
        self.weight = weight
        self._lag_s = lag_s
        deviation = np.sqrt(fit.state_variance)[:, None] * _HERMITE
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.where(fit.state_variance > 0, fit.covariance / fit.state_variance, 0.0)[:, None]
        variance = np.maximum(fit.drift_variance[:, None] - slope * fit.covariance[:, None], 0.0)
        self._weight = fit.weight[:, None] * (_HERMITE_WEIGHT / _HERMITE_WEIGHT.sum())
        self._distance = shaped.target - (fit.state[:, None] + deviation)
        # Drifts are looked at because they are steep: James & Stein 1961 take back what chance alone adds.
        shrunk = fit.drift * np.maximum(1 - fit.drift_variance / np.maximum(fit.drift**2, 1e-300), 0.0)
        self._drift = shrunk[:, None] + slope * deviation
        self._variance = np.broadcast_to(variance, self._drift.shape)
        self._diffusion = np.broadcast_to(fit.diffusion[:, None], self._drift.shape)

    def reached(self, after_s: float) -> float:
        """Probability that it is passed by then: Si et al. 2013, eq. 18; without diffusion that of the drift alone."""
        after_s += self._lag_s
        d, m, v, q = self._distance, self._drift, self._variance, self._diffusion
        spread = np.maximum(np.sqrt(v * after_s**2 + q * after_s), 1e-300)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            mirrored = np.exp(
                2 * d * m / q
                + 2 * v * d**2 / q**2
                + special.log_ndtr(-(2 * v * d * after_s + q * (m * after_s + d)) / (q * spread))
            )
        passed = special.ndtr((m * after_s - d) / spread) + np.where(q > 0, np.nan_to_num(mirrored), 0.0)
        return float((self._weight * np.where(d <= 0, 1.0, np.clip(passed, 0.0, 1.0))).sum())
