"""Limits that a detector sets itself: its statistic in normal time, extrapolated to a budget."""

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

__all__ = ["BLOCKS", "SECONDS_PER_YEAR", "BlockMaxima", "cusum_floor", "gaussian_floor"]

Column = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

SECONDS_PER_YEAR = 365.25 * 86_400
BLOCKS = 32
"""block maxima kept of a sensor; when there are so many they are merged two by two"""
_FEWEST = 4
"""block maxima from which on a distribution is fitted"""
_EULER = 0.5772156649015329
_CONFIDENCE = 1.2815515655446004
"""standard errors added to a limit: one-sided 90 %"""
_MOST_LIKELY = 0.5
"""largest probability of an exceedance in a block that is asked for"""
_READING_MOST_LIKELY = 0.01
"""the same for a single reading: whatever the budget, a limit keeps 99 of 100"""


class BlockMaxima:
    """The largest values of a statistic in successive stretches of normal time, and the limit that follows.

    The maxima of blocks follow a Gumbel distribution in the end, whatever the correlation of the statistic, as
    long as the blocks are longer than it reaches (Leadbetter 1983). So the blocks grow with the record: there are
    `BLOCKS` / 2 to `BLOCKS` of them at any time, each a like share of all that was learned from. After an hour
    they are minutes long, after months days, with the cycle of the day in each.

    The distribution is fitted by moments (Gumbel 1958, 6.2). A limit is its value at the return period of the
    budget, plus 1.28 standard errors of that estimate (Phien 1987, eq. for moments), so that a short record gives
    a wide limit, and a longer one a tighter limit.

    Args:
        sensors: how many.
    """

    def __init__(self, sensors: int) -> None:
        self.maxima = np.zeros((BLOCKS, sensors), np.float32)
        """the blocks, oldest first"""
        self.filled = np.zeros(sensors, np.int64)
        self.readings = np.zeros(sensors, np.int64)
        """of a whole block"""
        self.pending = np.zeros((2, sensors))
        """the block that is not whole yet: its largest value, and its readings"""

    def take(self, index: Index) -> "BlockMaxima":
        """The same of some sensors only, copied."""
        part = BlockMaxima(0)
        part.maxima, part.filled = self.maxima[:, index], self.filled[index]
        part.readings, part.pending = self.readings[index], self.pending[:, index]
        return part

    def put(self, index: Index, part: "BlockMaxima") -> None:
        """Take over the rows of these sensors."""
        self.maxima[:, index], self.filled[index] = part.maxima, part.filled
        self.readings[index], self.pending[:, index] = part.readings, part.pending

    def reset(self, index: Index, readings: npt.NDArray[np.int64]) -> None:
        """Forget these sensors; their blocks begin with so many readings."""
        self.put(index, BlockMaxima(index.size))
        self.readings[index] = readings

    def add(self, index: Index, largest: Column, readings: Column) -> Index:
        """Take in what the statistic reached in a stretch of readings, shorter than a block or as long.

        Returns:
            positions in `index` of sensors of which a block became whole.
        """
        self.pending[0, index] = np.maximum(self.pending[0, index], largest)
        self.pending[1, index] += readings
        whole = np.flatnonzero(self.pending[1, index] >= self.readings[index])
        rows = index[whole]
        self.maxima[self.filled[rows], rows] = self.pending[0, rows]
        self.filled[rows] += 1
        self.pending[:, rows] = 0.0
        full = rows[self.filled[rows] == BLOCKS]
        if full.size:
            merged = self.maxima[:, full].reshape(BLOCKS // 2, 2, full.size).max(axis=1)
            self.maxima[: BLOCKS // 2, full] = merged
            self.maxima[BLOCKS // 2 :, full] = 0.0
            self.filled[full] = BLOCKS // 2
            self.readings[full] *= 2
        return whole

    def limit(self, index: Index, *, per_reading: Column) -> Column:
        """What the statistic exceeds with a probability of `per_reading` times the readings of a block in a block.

        Returns:
            float64, one a sensor; 0 where there are too few blocks to tell.
        """
        filled = self.filled[index]
        count = np.maximum(filled, _FEWEST).astype(np.float64)
        maxima = self.maxima[:, index].astype(np.float64)
        used = np.arange(BLOCKS)[:, None] < filled
        # Summed row after row, so that a sensor's sum does not depend on how many others are asked about.
        mean = np.add.accumulate(maxima, axis=0)[-1] / count
        squares = np.where(used, (maxima - mean) ** 2, 0.0)
        variance = np.add.accumulate(squares, axis=0)[-1] / (count - 1)
        beta = np.sqrt(6.0 * variance) / np.pi
        probability = np.minimum(per_reading * self.readings[index], _MOST_LIKELY)
        reduced = -np.log(-np.log1p(-probability))
        error = np.sqrt((1.1589 + 0.1919 * reduced + 1.1 * reduced**2) / count)
        limit = mean - _EULER * beta + beta * (reduced + _CONFIDENCE * error)
        return np.where(filled >= _FEWEST, limit, 0.0)


def gaussian_floor(per_reading: Column) -> Column:
    """What the magnitude of a standard normal value exceeds with this probability.

    For an EWMA chart of independent normal noise it is the limit, a little on the safe side, since successive
    points of the chart are alike.
    """
    return np.asarray(-ndtri(np.minimum(per_reading, _READING_MOST_LIKELY) / 2), np.float64)


def cusum_floor(per_reading: Column, slack: Column) -> Column:
    """The limit of a two-sided CUSUM that independent normal noise crosses at this rate.

    Inverts ARL = (exp(b) - b - 1) / (2 k^2), b = 2 k (h + 1.166), of each side (Siegmund 1985, 2.5).

    Args:
        per_reading: crossings a reading.
        slack: k, in sigmas.
    """
    run_length = 2.0 / np.minimum(per_reading, _READING_MOST_LIKELY)
    target = 2.0 * slack**2 * run_length + 1.0
    exponent = np.log(target)
    for _ in range(3):
        exponent = np.log(target + exponent)
    return np.maximum(exponent / (2.0 * slack) - 1.166, 1.0)
