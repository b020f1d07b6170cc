"""How far predicted remaining lives are from the true ones."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["LifeFigures", "interval_share", "judge_life", "phm08_score"]

Column = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeFigures:
    """Errors of predictions, in the unit of the lives. NaN: nothing was predicted."""

    cases: int
    predicted: int
    """of them, those with a prediction; the others are in no error"""
    rmse: float
    """both lives cut at the cap; as `rmse_raw` without one"""
    rmse_raw: float
    mae: float
    """both lives cut at the cap"""
    bias: float
    """mean of predicted less true, both cut at the cap; above 0: fails earlier than said"""
    phm08: float
    """sum over cases; see `phm08_score`"""


def judge_life(true: Column, predicted: Column, *, cap: float | None = None) -> LifeFigures:
    """Compare remaining lives, case by case.

    Args:
        true: (n,), finite.
        predicted: (n,); NaN: no prognosis could be made.
        cap: lives above it count as it, since nothing is to be seen of wear that has not begun (Heimes 2008, "Recurrent
            neural networks for remaining useful life estimation", PHM). The raw error does not know of it.
    """
    known = np.isfinite(predicted)
    raw = predicted[known] - true[known]
    most = np.inf if cap is None else cap
    error = np.minimum(predicted[known], most) - np.minimum(true[known], most)
    if not known.any():
        raw = error = np.array([np.nan])
    return LifeFigures(
        cases=int(true.size),
        predicted=int(known.sum()),
        rmse=float(np.sqrt(np.mean(error**2))),
        rmse_raw=float(np.sqrt(np.mean(raw**2))),
        mae=float(np.mean(np.abs(error))),
        bias=float(np.mean(error)),
        phm08=phm08_score(error),
    )


def phm08_score(error: Column) -> float:
    """Sum of exp(-d/13) - 1 for d < 0 and exp(d/10) - 1 for the others, d = predicted less true, in cycles.

    Late is worse than early; 0 is perfect. It is a sum, so it grows with cases, and one bad case can be all of it.
    Source: Saxena et al. 2008, "Damage propagation modeling for aircraft engine run-to-failure simulation", PHM.

    >>> round(phm08_score(np.array([-13.0, 10.0])), 3)
    3.437
    """
    return float(np.sum(np.expm1(np.where(error < 0, -error / 13, error / 10))))


def interval_share(true: Column, low: Column, high: Column) -> float:
    """Part of cases whose truth lies between two quantiles, 0 to 1: between P10 and P90 it should be 0.8.

    Cases without both quantiles (NaN) do not count; an upper one of inf is known. NaN: none has them.
    """
    known = ~(np.isnan(low) | np.isnan(high))
    return float(np.mean((low <= true)[known] & (true <= high)[known])) if known.any() else float("nan")
