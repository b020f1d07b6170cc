"""`Charts`: assets with equally many sensors, a sample of all sensors at a time."""

import numpy as np
import numpy.typing as npt
from scipy import special

from models.contract import ALARM
from models.multivariate import operating_point
from models.multivariate.limits import YEAR_S, independent_samples
from models.multivariate.products import dot, product, total
from models.multivariate.relations import ROUNDING, SAME, Pace, limit_of, refit, relations_of, rounding
from models.multivariate.state import State, rows_of

__all__ = ["Charts"]

_SIGMA_PER_DEVIATION = float(np.sqrt(np.pi / 2))
"""standard deviation of a normal distribution over its mean absolute deviation"""
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
        self._lasts, self._rare = warmup, budget
        self._every = np.ceil(_SPAN / smoothing)
        self.state = State.fresh(assets, sensors)

    def rebaseline(self, assets: Index) -> None:
        """Begin anew with these."""
        self.state.put(assets, State.fresh(assets.size, self._sensors))

    def pace(self, every_s: Column) -> None:
        """The samples that come now are so many seconds apart, one number an asset; 0: there are none of it."""
        self._lasts = np.maximum(self._warmup, np.floor(self._warmup_h * 3600 / np.maximum(every_s, 1e-6)))
        self._rare = self._budget * every_s / YEAR_S

    def step(self, assets: Index, values: Column) -> tuple[Column, Column]:
        """Score a sample of each of these assets, then learn from it.

        Args:
            assets: each once, ascending.
            values: (assets, p); NaN: the sensor is not known.

        Returns:
            scores, NaN while warming up and where no sensor is known; and contributions (assets, p), which sum to 1:
            what the squared distance loses if the sensor alone is set to what the others let expect
            (reconstruction-based contribution, Alcala & Qin 2009, "Reconstruction-based contribution for process
            monitoring", Automatica 45(7), section 3). A sensor that alone has moved far has the largest.
        """
        everyone = assets.size == self._budget.size
        here: Index | slice = slice(None) if everyone else assets
        state = self.state if everyone else self.state.take(here)
        values = np.asfortranarray(values)
        finite = np.isfinite(values)
        known = None if finite.all() else finite
        deviation = _chart(state, np.clip(values, -_FARTHEST, _FARTHEST), known, self._smoothing[here])
        pace = Pace(self._lasts[here], self._rare[here], self._smoothing[here], self._every[here])
        warm = state.count >= pace.warmup
        if warm.all():
            score, contribution = _score_and_learn(state, known, pace)
        else:
            score, contribution = np.full(assets.size, np.nan), np.full(values.shape, np.nan)
            if warm.any():
                rows = np.flatnonzero(warm)
                some = state.take(rows)
                score[rows], contribution[rows] = _score_and_learn(some, _rows(known, rows), pace.take(rows))
                state.put(rows, some)
            young: Index | slice = np.flatnonzero(~warm) if warm.any() else slice(None)
            some = state.take(young)
            _warm_up(some, deviation[young], _rows(known, young), pace.take(young))
            if warm.any():
                state.put(young, some)
        if not everyone:
            self.state.put(assets, state)
        return score, contribution


def _rows(known: Known | None, rows: Index | slice) -> Known | None:
    return None if known is None else known[rows]


def _chart(state: State, values: Column, known: Known | None, smoothing: Column) -> Column:
    """Take a sample into the charts; gives the deviations from the usual, clipped.

    known: which sensors are; None: all. Where one is not, its deviation is NaN.
    """
    if not state.heard.all():
        first = state.heard == 0
        if known is not None:
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
    gain = 1 / (state.heard + 1)
    moved *= np.maximum(gain, smoothing[:, None], out=gain)
    if known is None:
        state.last[:] = values
        state.smooth += moved
        state.heard += 1
    else:
        np.copyto(state.last, values, where=known)
        np.add(state.smooth, moved, out=state.smooth, where=known)
        state.heard += known
    return deviation


def _note_steps(state: State, at: tuple[Index, ...], values: Column, step: Column) -> None:
    """Smaller steps than ever before, but for rounding noise."""
    real = step[at] > SAME * np.abs(values[at])
    at = tuple(axis[real] for axis in at)
    floor = ROUNDING * state.resolution[at]
    state.resolution[at] = step[at]
    # Where the old step was what sigma was taken for, the model is another now.
    state.due[at[0][state.first_sigma[at] <= floor]] = np.inf
    if (state.deviation[at] * _SIGMA_PER_DEVIATION <= floor).any():
        _set_reach(state)


def _set_reach(state: State) -> None:
    scale = np.maximum(state.deviation * _SIGMA_PER_DEVIATION, rounding(state))
    state.reach[:] = np.where(state.heard < _UNCLIPPED, np.inf, _REACH * scale)


def _warm_up(state: State, deviation: Column, known: Known | None, pace: Pace) -> None:
    """Learn from a sample of assets that are warming up."""
    warmup, smoothing = pace.warmup, pace.smoothing
    state.count += 1
    count = state.count[:, None]
    # The first value is the origin and says nothing about the scale.
    gain = 1 / np.maximum(state.heard - 1, 1)
    gain *= np.abs(deviation) - state.deviation
    np.add(state.deviation, gain, out=state.deviation, where=True if known is None else known)
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
        relations = relations_of(some)
        operating_point.begin(some, relations.axis(), relations.precision)
        state.put(begins, some)
    done = np.flatnonzero(state.count >= warmup)
    if done.size:
        some = state.take(done)
        before = some.first_mean.copy()
        each = _settle(some, size[done])
        operating_point.settle(some, relations_of(some).axis(), before, each)
        state.put(done, some)


def _settle(state: State, size: Column) -> Column:
    """The warm-up is over: keep where it ended, as what later learning may not go far from.

    Returns:
        (assets, p) independent samples of each sensor; NaN: it never moved.
    """
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
    return each


def _score_and_learn(state: State, known: Known | None, pace: Pace) -> tuple[Column, Column]:
    """Score a sample of assets that have warmed up, then learn from it where it was no anomaly."""
    refit(np.isinf(state.due), state, pace)
    difference = state.smooth - state.mean
    limit, rest = state.limit, state.rest
    lacking: Index | None = None
    if known is not None:
        missing = ~known & (rest > 0)
        lacking = np.flatnonzero(missing.any(axis=1))
        limit, rest = limit.copy(), np.where(missing, 0.0, rest)
        difference[lacking] = _expected(state.precision[lacking], difference[lacking], missing[lacking])
        limit[lacking] = limit_of(state.take(lacking), pace.take(lacking), rest[lacking] > 0)
    pull = product(state.precision, difference)
    distance = np.maximum(dot(pull, difference), 0.0)
    factor, place = operating_point.widening(state, difference, state.count / pace.warmup, pace.smoothing)
    score = np.sqrt(np.maximum(distance / factor, place) / limit)
    contribution = _contribution(pull, rest)
    # What passes by the wider limit alone teaches nothing.
    learned = np.maximum(distance, place) < ALARM**2 * limit
    if lacking is not None:
        learned[lacking] = False
    _refine(state, difference, distance, learned, pace)
    return score, contribution


def _contribution(pull: Column, rest: Column) -> Column:
    share = pull * pull
    share *= rest
    all_of_it = total(share)
    nothing = all_of_it <= 0
    if nothing.any():
        share[nothing] = rest[nothing] > 0
        all_of_it = np.maximum(total(share), 1)
    share /= all_of_it[:, None]
    return share


def _expected(precision: Column, difference: Column, missing: Known) -> Column:
    """Differences with those of missing sensors as the others let expect: so they add nothing to the distance."""
    present = np.where(missing, 0.0, difference)
    towards = product(precision, present)
    system = precision * (missing[:, :, None] & missing[:, None, :])
    np.einsum("aii->ai", system)[...] += ~missing
    filled = np.linalg.solve(system, np.where(missing, -towards, present)[:, :, None])[:, :, 0]
    return np.where(missing, filled, present)


def _refine(state: State, difference: Column, distance: Column, learned: Known, pace: Pace) -> None:
    """Go on learning, within bounds, from the samples marked."""
    state.seen += 1
    state.due += learned
    # No further than it is: a parameter may have changed.
    np.minimum(state.count + learned, np.maximum(_MEMORY * pace.warmup, state.count), out=state.count)
    # All at once, if they began together: so little has to be looked for.
    teaches = (state.seen % pace.every == 0) & learned
    if not teaches.any():
        return
    # With most of them it is quicker to take all, and learn nothing from the others.
    rows: Index | slice = slice(None) if 2 * np.count_nonzero(teaches) > teaches.size else np.flatnonzero(teaches)
    gain = np.where(teaches, np.minimum(pace.every / state.count, 1.0), 0.0)[rows]
    state.mean[rows], state.covariance[rows] = _learned(
        rows_of(state.mean, rows),
        rows_of(state.covariance, rows),
        rows_of(state.first_mean, rows),
        rows_of(state.first_sigma, rows),
        difference[rows],
        distance[rows],
        gain[:, None],
    )
    refit(teaches & (state.due >= _REFIT * state.count), state, pace)


def _learned(
    mean: Column,
    covariance: Column,
    first_mean: Column,
    first_sigma: Column,
    difference: Column,
    distance: Column,
    gain: Column,
) -> tuple[Column, Column]:
    """Mean and covariance with another sample in it; the same as before where `gain`, (assets, 1), is 0."""
    central = special.chdtri(float(difference.shape[1]), 1 - _CENTRAL)
    near = difference * np.minimum(1.0, np.sqrt(central / np.maximum(distance, central)))[:, None]
    bound = _STRAY * first_sigma
    mean = np.clip(mean + gain * near, first_mean - bound, first_mean + bound)
    after = near[:, :, None] * near[:, None, :]
    after -= covariance
    after *= gain[:, :, None]
    after += covariance
    variance = np.einsum("aii->ai", after)
    widest = (_WIDEN * first_sigma) ** 2
    wide = (variance > widest) & (gain > 0)
    if wide.any():
        scale = np.sqrt(np.divide(widest, variance, out=np.ones_like(variance), where=wide))
        after *= scale[:, :, None] * scale[:, None, :]
    return mean, after
