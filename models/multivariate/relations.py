"""What the sensors of assets have in common, and the limit that follows from it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.multivariate.limits import distance_limit, tail_factor
from models.multivariate.products import total
from models.multivariate.state import State

__all__ = ["ROUNDING", "SAME", "Pace", "Relations", "limit_of", "refit", "relations_of", "rounding"]

ROUNDING = float(1 / np.sqrt(12))
"""standard deviation of rounding to a digit, in digits (Widrow 1956); smoothing does not take it away"""
SAME = 1e-12
"""steps up to this share of the value are rounding noise"""
_LEAST_SHRINKAGE = 1e-3
"""relations tighter than sensors are accurate are not believed"""

Column = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Known = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Pace:
    """(assets) what follows from parameters, and from how often there are samples."""

    warmup: Column
    """samples"""
    rare: Column
    """share of samples that may exceed the limit by chance"""
    smoothing: Column
    every: Column
    """samples from one that mean and covariance learn from to the next: those between say hardly anything new"""

    def take(self, rows: Index | slice) -> "Pace":
        """That of some assets."""
        return Pace(self.warmup[rows], self.rare[rows], self.smoothing[rows], self.every[rows])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Relations:
    """What charts have in common, sensors that never moved left out."""

    counted: Known
    """(assets, p)"""
    inverse: Column
    """(assets, p) 1 over sigma; 0 where left out"""
    correlation: Column
    """(assets, p, p), shrunk"""

    @property
    def precision(self) -> Column:
        """(assets, p, p) inverse of the covariance; rows and columns of 0 where left out."""
        scale = self.inverse[:, :, None] * self.inverse[:, None, :]
        return np.asarray(np.linalg.inv(self.correlation) * scale, np.float64)

    def axis(self) -> Column:
        """First principal axis, (assets, p), for a product of variance 1 with differences."""
        both = self.counted[:, :, None] & self.counted[:, None, :]
        strength, axes = np.linalg.eigh(np.where(both, self.correlation, 0.0))
        return np.asarray(axes[:, :, -1] / np.sqrt(np.maximum(strength[:, -1:], 1.0)) * self.inverse, np.float64)


def relations_of(state: State) -> Relations:
    """As of now, from all that was learned.

    The covariance is shrunk towards its diagonal by `δ = 1 / (n r²)`, see `Charts`.
    """
    level = np.abs(state.origin + state.mean)
    sigma = np.sqrt(np.maximum(np.einsum("aii->ai", state.covariance), 0.0))
    sigma = np.where(np.isnan(state.resolution), 0.0, np.maximum(sigma, rounding(state)))
    sigma = np.where(sigma > 0, np.maximum(sigma, SAME * level), 0.0)
    counted = sigma > 0
    inverse = np.divide(1.0, sigma, out=np.zeros_like(sigma), where=counted)
    correlation = state.covariance * (inverse[:, :, None] * inverse[:, None, :])
    np.einsum("aii->ai", correlation)[...] = 0.0
    number = counted.sum(axis=1)
    pairs = np.maximum(number * (number - 1), 1)
    squared = total(total(correlation * correlation)) / pairs
    shrinkage = np.clip(1 / (state.count * np.maximum(squared, 1e-300)), _LEAST_SHRINKAGE, 1.0)
    correlation *= (1 - shrinkage)[:, None, None]
    np.einsum("aii->ai", correlation)[...] = 1.0
    return Relations(counted=counted, inverse=inverse, correlation=correlation)


def refit(due: Known, state: State, pace: Pace) -> None:
    """Precision and limit of some assets from what has been learned."""
    if due.all():
        _refit(state, pace)
    elif due.any():
        rows = np.flatnonzero(due)
        some = state.take(rows)
        _refit(some, pace.take(rows))
        state.put(rows, some)


def _refit(state: State, pace: Pace) -> None:
    relations = relations_of(state)
    state.precision[:] = relations.precision
    strength = np.einsum("aii->ai", state.precision)
    state.rest[:] = np.divide(1.0, strength, out=np.zeros_like(strength), where=strength > 0)
    state.limit[:] = limit_of(state, pace, relations.counted)
    state.due[:] = 0.0


def limit_of(state: State, pace: Pace, counted: Known) -> Column:
    """Of the squared distance by the sensors that count; NaN where none does."""
    number = counted.sum(axis=1)
    sensors = np.maximum(number, 1).astype(np.float64)
    variance = state.first_sigma**2
    kurtosis = np.divide(state.fourth, variance**2, out=np.zeros_like(variance), where=counted & (variance > 0))
    excess = total(np.maximum(kurtosis - 3, 0.0))
    independent = state.independent * state.count / pace.warmup
    limit = distance_limit(sensors, independent, pace.rare) * tail_factor(sensors, excess, pace.rare)
    return np.where(number > 0, limit, np.nan)


def rounding(state: State) -> Column:
    """Standard deviation of rounding to the smallest step of each sensor."""
    return np.where(np.isfinite(state.resolution), state.resolution, 0.0) * ROUNDING
