"""Whether inputs still look as they did in training: the population stability index (PSI).

Training values are divided into bins of equal counts; the index compares the shares of later values in them,
`sum((later - then) * ln(later / then))` over the bins (Lin 2017; Siddiqi, Credit Risk Scorecards, 2006). By the rule of
thumb of that book: below 0.1 nothing happened, above 0.25 the model does not know what it sees.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["DRIFTED", "SHIFTED", "Reference", "stability_index"]

SHIFTED = 0.1
"""index from which on a look is worth it"""
DRIFTED = 0.25
"""index from which on the model is to be trained anew"""

_BINS = 10
_SMALLEST_SHARE = 1e-4
"""an empty bin counts as this, or its logarithm would be all there is"""

Column = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reference:
    """How one input was spread in training."""

    edges: Column
    """between the bins, ascending; at most nine: values that repeat make fewer bins"""
    shares: Column
    """of the training values in each bin, together 1; one more than edges"""

    @classmethod
    def of(cls, values: Column) -> "Reference":
        """From training values; NaN is passed over.

        Raises:
            ValueError: there is no value.
        """
        known = values[np.isfinite(values)]
        if not known.size:
            raise ValueError("no training value: there is nothing to compare with")
        edges = np.unique(np.quantile(known, np.arange(1, _BINS) / _BINS))
        return cls(edges=edges, shares=_shares(known, edges))


def stability_index(reference: Reference, values: Column) -> float:
    """PSI of later values, 0 or more; NaN: there is none. NaN among the values is passed over.

    >>> then = np.arange(1000.0)
    >>> round(stability_index(Reference.of(then), then), 3)
    0.0
    >>> stability_index(Reference.of(then), then + 300.0) > DRIFTED
    True
    """
    known = values[np.isfinite(values)]
    if not known.size:
        return float("nan")
    now = np.maximum(_shares(known, reference.edges), _SMALLEST_SHARE)
    then = np.maximum(reference.shares, _SMALLEST_SHARE)
    return float(np.sum((now - then) * np.log(now / then)))


def _shares(values: Column, edges: Column) -> Column:
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=edges.size + 1)
    return counts / values.size
