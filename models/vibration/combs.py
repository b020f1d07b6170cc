"""Families of equally spaced lines in a spectrum, and how likely noise is to make one."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.special

from models.vibration.spectrum import Spectra

__all__ = ["CAP", "HARMONICS", "comb", "noise_limit"]

Column = npt.NDArray[np.float64]

HARMONICS = 4
"""lines of a family that are counted"""
CAP = 12.0
"""what one line counts at most, in means of the background: e^-12 is its probability in noise. A family needs several
lines, one alone may be a tone of something else"""


def comb(relative: Spectra, position: Column, harmonics: int = HARMONICS) -> Spectra:
    """Sum of the lines at multiples of positions, each counted up to `CAP`.

    Args:
        relative: (spectra, bins), power over its background.
        position: (positions,) of the first line, in bins.
        harmonics: how many lines.

    Returns:
        (positions, spectra). In noise the sum of as many unit exponentials, that is of a Gamma distribution.
    """
    # A line of all spectra lies together, and one of zeros after the last is what lies beyond them.
    lines = np.zeros((relative.shape[1] + 1, relative.shape[0]), relative.dtype)
    np.minimum(relative.T, CAP, out=lines[:-1])
    total = np.zeros((position.size, relative.shape[0]), relative.dtype)
    for harmonic in range(1, harmonics + 1):
        total += lines.take(np.rint(position * harmonic).astype(np.intp), axis=0, mode="clip")
    return total


@lru_cache(maxsize=256)
def noise_limit(trials: float, false_share: float, harmonics: int = HARMONICS) -> float:
    """What the largest of `trials` independent combs of noise stays below, but for a share of all blocks.

    The inverse of the upper tail of the Gamma distribution (Bonferroni over the trials).
    """
    return float(scipy.special.gammainccinv(harmonics, false_share / max(trials, 1.0)))
