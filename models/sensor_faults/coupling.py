"""What the sensors of an asset say about each other: which one leaves the others, alone."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Coupling"]

Column = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]

_RIDGE = 0.02
"""added to the variance of each sensor, which is 1: what a straight line does not explain about machines"""
_SMOOTHING = 1 / 12
"""weight of an hour in the residuals that are judged: half a day is looked at, so that no shift of load counts"""
_MARGIN = 3.0
"""over the largest smoothed residual of the training period"""
_COUPLED = 0.5
"""part of a sensor's variance that the others must explain, or its departure says nothing about it"""
_ALONE = 0.2
"""the others stay within this part of the departure, once the sensor is left out"""
_SMALLEST = 1e-12
_RECHECKED = 0.5
"""part of the training hours kept back: residuals of those are what limits are set by"""


@dataclass(slots=True)
class _State:
    """By asset (rows) and its sensors (columns)."""

    hours: Column
    """(assets) learned from"""
    mean: Column
    """(assets, sensors)"""
    product: Column
    """(assets, sensors, sensors) sums of products of deviations (Welford)"""
    smooth: Column
    """(assets, sensors) smoothed deviations in standard deviations"""
    weight: Column
    """(assets) of what was smoothed so far, to 1"""
    largest: Column
    """(assets, sensors) smoothed residual in the second part of the training period"""


class Coupling:
    """Regression of each sensor on the others of its asset, by hourly means.

    The inverse P of the correlation matrix (with a ridge) has all of these regressions in it: what is left of sensor j
    is (P z)_j / P_jj, and without another sensor k, P_ij becomes P_ij - P_ik P_kj / P_kk (Rencher, Multivariate
    Inference, sections 2.3 and 10.2). The first half of the training hours gives P, the second half the size of
    residuals on hours that were not fitted.

    Args:
        present: (assets, sensors) where an asset has a sensor.
        side: (assets, sensors) 1 where a rise alone is the machine's, -1 where a fall alone is; 0: neither.
        hours: that are learned from.
    """

    def __init__(self, present: Mask, side: npt.NDArray[np.int8], *, hours: int) -> None:
        assets, most = present.shape
        self._present, self._side = present, side
        self._fit, self._train = round(hours * _RECHECKED), hours
        self._state = _State(
            hours=np.zeros(assets),
            mean=np.zeros((assets, most)),
            product=np.zeros((assets, most, most)),
            smooth=np.zeros((assets, most)),
            weight=np.zeros(assets),
            largest=np.zeros((assets, most)),
        )
        self._inverse = np.zeros((assets, most, most))

    def forget(self, assets: Index) -> None:
        """Begin anew."""
        for field in fields(self._state):
            getattr(self._state, field.name)[assets] = 0.0

    @property
    def state(self) -> Any:
        """What is to be kept, a dataclass of arrays; `refresh` after it was changed."""
        return self._state

    def refresh(self) -> None:
        """Work out what follows from the state."""
        self._invert(np.flatnonzero(self._state.hours >= self._fit))

    def fold(self, assets: Index, mean: Column) -> Column:
        """Take one hour of some assets, all of it at work.

        Args:
            mean: (assets given, sensors) hourly means; NaN: no reading.

        Returns:
            (assets given, sensors) how far each sensor has left the others over its limit; 0 where it did not leave
            them alone, or that cannot be told.
        """
        state = self._state
        present = self._present[assets]
        whole = ~(np.isnan(mean) & present).any(axis=1)
        fitting = whole & (state.hours[assets] < self._fit)
        if fitting.any():
            self._learn(assets[fitting], np.where(present, mean, 0.0)[fitting])
        score = np.zeros(mean.shape)
        judged = np.flatnonzero(~fitting & (state.hours[assets] >= self._fit))
        if judged.size:
            score[judged] = self._judge(assets[judged], mean[judged])
        return score

    def _learn(self, rows: Index, mean: Column) -> None:
        state = self._state
        state.hours[rows] += 1
        before = mean - state.mean[rows]
        state.mean[rows] += before / state.hours[rows][:, None]
        after = mean - state.mean[rows]
        state.product[rows] += before[:, :, None] * after[:, None, :]
        self._invert(rows[state.hours[rows] == self._fit])

    def _invert(self, rows: Index) -> None:
        if not rows.size:
            return
        product = self._state.product[rows]
        spread = np.sqrt(np.maximum(np.diagonal(product, axis1=1, axis2=2), _SMALLEST))
        correlation = product / (spread[:, :, None] * spread[:, None, :])
        identity = np.eye(correlation.shape[1])
        # A sensor that never moved, or is not there, stands apart.
        still = np.diagonal(product, axis1=1, axis2=2) <= _SMALLEST
        correlation = np.where(still[:, :, None] | still[:, None, :], identity, correlation)
        self._inverse[rows] = np.linalg.inv(correlation + _RIDGE * identity)

    def _judge(self, rows: Index, mean: Column) -> Column:
        state = self._state
        present = self._present[rows]
        spread = np.sqrt(np.diagonal(state.product[rows], axis1=1, axis2=2) / np.maximum(self._fit - 1, 1))
        moved = spread > np.sqrt(_SMALLEST)
        deviation = np.where(present & moved, (mean - state.mean[rows]) / np.where(moved, spread, 1.0), 0.0)
        inverse = self._inverse[rows]
        missing = np.isnan(deviation)
        for row in np.flatnonzero(missing.any(axis=1)).tolist():
            # As the others would have it, so that its smoothed value keeps step with theirs; it is not judged.
            deviation[row, missing[row]] = _expected(inverse[row], missing[row], deviation[row])
            inverse[row] = _without(inverse[row], missing[row])
        state.weight[rows] += _SMOOTHING * (1 - state.weight[rows])
        state.smooth[rows] += _SMOOTHING * (deviation - state.smooth[rows])
        smooth = state.smooth[rows] / state.weight[rows][:, None]
        pull = np.einsum("aij,aj->ai", inverse, smooth)
        own = np.diagonal(inverse, axis1=1, axis2=2)
        residual = pull / own
        training = state.hours[rows] < self._train
        state.hours[rows] += training
        settled = state.weight[rows] > 0.5
        grow = (training & settled)[:, None] & ~missing
        state.largest[rows] = np.where(grow, np.maximum(state.largest[rows], np.abs(residual)), state.largest[rows])
        # Never below what the fit says is left: the second half can be a quiet time.
        limit = _MARGIN * np.maximum(state.largest[rows], 0.5 / np.sqrt(own))
        departed = np.abs(residual) / limit
        # Without that one the others must agree: residuals of i with k left out.
        # The one whose leaving out explains most: if one sensor alone is wrong, it is always that one.
        most = np.argmax(np.where(present & ~missing, pull**2 / own, 0.0), axis=1)
        each = np.arange(rows.size)
        through = inverse[each, :, most]
        rest_own = np.maximum(own - through**2 / own[each, most][:, None], _SMALLEST)
        rest = (pull - through * residual[each, most][:, None]) / rest_own
        rest_limit = limit * np.sqrt(own / rest_own)
        others = np.where(missing, 0.0, np.abs(rest) / rest_limit)
        others[each, most] = 0.0
        top = departed[each, most]
        explained = 1 - 1 / own[each, most]
        side = self._side[rows, most]
        machine_like = np.where(side == 0, explained < _COUPLED, np.sign(residual[each, most]) == side)
        alone = (others.max(axis=1) < np.maximum(_ALONE * top, 1 / _MARGIN)) & ~machine_like & ~training
        score = np.zeros(mean.shape)
        score[each, most] = np.where(alone, top, 0.0)
        return score


def _expected(inverse: Column, gone: Mask, deviation: Column) -> Column:
    """Deviations of sensors that say nothing, given the others (conditional mean)."""
    told = inverse[np.ix_(gone, ~gone)] @ deviation[~gone]
    return np.asarray(-np.linalg.solve(inverse[np.ix_(gone, gone)], told), np.float64)


def _without(inverse: Column, gone: Mask) -> Column:
    """The same for an asset of which some sensors say nothing: they stand apart (Schur complement)."""
    stays = ~gone
    left = np.eye(gone.size)
    through = np.linalg.solve(inverse[np.ix_(gone, gone)], inverse[np.ix_(gone, stays)])
    left[np.ix_(stays, stays)] = inverse[np.ix_(stays, stays)] - inverse[np.ix_(stays, gone)] @ through
    return left
