"""Families of equally spaced lines in a spectrum, and how likely noise is to make one."""

import numpy as np
import numpy.typing as npt
import scipy.special

__all__ = ["CAP", "HARMONICS", "comb", "noise_limit"]

Column = npt.NDArray[np.float64]

HARMONICS = 4
"""lines of a family that are counted"""
CAP = 12.0
"""what one line counts at most, in means of the background: e^-12 is its probability in noise. A family needs several
lines, one alone may be a tone of something else"""


def comb(relative: Column, position: Column, harmonics: int = HARMONICS) -> Column:
    """Sum of the lines at multiples of positions, each counted up to `CAP`.

    Args:
        relative: (..., bins), power over its background.
        position: (positions,), ascending, of the first line, in bins.
        harmonics: how many lines.

    Returns:
        (..., positions). In noise the sum of as many unit exponentials, that is of a Gamma distribution.
    """
    capped = np.minimum(relative, CAP)
    total = np.zeros((*relative.shape[:-1], position.size))
    for harmonic in range(1, harmonics + 1):
        # Positions ascend: those within the spectrum come first.
        index = np.rint(position * harmonic).astype(np.int64)
        inside = int(np.searchsorted(index, relative.shape[-1]))
        total[..., :inside] += np.take(capped, index[:inside], axis=-1)
    return total


def noise_limit(trials: float, false_share: float, harmonics: int = HARMONICS) -> float:
    """What the largest of `trials` independent combs of noise stays below, but for a share of all blocks.

    The inverse of the upper tail of the Gamma distribution (Bonferroni over the trials).
    """
    return float(scipy.special.gammainccinv(harmonics, false_share / max(trials, 1.0)))
