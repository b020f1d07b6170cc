"""`State`: what the charts of assets with equally many sensors know."""

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

__all__ = ["STATE_NAMES", "State", "rows_of"]

Column = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


@dataclass(slots=True)
class State:
    """float64 each, one row an asset; p sensors. Values are differences from `origin`, chart means `smooth`.

    Assets lie side by side in memory (Fortran order): most of what is done is the same for all of them.
    """

    count: Column
    """(n,) samples learned from"""
    due: Column
    """(n,) samples learned from since the last refit; inf: refit at once"""
    seen: Column
    """(n,) samples scored"""
    heard: Column
    """(n, p) samples that had the sensor, in the warm-up"""
    origin: Column
    """(n, p) the sensor's first value"""
    last: Column
    resolution: Column
    """(n, p) smallest step from a sample to the next; inf: it never moved; NaN: the sensor is left out"""
    deviation: Column
    """(n, p) mean absolute deviation from the level, in the warm-up"""
    reach: Column
    """(n, p) deviation beyond which a value counts as this far"""
    smooth: Column
    """(n, p) EWMA of the values"""
    mean: Column
    """(n, p) usual chart"""
    fourth: Column
    """(n, p) fourth central moment of the chart in the warm-up"""
    covariance: Column
    """(n, p, p) of the chart"""
    batch: Column
    """(n, p) sum of the chart in the batch of the warm-up that is not over"""
    batch_mean: Column
    batch_square: Column
    """(n, p) sum of squares of the means of batches around `batch_mean`"""
    first_mean: Column
    """(n, p) at the end of the warm-up"""
    first_sigma: Column
    """(n, p) of the chart at the end of the warm-up; 0: it never moved, or is left out"""
    independent: Column
    """(n,) samples the warm-up was worth"""
    precision: Column
    """(n, p, p) inverse of the shrunk covariance, as of the last refit; rows and columns of 0 where left out"""
    rest: Column
    """(n, p) variance of each sensor given the others, as of the last refit; 0: it is left out"""
    limit: Column
    """(n,) of the squared distance, as of the last refit"""
    axis: Column
    """(n, p) operating point per unit of each sensor; see `operating_point`"""
    slow: Column
    """(n,) slow mean of the operating point"""
    unrest: Column
    """(n,) mean square of how far it was from that, in the second half of the warm-up"""
    moves: Column
    """(n,) samples the warm-up was worth for the operating point"""
    noted: Column
    """(n, 10) sums of the second half of the warm-up"""
    growth: Column
    """(n, 3) of the distance off the axis, with the operating point"""

    @classmethod
    def fresh(cls, assets: int, sensors: int) -> "State":
        """Nothing heard yet."""
        shapes = dict.fromkeys(("count", "due", "seen", "independent", "limit", "slow", "unrest", "moves"), ())
        sums = {"noted": (10,), "growth": (3,)}
        squares = {"covariance": (sensors, sensors), "precision": (sensors, sensors)}
        state = cls(
            *(
                np.zeros((assets, *{**shapes, **sums, **squares}.get(field.name, (sensors,))), order="F")
                for field in fields(cls)
            )
        )
        state.resolution[:] = state.reach[:] = np.inf
        return state

    def take(self, index: Index | slice) -> "State":
        """These assets; copies, but for a slice."""
        return State(*[rows_of(getattr(self, name), index) for name in STATE_NAMES])

    def put(self, index: Index | slice, rows: "State") -> None:
        """Set these assets."""
        for name in STATE_NAMES:
            getattr(self, name)[index] = getattr(rows, name)


STATE_NAMES = tuple(field.name for field in fields(State))


def rows_of(table: Column, index: Index | slice) -> Column:
    """Some rows of a table of a state; a copy, but for a slice."""
    # Transposed and back: assets side by side in memory, as in `State.fresh`.
    return table[index] if isinstance(index, slice) else table.T.take(index, axis=-1).T
