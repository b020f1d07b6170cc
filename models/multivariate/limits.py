"""The limit of a distance that an asset sets itself: rare enough for its budget, wider the less it has seen."""

import numpy as np
import numpy.typing as npt
from scipy import special

__all__ = ["YEAR_S", "distance_limit", "independent_samples", "tail_factor"]

YEAR_S = 365.25 * 86_400
_LEAST = 2.0

Column = npt.NDArray[np.float64]


def distance_limit(sensors: Column, independent: Column, probability: Column) -> Column:
    """Squared distance of a sample from the usual that one more sample exceeds with this probability.

    `p (1 + 1/n) F(p, p (n - 1))` of p sensors whose level and scale were estimated from n independent samples: the
    T² limit for a future sample (Tracy, Young & Mason 1992, "Multivariate control charts for individual observations",
    J. Quality Technology 24(2)), with p (n - 1) degrees of freedom in place of their n - p. Theirs are for relations
    that are estimated in full and leave none where n < p; ours are shrunk, so that mostly p scales are uncertain.

    Args:
        sensors: p, 1 or more; of each asset.
        independent: n, 2 or more.
        probability: above 0, below 0.5.

    >>> distance_limit(np.array([8.0]), np.array([1e9]), np.array([0.001])).round(2)  # of chi-squared
    array([26.12])
    """
    of_scale = sensors * (independent - 1)
    # The quantile of F by the complement of the beta distribution: 1 - probability would cost the digits.
    share = special.betainccinv(sensors / 2, of_scale / 2, probability)
    quantile = of_scale * share / (sensors * (1 - share))
    return np.asarray(sensors * (1 + 1 / independent) * quantile, np.float64)


def tail_factor(sensors: Column, excess: Column, probability: Column) -> Column:
    """How much further out the limit has to be for signals with heavier tails than normal ones.

    A sum of squares of variance 2p + Σ excess is taken as g times chi-squared of h degrees of freedom with that mean
    and variance (Box 1954, "Some theorems on quadratic forms", Annals of Mathematical Statistics 25(2)).

    Args:
        sensors: p, of each asset.
        excess: sum of the excess kurtoses of its sensors, 0 or more.
        probability: as for `distance_limit`.

    Returns:
        1 or more.
    """
    scale = 1 + excess / (2 * sensors)
    heavy = scale * special.chdtri(sensors / scale, probability)
    return np.asarray(np.maximum(heavy / special.chdtri(sensors, probability), 1.0), np.float64)


def independent_samples(samples: Column, batch: Column, variance: Column, of_batch_means: Column) -> Column:
    """How many independent samples say as much about level and scale as these did, which follow on each other.

    By batch means: `n / τ`, with τ the variance of the means of batches over what it would be had the samples been
    independent (Schmeiser 1982, "Batch size effects in the analysis of simulation output", Operations Research
    30(3)). A signal that wanders as slowly as the batches are long has hardly more than one sample a batch.

    Args:
        samples: n, broadcast against the others; so is `batch`.
        batch: samples a batch.
        variance: of the samples, 0 where the signal never moved.
        of_batch_means: variance of the means of batches.

    Returns:
        2 to `samples`; NaN where the signal never moved.
    """
    known = variance > 0
    tau = np.maximum(np.divide(batch * of_batch_means, variance, out=np.ones_like(variance), where=known), 1.0)
    return np.where(known, np.maximum(samples / tau, _LEAST), np.nan)
