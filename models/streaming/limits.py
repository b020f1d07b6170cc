"""Limits that a detector sets itself: its statistic in normal time, extrapolated to a budget."""

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

__all__ = ["BLOCKS", "SECONDS_PER_YEAR", "BlockMaxima", "cusum_floor", "gaussian_floor", "spread_floor"]

Column = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]

SECONDS_PER_YEAR = 365.25 * 86_400
BLOCKS = 32
"""block maxima kept of a sensor; when there are so many they are merged two by two"""
_FEWEST = 4
"""block maxima from which on a distribution is fitted"""
_EULER = 0.5772156649015329
_CHANCE = 1.6448536269514722
_TINIEST = 1e-300
_SPREAD_SKEWNESS = 0.2128
"""of an EWMA with a lambda of 0.05 of the magnitudes of standard normal values"""
_CONFIDENCE = 1.6448536269514722
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

    The means of the same blocks tell how far the readings wander. Blocks that are alike are counted as fewer.

    Args:
        sensors: how many.
        statistics: shape of what is kept of each.
    """

    def __init__(self, sensors: int, statistics: tuple[int, ...] = ()) -> None:
        self.maxima = np.zeros((BLOCKS, *statistics, sensors), np.float32)
        """the blocks, oldest first"""
        self.means = np.zeros((BLOCKS, sensors), np.float32)
        """of what was given as `total`, a reading"""
        self.filled = np.zeros(sensors, np.int64)
        self.readings = np.zeros(sensors, np.int64)
        """of a whole block"""
        self.largest = np.zeros((*statistics, sensors))
        """of the block that is not whole yet"""
        self.pending = np.zeros((2, sensors))
        """of the same: its total, and its readings"""

    def reset(self, index: Index, readings: npt.NDArray[np.int64]) -> None:
        """Forget these sensors; their blocks begin with so many readings."""
        self.maxima[..., index], self.means[:, index] = 0.0, 0.0
        self.largest[..., index], self.pending[:, index] = 0.0, 0.0
        self.filled[index], self.readings[index] = 0, readings

    def add(self, index: Index, largest: Column, readings: Column, total: Column | float = 0.0) -> Index:
        """Take in a stretch of readings, shorter than a block or as long.

        Args:
            index: the sensors.
            largest: (*statistics, sensors); what each statistic reached.
            readings: of each sensor.
            total: sum of what the readings are, in sigmas from any level that stays the same.

        Returns:
            positions in `index` of sensors of which a block became whole.
        """
        self.largest[..., index] = np.maximum(self.largest[..., index], largest)
        self.pending[0, index] += total
        self.pending[1, index] += readings
        whole = np.flatnonzero(self.pending[1, index] >= self.readings[index])
        rows = index[whole]
        self.maxima[self.filled[rows], ..., rows] = self.largest[..., rows].T
        self.means[self.filled[rows], rows] = self.pending[0, rows] / self.pending[1, rows]
        self.filled[rows] += 1
        self.largest[..., rows], self.pending[:, rows] = 0.0, 0.0
        full = rows[self.filled[rows] == BLOCKS]
        if full.size:
            half = BLOCKS // 2
            maxima, means = self.maxima[..., full], self.means[:, full]
            self.maxima[:half, ..., full] = np.maximum(maxima[::2], maxima[1::2])
            self.means[:half, full] = (means[::2] + means[1::2]) / 2
            self.maxima[half:, ..., full], self.means[half:, full] = 0.0, 0.0
            self.filled[full] = half
            self.readings[full] *= 2
        return whole

    def wandering(self, index: Index) -> tuple[Column, Column]:
        """How much more these sensors wander than independent readings.

        The variance of means of n readings of one sigma is 1 / n, if they are independent, and w / n, if n is large,
        for any others that are stationary. w is that of the means of blocks, times what successive blocks have in
        common: 1 + 2 * sum of their correlations, with Bartlett's weights up to a quarter of the blocks (Newey and
        West 1987), so that a cycle that is over in that time does not count. What might be chance (one-sided 95 %)
        counts as none.

        Returns:
            float64, one a sensor: w, and how many successive blocks say as much as an independent one; both 1 or more.
        """
        filled = self.filled[index]
        count = np.maximum(filled, _FEWEST).astype(np.float64)
        means = self.means[: filled.max(initial=0), index].astype(np.float64)
        away = np.where(np.arange(len(means))[:, None] < filled, means - _total(means) / count, 0.0)
        reach = count // 4 + 1
        squares = _total(away**2)
        shared = squares.copy()
        for lag in range(1, min(BLOCKS // 4, len(away)) + 1):
            shared += 2 * np.maximum(1 - lag / reach, 0.0) * _total(away[lag:] * away[:-lag])
        # The mean is taken off, and with it so much of what blocks have in common.
        shared /= 1 - reach / count
        certain = 1 + _CHANCE * np.sqrt(4 / 3 * reach / count)
        clinging = shared / np.maximum(squares, _TINIEST)
        wandering = self.readings[index] * shared / count
        enough = filled >= _FEWEST
        return (
            np.where(enough & (wandering > certain), wandering, 1.0),
            np.where(enough & (clinging > certain), np.minimum(clinging, count / 2), 1.0),
        )

    def limit(self, index: Index, *, per_reading: Column, clinging: Column | float = 1.0) -> Column:
        """What statistics exceed with a probability of `per_reading` times the readings of a block in a block.

        Args:
            index: the sensors.
            per_reading: of each sensor.
            clinging: of each, as `wandering` says: so many fewer blocks are there to learn from.

        Returns:
            float64 (*statistics, sensors); 0 where there are too few blocks to tell.
        """
        filled = self.filled[index]
        count = np.maximum(filled, _FEWEST).astype(np.float64)
        maxima = self.maxima[: filled.max(initial=0)][..., index].astype(np.float64)
        mean = _total(maxima) / count
        used = np.arange(len(maxima)).reshape(-1, *[1] * (maxima.ndim - 1)) < filled
        variance = _total(np.where(used, (maxima - mean) ** 2, 0.0)) / np.maximum(count - clinging, count / 2)
        beta = np.sqrt(6.0 * variance) / np.pi
        probability = np.minimum(per_reading * self.readings[index], _MOST_LIKELY)
        reduced = -np.log(-np.log1p(-probability))
        error = np.sqrt((1.1589 + 0.1919 * reduced + 1.1 * reduced**2) * clinging / count)
        limit = mean - _EULER * beta + beta * (reduced + _CONFIDENCE * error)
        return np.where(filled >= _FEWEST, limit, 0.0)


def _total(blocks: Column) -> Column:
    """Summed block after block, so that a sensor's sum does not depend on how many others are asked about."""
    total = np.zeros(blocks.shape[1:])
    for block in blocks:
        total += block
    return total


def gaussian_floor(per_reading: Column) -> Column:
    """What the magnitude of a standard normal value exceeds with this probability.

    For an EWMA chart of independent normal noise it is the limit, a little on the safe side, since successive
    points of the chart are alike.
    """
    return np.asarray(-ndtri(np.minimum(per_reading, _READING_MOST_LIKELY) / 2), np.float64)


def cusum_floor(per_reading: Column, slack: Column, wandering: Column | float = 1.0) -> Column:
    """The limit of a two-sided CUSUM that normal noise crosses at this rate.

    Inverts ARL = (exp(b) - b - 1) / (2 k^2), b = 2 k (h + 1.166), of each side (Siegmund 1985, 2.5). Sums of noise that
    wanders vary like those of independent noise of `wandering` times the variance.

    Args:
        per_reading: crossings a reading.
        slack: k, in sigmas.
        wandering: as `BlockMaxima.wandering` has it.
    """
    scale = np.sqrt(wandering)
    slack = slack / scale
    run_length = 2.0 / np.minimum(per_reading, _READING_MOST_LIKELY)
    target = 2.0 * slack**2 * run_length + 1.0
    exponent = np.log(target)
    for _ in range(3):
        exponent = np.log(target + exponent)
    return np.asarray(scale * np.maximum(exponent / (2.0 * slack) - 1.166, 1.0), np.float64)


def spread_floor(per_reading: Column) -> Column:
    """What an EWMA of the magnitudes of independent standard normal values exceeds at this rate, above their mean.

    In standard deviations of that EWMA; the first term of Cornish and Fisher (1938) for its skewness.
    """
    normal = -ndtri(np.minimum(per_reading, _READING_MOST_LIKELY))
    return np.asarray(normal + _SPREAD_SKEWNESS / 6 * (normal**2 - 1), np.float64)
