"""Lines for charts: few enough points to draw, peaks kept, broken where nothing is known."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from tsdownsample import MinMaxLTTBDownsampler

from telemetry.batch import Time

__all__ = ["FEWEST_POINTS", "Line", "draw", "thin"]

FEWEST_POINTS = 10
"""of a line: with fewer there is no room for its ends, its extremes, some shape and breaks"""
_FEWEST_KEPT = 8

Value = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """Points to be joined, in order of time."""

    time: Time
    """int64, µs since 1970"""
    value: Value
    """float64; NaN: a break, the points on both sides must not be joined"""

    def __len__(self) -> int:
        return int(self.time.size)


def thin(time: Time, value: Value, points: int) -> npt.NDArray[np.intp]:
    """Positions of at most `points` points that look like all of them: first, last, lowest and highest are kept.

    Args:
        time: µs, ascending.
        value: finite.
        points: 8 or more.

    Source: Van Der Donckt et al., "MinMaxLTTB", arXiv 2305.00332 (2023).
    """
    if points < _FEWEST_KEPT:
        raise ValueError(f"{points} points are too few to draw with; ask for {_FEWEST_KEPT} or more")
    if time.size <= points:
        return np.arange(time.size)
    # Largest triangles keep nearly every extreme; the two of the whole line must not be left to that.
    extremes = [0, time.size - 1, int(np.argmin(value)), int(np.argmax(value))]
    sampler = MinMaxLTTBDownsampler()  # type: ignore[no-untyped-call]  # the package leaves its __init__ unannotated
    # Times from 0 on: float64 holds them exactly then.
    chosen = sampler.downsample(time - time[0], np.ascontiguousarray(value), n_out=points - len(extremes))
    return np.unique(np.concatenate((chosen.astype(np.intp), extremes)))


def draw(time: Time, value: Value, broken: npt.NDArray[np.bool_], points: int) -> Line:
    """A line of at most `points` points, breaks included.

    Args:
        time: µs, strictly ascending.
        value: finite.
        broken: shape (n - 1,): whether something is missing between a point and the next. At most a quarter of
            `points` are used for breaks; of more, only the longest show.
        points: `FEWEST_POINTS` or more.
    """
    breaks = np.flatnonzero(broken)
    if time.size + breaks.size > points:
        longest = np.argsort(-np.diff(time)[breaks], kind="stable")[: points // 4]
        breaks = np.sort(breaks[longest])
    kept = thin(time, value, points - breaks.size) if points - breaks.size < time.size else np.arange(time.size)
    # Between the points that are left on both sides of a break; two breaks may now lie between the same ones.
    after = np.unique(np.searchsorted(kept, breaks, side="right"))
    time, value = time[kept], value[kept]
    middle = time[after - 1] + (time[after] - time[after - 1]) // 2
    return Line(time=np.insert(time, after, middle), value=np.insert(value, after, np.nan))
