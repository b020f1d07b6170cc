"""`Charts`: assets with equally many sensors, a sample of all sensors at a time."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from models.contract import ALARM
from models.multivariate import operating_point
from models.multivariate.limits import YEAR_S, distance_limit, independent_samples, tail_factor
from models.multivariate.state import State

__all__ = ["Charts"]

_SIGMA_PER_DEVIATION = float(np.sqrt(np.pi / 2))
"""standard deviation of a normal distribution over its mean absolute deviation"""
_ROUNDING = float(1 / np.sqrt(12))
"""standard deviation of rounding to a digit, in digits (Widrow 1956); smoothing does not take it away"""
_SAME = 1e-12
"""steps up to this share of the value are rounding noise"""
_FARTHEST = 1e70
"""values beyond are taken as this: their fourth powers still are numbers"""
_UNCLIPPED = 10
"""samples at the start that are taken as they are: there is no scale yet to clip by"""
_REACH = 10.0
"""sigmas from the level beyond which a reading counts as this many. With the default smoothing one reading alone then
moves the chart by less than 5 of its own sigmas: a spike of a sensor is not an anomaly of the asset"""
_BATCHES = 10
"""of the warm-up, for `independent_samples`; Schmeiser found 10 to 30 right"""
_MEMORY = 10
"""lengths of the warm-up after which a sample weighs no less than one does then"""
_STRAY = 1.0
"""sigmas of the warm-up that the level may move from where it was then"""
_WIDEN = 3.0
"""times the sigma of the warm-up that sigma may grow to"""
_CENTRAL = 0.99
"""samples further out than this share of all count as if they were there: outliers teach little (Huber 1964)"""
_SPAN = 0.5
"""of the charts' time constant: samples nearer to each other tell hardly anything new about the covariance"""
_LEAST_SHRINKAGE = 1e-3
"""relations tighter than sensors are accurate are not believed"""
_REFIT = 0.05
"""share of new samples, of those learned from, by which precision and limit are made anew"""

Column = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Known = npt.NDArray[np.bool_]


class Charts:
    """How far the smoothed sensors of an asset are, together, from where they usually are.

    Each sensor goes into an EWMA, clipped at 10 sigmas; the score is the Mahalanobis distance of these charts from
    their usual values, by the covariance that the *charts* had (so what is autocorrelated in the signals is in it),
    over the limit: MEWMA (Lowry, Woodall, Champ & Rigdon 1992, "A multivariate exponentially weighted moving average
    control chart", Technometrics 34(1)). It answers to levels and to relations: what lies along the usual relations of
    the sensors is near, the same deviations across them are far.

    The covariance is shrunk towards its diagonal by `δ = 1 / (n r²)`, r² the mean squared correlation: the share of
    the squared correlations that chance alone would give (Ledoit & Wolf 2004; Schäfer & Strimmer 2005, "A shrinkage
    approach to large-scale covariance matrix estimation", table 2 D, with the variance of a correlation at its highest,
    1 / n). So it can always be inverted.

    The limit is exceeded by chance as often as `budget` says; `distance_limit`, with as many independent samples as
    the autocorrelation leaves of the warm-up, counted by batch means. A short warm-up gives a wide limit.

    After the warm-up samples are learned from only while the score is below `ALARM`, outliers as if they were nearer,
    with a weight that sinks to that of ten warm-ups; and the level stays within one sigma of that of the warm-up, sigma
    within three times. So a fault that comes slowly is not absorbed, but what the warm-up was too short to show is
    learned.

    Args:
        assets: how many.
        sensors: of each.
        budget, warmup, warmup_h, smoothing: see `PARAMETERS`; one number an asset.
    """

    def __init__(
        self, assets: int, sensors: int, *, budget: Column, warmup: Column, warmup_h: Column, smoothing: Column
    ) -> None:
        self._sensors = sensors
        self._budget, self._warmup, self._warmup_h, self._smoothing = budget, warmup, warmup_h, smoothing
        self.state = State.fresh(assets, sensors)

    def rebaseline(self, assets: Index) -> None:
        """Begin anew with these."""
        self.state.put(assets, State.fresh(assets.size, self._sensors))

    def step(self, assets: Index, values: Column, every_s: Column) -> tuple[Column, Column]:
        """Score a sample of each of these assets, then learn from it.

        Args:
            assets: each once, ascending.
            values: (assets, p); NaN: the sensor is not known.
            every_s: seconds from sample to sample, of each.

        Returns:
            scores, NaN while warming up and where no sensor is known; and contributions (assets, p), which sum to 1:
            what the squared distance loses if the sensor alone is set to what the others let expect
            (reconstruction-based contribution, Alcala & Qin 2009, "Reconstruction-based contribution for process
            monitoring", Automatica 45(7), section 3). A sensor that alone has moved far has the largest.
        """
        everyone = assets.size == self._budget.size
        here: Index | slice = slice(None) if everyone else assets
        state = self.state if everyone else self.state.take(here)
        known = np.isfinite(values)
        smoothing = self._smoothing[here]
        warmup = np.maximum(self._warmup[here], np.floor(self._warmup_h[here] * 3600 / every_s))
        deviation = _chart(state, np.clip(values, -_FARTHEST, _FARTHEST), known, smoothing)
        score, contribution = np.full(assets.size, np.nan), np.full(values.shape, np.nan)
        warm = state.count >= warmup
        if warm.any():
            rows: Index | slice = slice(None) if warm.all() else np.flatnonzero(warm)
            some = state if warm.all() else state.take(rows)
            rare = self._budget[here][rows] * every_s[rows] / YEAR_S
            score[rows], contribution[rows] = _score_and_learn(some, known[rows], warmup[rows], smoothing[rows], rare)
            if some is not state:
                state.put(rows, some)
        if not warm.all():
            rows = slice(None) if not warm.any() else np.flatnonzero(~warm)
            some = state if not warm.any() else state.take(rows)
            _warm_up(some, deviation[rows], known[rows], warmup[rows], smoothing[rows])
            if some is not state:
                state.put(rows, some)
        if not everyone:
            self.state.put(assets, state)
        return score, contribution


def _chart(state: State, values: Column, known: Known, smoothing: Column) -> Column:
    """Take a sample into the charts; gives the deviations from the usual, clipped, NaN where not known."""
    first = state.heard == 0
    if first.any():
        first &= known
        state.origin[first] = state.last[first] = values[first]
    step = np.abs(values - state.last)
    finer = step < state.resolution
    if finer.any():
        _note_steps(state, np.nonzero(finer), values, step)
    deviation = values - state.origin
    deviation -= state.mean
    np.minimum(deviation, state.reach, out=deviation)
    np.maximum(deviation, -state.reach, out=deviation)
    moved = deviation + state.mean
    moved -= state.smooth
    moved *= np.maximum(smoothing[:, None], 1 / (state.heard + 1))
    if known.all():
        state.last[:] = values
        state.smooth += moved
    else:
        np.copyto(state.last, values, where=known)
        np.add(state.smooth, moved, out=state.smooth, where=known)
    state.heard += known
    return deviation


def _note_steps(state: State, at: tuple[Index, ...], values: Column, step: Column) -> None:
    """Smaller steps than ever before, but for rounding noise."""
    real = step[at] > _SAME * np.abs(values[at])
    at = tuple(axis[real] for axis in at)
    floor = _ROUNDING * state.resolution[at]
    state.resolution[at] = step[at]
    # Where the old step was what sigma was taken for, the model is another now.
    state.due[at[0][state.first_sigma[at] <= floor]] = np.inf
    if (state.deviation[at] * _SIGMA_PER_DEVIATION <= floor).any():
        _set_reach(state)


def _set_reach(state: State) -> None:
    scale = np.maximum(state.deviation * _SIGMA_PER_DEVIATION, _rounding(state))
    state.reach[:] = np.where(state.heard < _UNCLIPPED, np.inf, _REACH * scale)


def _rounding(state: State) -> Column:
    return np.where(np.isfinite(state.resolution), state.resolution, 0.0) * _ROUNDING


def _warm_up(state: State, deviation: Column, known: Known, warmup: Column, smoothing: Column) -> None:
    """Learn from a sample of assets that are warming up."""
    state.count += 1
    count = state.count[:, None]
    # The first value is the origin and says nothing about the scale.
    gain = 1 / np.maximum(state.heard - 1, 1)
    np.add(state.deviation, gain * (np.abs(deviation) - state.deviation), out=state.deviation, where=known)
    _set_reach(state)
    before = state.smooth - state.mean
    state.mean += before / count
    after = state.smooth - state.mean
    state.covariance += (before[:, :, None] * after[:, None, :] - state.covariance) / count[:, :, None]
    state.fourth += (after**4 - state.fourth) / count

    state.batch += state.smooth
    size = np.floor(warmup / _BATCHES)
    over = np.flatnonzero(state.count % size == 0)
    if over.size:
        mean = state.batch[over] / size[over, None]
        difference = mean - state.batch_mean[over]
        state.batch_mean[over] += difference / (state.count[over] / size[over])[:, None]
        state.batch_square[over] += difference * (mean - state.batch_mean[over])
        state.batch[over] = 0.0
    half = np.floor(warmup / 2)
    later = np.flatnonzero(state.count > half)
    if later.size:
        some = state.take(later)
        operating_point.note(some, smoothing[later])
        state.put(later, some)
    begins = np.flatnonzero(state.count == half)
    if begins.size:
        some = state.take(begins)
        relations = _relations(some)
        operating_point.begin(some, relations.axis(), relations.precision)
        state.put(begins, some)
    done = np.flatnonzero(state.count >= warmup)
    if done.size:
        some = state.take(done)
        before = some.first_mean.copy()
        _settle(some, size[done])
        operating_point.settle(some, _relations(some).axis(), before)
        state.put(done, some)


def _settle(state: State, size: Column) -> None:
    """The warm-up is over: keep where it ended, as what later learning may not go far from."""
    count = state.count[:, None]
    variance = np.einsum("aii->ai", state.covariance)
    # A sensor that was silent for most of the time is left out until the asset is learned anew.
    silent = state.heard < count / 2
    state.resolution[silent] = np.nan
    variance = np.where(silent, 0.0, variance)
    state.first_sigma[:] = np.sqrt(variance)
    state.first_mean[:] = state.mean
    batches = np.floor(count / size[:, None])
    each = independent_samples(count, size[:, None], variance, state.batch_square / (batches - 1))
    # As many as of the slowest sensor: a limit for all of them together cannot be surer than that.
    fewest = np.where(np.isfinite(each), each, np.inf).min(axis=1)
    state.independent[:] = np.minimum(fewest, state.count)
    state.due[:] = np.inf


def _score_and_learn(
    state: State, known: Known, warmup: Column, smoothing: Column, rare: Column
) -> tuple[Column, Column]:
    """Score a sample of assets that have warmed up, then learn from it where it was no anomaly."""
    due = state.due >= _REFIT * state.count
    if due.any():
        rows: Index | slice = slice(None) if due.all() else np.flatnonzero(due)
        some = state if due.all() else state.take(rows)
        _refit(some, warmup[rows], rare[rows])
        if some is not state:
            state.put(rows, some)
    difference = state.smooth - state.mean
    limit, rest = state.limit, state.rest
    lacking = np.zeros(0, np.intp)
    if not known.all():
        missing = ~known & (rest > 0)
        lacking = np.flatnonzero(missing.any(axis=1))
        limit, rest = limit.copy(), np.where(missing, 0.0, rest)
        difference[lacking] = _expected(state.precision[lacking], difference[lacking], missing[lacking])
        limit[lacking] = _limit(state.take(lacking), warmup[lacking], rare[lacking], rest[lacking] > 0)
    pull = np.einsum("aij,aj->ai", state.precision, difference)
    distance = np.maximum(np.einsum("ai,ai->a", pull, difference), 0.0)
    factor, place = operating_point.widening(state, difference, _independent(state, warmup), smoothing)
    score = np.sqrt(np.maximum(distance / factor, place) / limit)
    learned = score < ALARM
    learned[lacking] = False
    _refine(state, difference, distance, learned, warmup, smoothing)
    return score, _contribution(pull, rest)


def _contribution(pull: Column, rest: Column) -> Column:
    share = pull * pull
    share *= rest
    total = np.einsum("ai->a", share)
    nothing = total <= 0
    if nothing.any():
        share[nothing] = rest[nothing] > 0
        total = np.maximum(np.einsum("ai->a", share), 1)
    share /= total[:, None]
    return share


def _expected(precision: Column, difference: Column, missing: Known) -> Column:
    """Differences with those of missing sensors as the others let expect: so they add nothing to the distance."""
    present = np.where(missing, 0.0, difference)
    towards = np.einsum("aij,aj->ai", precision, present)
    system = precision * (missing[:, :, None] & missing[:, None, :])
    np.einsum("aii->ai", system)[...] += ~missing
    filled = np.linalg.solve(system, np.where(missing, -towards, present)[:, :, None])[:, :, 0]
    return np.where(missing, filled, present)


def _refine(
    state: State, difference: Column, distance: Column, learned: Known, warmup: Column, smoothing: Column
) -> None:
    """Go on learning, within bounds, from the samples marked."""
    state.due += learned
    count = np.minimum(state.count + 1, _MEMORY * warmup)
    np.copyto(state.count, count, where=learned)
    # Mean and covariance once in a while: the samples between say hardly anything new.
    every = np.ceil(_SPAN / smoothing)
    teaches = learned & (state.due % every == 0)
    if teaches.any():
        rows: Index | slice = slice(None) if teaches.all() else np.flatnonzero(teaches)
        some = state if teaches.all() else state.take(rows)
        gain = np.minimum(every[rows] / count[rows], 1.0)[:, None]
        _learn(some, difference[rows], distance[rows], gain)
        if not teaches.all():
            state.mean[rows], state.covariance[rows] = some.mean, some.covariance


def _learn(state: State, difference: Column, distance: Column, gain: Column) -> None:
    central = special.chdtri(float(difference.shape[1]), 1 - _CENTRAL)
    near = difference * np.minimum(1.0, np.sqrt(central / np.maximum(distance, central)))[:, None]
    bound = _STRAY * state.first_sigma
    state.mean[:] = np.clip(state.mean + gain * near, state.first_mean - bound, state.first_mean + bound)
    state.covariance += gain[:, :, None] * (near[:, :, None] * near[:, None, :] - state.covariance)
    variance = np.einsum("aii->ai", state.covariance)
    widest = (_WIDEN * state.first_sigma) ** 2
    wide = variance > widest
    if wide.any():
        scale = np.sqrt(np.divide(widest, variance, out=np.ones_like(variance), where=wide))
        state.covariance *= scale[:, :, None] * scale[:, None, :]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Relations:
    """What charts have in common, sensors that never moved left out."""

    counted: Known
    """(assets, p)"""
    inverse: Column
    """(assets, p) 1 over sigma; 0 where left out"""
    correlation: Column
    """(assets, p, p), shrunk"""

    @property
    def precision(self) -> Column:
        scale = self.inverse[:, :, None] * self.inverse[:, None, :]
        return np.asarray(np.linalg.inv(self.correlation) * scale, np.float64)

    def axis(self) -> Column:
        """First principal axis, (assets, p), for a product of variance 1 with differences."""
        both = self.counted[:, :, None] & self.counted[:, None, :]
        strength, axes = np.linalg.eigh(np.where(both, self.correlation, 0.0))
        return np.asarray(axes[:, :, -1] / np.sqrt(np.maximum(strength[:, -1:], 1.0)) * self.inverse, np.float64)


def _relations(state: State) -> _Relations:
    level = np.abs(state.origin + state.mean)
    sigma = np.sqrt(np.maximum(np.einsum("aii->ai", state.covariance), 0.0))
    sigma = np.where(np.isnan(state.resolution), 0.0, np.maximum(sigma, _rounding(state)))
    sigma = np.where(sigma > 0, np.maximum(sigma, _SAME * level), 0.0)
    counted = sigma > 0
    inverse = np.divide(1.0, sigma, out=np.zeros_like(sigma), where=counted)
    correlation = state.covariance * (inverse[:, :, None] * inverse[:, None, :])
    np.einsum("aii->ai", correlation)[...] = 0.0
    number = counted.sum(axis=1)
    pairs = np.maximum(number * (number - 1), 1)
    squared = np.einsum("aij,aij->a", correlation, correlation) / pairs
    shrinkage = np.clip(1 / (state.count * np.maximum(squared, 1e-300)), _LEAST_SHRINKAGE, 1.0)
    correlation *= (1 - shrinkage)[:, None, None]
    np.einsum("aii->ai", correlation)[...] = 1.0
    return _Relations(counted=counted, inverse=inverse, correlation=correlation)


def _refit(state: State, warmup: Column, rare: Column) -> None:
    """Precision and limit from what has been learned."""
    relations = _relations(state)
    state.precision[:] = relations.precision
    strength = np.einsum("aii->ai", state.precision)
    state.rest[:] = np.divide(1.0, strength, out=np.zeros_like(strength), where=strength > 0)
    state.limit[:] = _limit(state, warmup, rare, relations.counted)
    state.due[:] = 0.0


def _independent(state: State, warmup: Column) -> Column:
    """Samples that what is usual was learned from, as many as are worth independent ones."""
    return state.independent * state.count / warmup


def _limit(state: State, warmup: Column, rare: Column, counted: Known) -> Column:
    """Of the squared distance by the sensors that count; NaN where none does."""
    number = counted.sum(axis=1)
    sensors = np.maximum(number, 1).astype(np.float64)
    variance = state.first_sigma**2
    kurtosis = np.divide(state.fourth, variance**2, out=np.zeros_like(variance), where=counted & (variance > 0))
    excess = np.maximum(kurtosis - 3, 0.0).sum(axis=1)
    limit = distance_limit(sensors, _independent(state, warmup), rare) * tail_factor(sensors, excess, rare)
    return np.where(number > 0, limit, np.nan)
