"""What a history says about wear at each of its rows, from the rows up to it only."""

import itertools
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import silhouette_score

from models.life.labelled_histories import LifeHistories

__all__ = ["LifeFeatures"]

_STRONG_STRUCTURE = 0.7
"""silhouette from which clusters are taken to be there (Kaufman & Rousseeuw 1990, table 4 of ch. 2)"""
_MOST_CONDITIONS = 8
_SAMPLE = 500
"""rows on which the number of conditions is decided: the silhouette costs their square"""

_SPANS = (0.025, 0.05, 0.1, 0.2, 0.4)
"""of the exponential means, as shares of the median life: doubling, so that a knee is seen at some span"""
_SENSOR_SPAN = 0.1
_LAGS = (0.05, 0.1, 0.2)
"""over which a health index is compared with itself, as shares of the median life"""
_BEGINNING = 0.1
"""share of the median life that says in what state a unit began"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LifeFeatures:
    """How rows become features; all of it learned from training units.

    Operating conditions are told apart by clustering the settings (where they form clusters at all), and each sensor
    is centred, scaled and freed of the linear effect of the settings within its condition. Health indices are the
    linear combination that follows remaining life best, and the first two principal components: one direction of wear
    is told from another by the second. Everything is then an exponential mean, a difference of two, or a difference
    from the unit's own past, so a feature at a row does not depend on later rows.
    """

    kept: npt.NDArray[np.intp]
    """(kept,) sensors that vary and are mostly known"""
    setting_mean: npt.NDArray[np.float64]
    setting_scale: npt.NDArray[np.float64]
    centres: npt.NDArray[np.float64]
    """(conditions, settings) scaled"""
    expected: npt.NDArray[np.float64]
    """(conditions, 1 + settings, kept) usual value and effect of scaled settings, relative to the centre"""
    spread: npt.NDArray[np.float64]
    """(conditions, kept) standard deviation from what is expected; NaN where a sensor says nothing"""
    indices: npt.NDArray[np.float64]
    """(kept, indices) weights of the sensors in the health indices"""
    life_rows: npt.NDArray[np.float64]
    """(), median life of the training units, rows"""

    @classmethod
    def fit(cls, histories: LifeHistories, target: npt.NDArray[np.float64], *, seed: int) -> "LifeFeatures":
        """Learn from whole lives.

        Args:
            target: (rows,) remaining life, capped.
            seed: of the clustering.

        Raises:
            ValueError: no sensor varies.
        """
        setting_mean, setting_scale = _moments(histories.settings)
        settings = (histories.settings - setting_mean) / setting_scale
        centres = _conditions(settings, seed)
        condition = _nearest(settings, centres)
        values = histories.values
        mostly_known = np.isfinite(values).mean(axis=0) > 0.5
        expected = np.zeros((len(centres), 1 + settings.shape[1], values.shape[1]))
        spread = np.full((len(centres), values.shape[1]), np.nan)
        for number, centre in enumerate(centres):
            rows = condition == number
            for sensor in np.flatnonzero(mostly_known):
                known = rows & np.isfinite(values[:, sensor])
                if np.count_nonzero(known) < 10:
                    continue
                expected[number, :, sensor], spread[number, sensor] = _usual(
                    settings[known] - centre, values[known, sensor]
                )
        kept = np.flatnonzero(np.isfinite(spread).any(axis=0))
        if not kept.size:
            raise ValueError("no sensor varies in these histories: there is nothing to learn from")
        plain = cls(
            kept=kept,
            setting_mean=setting_mean,
            setting_scale=setting_scale,
            centres=centres,
            expected=expected[:, :, kept],
            spread=spread[:, kept],
            indices=np.zeros((kept.size, 0)),
            life_rows=np.array(np.median(histories.ends - histories.starts + 1), np.float64),
        )
        normal = np.nan_to_num(plain.normalise(histories))
        wear = Ridge(1.0).fit(normal, target).coef_ / (target.std() or 1.0)
        components = PCA(min(2, kept.size), random_state=seed).fit(normal).components_
        return replace(plain, indices=np.column_stack([wear, components.T]))

    def normalise(self, histories: LifeHistories) -> npt.NDArray[np.float64]:
        """(rows, kept): each sensor in standard deviations from what is usual in the condition; NaN: not known."""
        settings = (histories.settings - self.setting_mean) / self.setting_scale
        condition = _nearest(settings, self.centres)
        effects = np.column_stack([np.ones(len(histories)), settings - self.centres[condition]])
        usual = np.einsum("rs,rsk->rk", effects, self.expected[condition])
        return np.asarray((histories.values[:, self.kept] - usual) / self.spread[condition])

    def of(self, histories: LifeHistories) -> npt.NDArray[np.float64]:
        """(rows, features), finite: what is not known is taken to be usual."""
        normal = self.normalise(histories)
        parts = [
            self._of_unit(histories.age[start : end + 1], normal[start : end + 1])
            for start, end in zip(histories.starts.tolist(), histories.ends.tolist(), strict=True)
        ]
        return np.vstack(parts) if parts else np.empty((0, 0))

    def _rows(self, share: float) -> int:
        return max(2, round(share * float(self.life_rows)))

    def _of_unit(self, age: npt.NDArray[np.float64], normal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        # A gap in one sensor must not tear a health index: it is bridged by what that sensor showed last.
        health = _held(normal) @ self.indices
        means = [_exponential_mean(health, self._rows(share)) for share in _SPANS]
        begun = self._rows(_BEGINNING)
        beginning = np.cumsum(health, axis=0) / np.arange(1, len(health) + 1)[:, None]
        beginning[begun:] = beginning[begun - 1 : begun]
        smooth = means[1]
        parts = [age[:, None], np.nan_to_num(_exponential_mean(normal, self._rows(_SENSOR_SPAN))), *means]
        parts += [quick - slow for quick, slow in itertools.pairwise(means)]
        parts += [beginning, smooth - beginning]
        for share in _LAGS:
            before = np.maximum(np.arange(len(age)) - self._rows(share), 0)
            parts.append(smooth - smooth[before])
        return np.hstack(parts)


def _moments(values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    known = np.where(np.isfinite(values).any(axis=0), values, 0.0)
    scale = np.nanstd(known, axis=0)
    mean = np.nanmean(known, axis=0)
    return mean, np.where(scale > 1e-9 * np.maximum(np.abs(mean), 1e-300), scale, 1.0)


def _usual(settings: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], float]:
    """Value at the centre and effect of each setting, and the standard deviation around them; NaN if it is constant."""
    mean, spread = float(values.mean()), float(values.std())
    alone = np.r_[mean, np.zeros(settings.shape[1])]
    if spread <= 1e-9 * max(abs(mean), 1e-300):
        return alone, np.nan
    if not settings.shape[1]:
        return alone, spread
    line = Ridge(1.0).fit(settings, values)
    left = float((values - line.predict(settings)).std())
    # A sensor that follows the settings to the last digit says nothing about wear.
    return np.r_[line.intercept_, line.coef_], left if left > 1e-6 * spread else np.nan


def _conditions(settings: npt.NDArray[np.float64], seed: int) -> npt.NDArray[np.float64]:
    """(conditions, settings) centres of the operating conditions; one of zeros where settings form no clusters."""
    one = np.zeros((1, settings.shape[1]))
    known = settings[np.isfinite(settings).all(axis=1)]
    if not known.size or not known.std(axis=0).any():
        return one
    sample = known[np.linspace(0, len(known) - 1, min(_SAMPLE, len(known))).astype(np.intp)]
    best, centres = _STRONG_STRUCTURE, one
    for count in range(2, min(_MOST_CONDITIONS, len(np.unique(sample, axis=0)) - 1) + 1):
        clusters = KMeans(count, n_init=4, random_state=seed).fit(sample)
        strength = float(silhouette_score(sample, clusters.labels_))
        if strength > best:
            best, centres = strength, np.asarray(clusters.cluster_centers_, np.float64)
    return centres


def _nearest(settings: npt.NDArray[np.float64], centres: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    distance = np.square(np.nan_to_num(settings)[:, None, :] - centres[None]).sum(axis=2)
    return np.asarray(distance.argmin(axis=1), np.intp)


def _held(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Each gap filled by the last value before it; 0 before the first."""
    at = np.where(np.isfinite(values), np.arange(len(values))[:, None], -1)
    last = np.maximum.accumulate(at, axis=0)
    return np.where(last >= 0, np.take_along_axis(values, np.maximum(last, 0), axis=0), 0.0)


def _exponential_mean(values: npt.NDArray[np.float64], span: int) -> npt.NDArray[np.float64]:
    """Mean of the known values up to each row, weighted by (1 - 2/(span + 1)) to the power of their distance in rows.

    NaN before the first known value.
    """
    keep = 1 - 2 / (span + 1)
    known = np.isfinite(values)
    total = lfilter([1.0], [1.0, -keep], np.where(known, values, 0.0), axis=0)
    weight = lfilter([1.0], [1.0, -keep], known.astype(np.float64), axis=0)
    # The weight of a sensor that fell silent long ago fades until it cannot be told from rounding.
    return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 1e-12)
