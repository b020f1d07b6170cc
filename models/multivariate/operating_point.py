"""Where on its range an asset is operated, and how much less is known of it there."""

import numpy as np
import numpy.typing as npt

from models.multivariate.products import dot, product, total
from models.multivariate.state import State

__all__ = ["begin", "note", "settle", "take_place", "widening"]

_SLOWER = 10.0
"""times the charts' time constant: what the operating point is compared with to see that it is changing"""
_SEEN = 3.0
"""standard deviations of the operating point, and of its changes, up to which a warm-up shows anything"""
_FACTORS = 2
_SAME = 1e-9
_STEADIEST = 0.2
"""share of the usual unexplained distance that is believed of an asset that is held in the middle of its range"""

Column = npt.NDArray[np.float64]
Known = npt.NDArray[np.bool_]

# What is asked of a machine moves all its sensors together, along the first principal axis of their charts. The
# relations between sensors are straight lines in `Charts`; in a machine they are curves (a fan's power goes with the
# cube of its speed), and some answer late (a winding takes an hour to warm up). So the distance of a machine that is
# well grows towards the ends of its range, and while it changes. How much, the second half of the warm-up shows, by
# what the first half had let expect: with t the operating point in standard deviations and c how far it is from its
# own slow mean, the distance off the axis is a + b t^4 + c c^2 (a curve misses a straight line by a square). On top of
# that, what was learned from n independent samples is less sure by 1 + h, h = (t^2 + c^2 / var c) / n: the leverage of
# the sample (Montgomery, Peck & Vining 2012, "Introduction to Linear Regression Analysis", 3.8 hidden extrapolation).


def begin(state: State, axis: Column, precision: Column) -> None:
    """Half of the warm-up is over: from here on note what it does not explain.

    Args:
        axis: (assets, p) operating point per unit of each sensor, of variance 1.
        precision: (assets, p, p) of the charts so far.
    """
    state.axis[:], state.precision[:] = axis, precision
    state.first_mean[:] = state.mean
    state.slow[:] = _place(state, state.smooth - state.mean)
    state.noted[:] = 0.0


def note(state: State, smoothing: Column) -> None:
    """Take a sample of the second half of the warm-up."""
    difference = state.smooth - state.first_mean
    place = _place(state, difference)
    change = take_place(state, place, smoothing)
    distance = dot(product(state.precision, difference), difference)
    off_axis = np.maximum(distance - place**2, 0.0)
    far, moving = _features(place, change)
    noted: tuple[float | Column, ...] = (
        *(1.0, far, moving, far * far, far * moving, moving * moving),
        *(off_axis, far * off_axis, moving * off_axis, off_axis * off_axis),
    )
    for row, each in enumerate(noted):
        state.noted[:, row] += each


def settle(state: State, axis: Column, before: Column, independent: Column) -> None:
    """The warm-up is over: fit how the distance grows, and take the axis of all of it.

    Args:
        axis: as for `begin`, of the whole warm-up.
        before: (assets, p) what was usual when it was half over.
        independent: (assets, p) samples that the warm-up was worth for each sensor; NaN: it never moved.
    """
    # Each sensor has as much of the operating point as of its variance.
    part = (axis * state.first_sigma) ** 2
    part /= np.maximum(total(part), np.finfo(np.float64).tiny)[:, None]
    state.moves[:] = 1 / np.maximum(total(part / np.where(np.isfinite(independent), independent, np.inf)), 1e-9)
    state.growth[:] = _growth(state.noted, state.moves / 2)
    number = np.maximum(state.noted[:, 0], 1.0)
    state.unrest[:] = np.maximum(state.noted[:, 2] / number, np.finfo(np.float64).tiny)
    # The same direction, the same way round.
    same = dot(axis, state.axis) >= 0
    axis = np.where(same[:, None], axis, -axis)
    state.slow += dot(axis, before - state.mean)
    state.axis[:] = axis


def take_place(state: State, place: Column, smoothing: Column) -> Column:
    """How far the operating point is from its slow mean, which then follows it."""
    change = place - state.slow
    state.slow += smoothing / _SLOWER * change
    return change


def widening(state: State, difference: Column, learned: Column, smoothing: Column) -> tuple[Column, Column]:
    """How many times as far as usual the squared distance may be of assets that are operated like this.

    Args:
        state: of the assets.
        difference: (assets, p) of the charts from their usual values.
        learned: lengths of the warm-up that what is usual was learned from.

    Returns:
        factors, 1 or more; squared operating points: no factor applies to those.
    """
    place = _place(state, difference)
    change = take_place(state, place, smoothing)
    far, moving = _features(place, change)
    steady, by_far, by_moving = state.growth.T
    grown = np.maximum(steady + by_far * far + by_moving * moving, 1.0)
    leverage = np.sqrt(far) + np.minimum(moving / state.unrest, _SEEN**2)
    return np.asarray(grown * (1 + leverage / (state.moves * learned)), np.float64), np.square(place)


def _place(state: State, difference: Column) -> Column:
    return dot(state.axis, difference)


def _features(place: Column, change: Column) -> tuple[Column, Column]:
    """t^4 and c^2; what lies beyond all that was seen is taken for its edge."""
    return np.minimum(np.abs(place), _SEEN) ** 4, np.minimum(np.abs(change), _SEEN) ** 2


def _growth(noted: Column, independent: Column) -> Column:
    """Least squares with no factor below 0, shrunk by what chance alone explains; in parts of the mean: (assets, 3).

    Shrunk by 1 - 1 / F (Copas 1983, "Regression, prediction and shrinkage", J. Royal Statistical Society B 45(3)), with
    as many independent samples as there were.
    """
    one, far, moving, far2, both, moving2, off, off_far, off_moving, off2 = noted.T
    number = np.maximum(one, 1.0)
    mean = off / number
    # Deviations from the means, so that two unknowns are left.
    s11, s12, s22 = far2 - far**2 / number, both - far * moving / number, moving2 - moving**2 / number
    r1, r2, everything = off_far - far * mean, off_moving - moving * mean, off2 - off * mean
    determinant = s11 * s22 - s12**2
    sound = determinant > _SAME * s11 * s22
    safe = np.where(sound, determinant, 1.0)
    by_far = np.where(sound, (s22 * r1 - s12 * r2) / safe, -1.0)
    by_moving = np.where(sound, (s11 * r2 - s12 * r1) / safe, -1.0)
    # Where one of the two would be below 0, the better one alone.
    only_far = np.maximum(np.divide(r1, s11, out=np.zeros_like(r1), where=s11 > 0), 0.0)
    only_moving = np.maximum(np.divide(r2, s22, out=np.zeros_like(r2), where=s22 > 0), 0.0)
    one_only = np.where(only_far * r1 >= only_moving * r2, [only_far, 0 * r1], [0 * r1, only_moving])
    by_far, by_moving = np.where((by_far >= 0) & (by_moving >= 0), [by_far, by_moving], one_only)
    explained = by_far * r1 + by_moving * r2
    chance = _FACTORS * np.maximum(everything - explained, 0.0) / np.maximum(independent - _FACTORS - 1, _FACTORS)
    shrunk = np.maximum(1 - np.divide(chance, explained, out=np.ones_like(chance), where=explained > 0), 0.0)
    by_far, by_moving = shrunk * by_far, shrunk * by_moving
    steady = np.maximum(mean - (by_far * far + by_moving * moving) / number, _STEADIEST * mean)
    growth = np.stack([steady, by_far, by_moving], axis=1)
    return growth / np.where(mean > 0, mean, 1.0)[:, None]
