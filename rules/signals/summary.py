"""What a set of readings is summed up to, such that two sets can be put together without their readings.

Each kind has two forms: `running` totals, to which readings are added one by one, and a `summary` of them, of which
two can be merged. Rows are sets, columns numbers.
"""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from rules.signals.stretches import Index, accumulate

__all__ = ["Extreme", "Moments", "Summary"]

Numbers = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


class Summary(Protocol):
    """One way to sum up readings; a reading is a row of features."""

    running_size: int
    summary_size: int

    def running(
        self, totals: Numbers, fresh: npt.NDArray[np.bool_], start: Index, length: Index, features: Numbers
    ) -> Numbers:
        """Running totals after each reading of stretches, each going on from its row of `totals` if not `fresh`."""
        ...

    def summary(self, totals: Numbers, count: Counts) -> Numbers:
        """Of running totals of so many readings."""
        ...

    def from_the_end(self, summaries: Numbers, count: Counts) -> Numbers:
        """Of each set and all that follow it: shape (rows, sets, numbers); those with count 0 are passed over."""
        ...

    def merged(self, one: Numbers, one_count: Counts, other: Numbers, other_count: Counts) -> Numbers:
        """Of two sets together; neither is empty."""
        ...


class Extreme:
    """The largest value."""

    running_size = 1
    summary_size = 1

    def running(
        self, totals: Numbers, fresh: npt.NDArray[np.bool_], start: Index, length: Index, features: Numbers
    ) -> Numbers:
        """The largest so far."""
        largest = features.copy()
        largest[start, 0] = np.where(fresh, largest[start, 0], np.maximum(largest[start, 0], totals[:, 0]))
        accumulate(np.maximum, largest, start, length)
        return largest

    def summary(self, totals: Numbers, count: Counts) -> Numbers:
        """The same."""
        return totals

    def from_the_end(self, summaries: Numbers, count: Counts) -> Numbers:
        """The largest from here to the end."""
        there = np.where(count[..., np.newaxis] > 0, summaries, -np.inf)
        return np.maximum.accumulate(there[:, ::-1], axis=1)[:, ::-1]

    def merged(self, one: Numbers, one_count: Counts, other: Numbers, other_count: Counts) -> Numbers:
        """The larger."""
        return np.maximum(one, other)


class Moments:
    """Means of the features, and sums of products of deviations of the first feature and each.

    Sums are taken about a value of the set itself (its first; from the end, the mean of its last part), and merged
    as Chan, Golub and LeVeque do it (Updating Formulae and a Pairwise Algorithm, 1979): no large numbers are
    subtracted, wherever the values lie.

    Args:
        features: how many
    """

    def __init__(self, features: int) -> None:
        self._features = features
        self.running_size = 3 * features
        """about which value, sums, sums of products"""
        self.summary_size = 2 * features
        """means, sums of products of deviations"""

    def running(
        self, totals: Numbers, fresh: npt.NDArray[np.bool_], start: Index, length: Index, features: Numbers
    ) -> Numbers:
        """About the first reading of the set."""
        many, single = self._features, length.size == features.shape[0]
        running = np.empty((features.shape[0], self.running_size))
        # Column by column: over rows NumPy is ten times as fast as over two or three numbers of a row.
        for one in range(many):
            about = np.where(fresh, features[start, one], totals[:, one])
            running[:, one] = about if single else np.repeat(about, length)
            np.subtract(features[:, one], running[:, one], out=running[:, many + one])
        for one in range(many):
            np.multiply(running[:, many], running[:, many + one], out=running[:, 2 * many + one])
        for one in range(many, 3 * many):
            before = np.where(fresh, 0.0, totals[:, one])
            if single:
                running[:, one] += before
            else:
                running[start, one] += before
        accumulate(np.add, running[:, many:], start, length)
        return running

    def summary(self, totals: Numbers, count: Counts) -> Numbers:
        """Means and sums of products about them."""
        many = self._features
        result = np.empty((*totals.shape[:-1], self.summary_size))
        first_mean = totals[..., many] / count
        for one in range(many):
            sums = totals[..., many + one]
            np.add(totals[..., one], sums / count, out=result[..., one])
            np.subtract(totals[..., 2 * many + one], first_mean * sums, out=result[..., many + one])
        return result

    def from_the_end(self, summaries: Numbers, count: Counts) -> Numbers:
        """About the mean of the last set that is not empty."""
        many = self._features
        there = count > 0
        last = count.shape[1] - 1 - np.argmax(there[:, ::-1], axis=1)
        rows = np.arange(last.size)
        totals = np.empty((*count.shape, self.running_size))
        first_away = np.zeros_like(count, np.float64)
        for one in range(many):
            about = summaries[rows, last, one][:, np.newaxis]
            away = np.where(there, summaries[..., one] - about, 0.0)
            first_away = away if one == 0 else first_away
            products = np.where(there, summaries[..., many + one], 0.0) + count * first_away * away
            totals[..., one] = about
            totals[..., many + one] = _from_the_end(count * away)
            totals[..., 2 * many + one] = _from_the_end(products)
        return self.summary(totals, np.maximum(_from_the_end(count), 1))

    def merged(self, one: Numbers, one_count: Counts, other: Numbers, other_count: Counts) -> Numbers:
        """Chan's formula for means and products."""
        many = self._features
        share = other_count / (one_count + other_count)
        weight = share * one_count
        first_apart = other[:, 0] - one[:, 0]
        result = np.empty_like(one)
        for each in range(many):
            apart = other[:, each] - one[:, each]
            result[:, each] = one[:, each] + apart * share
            result[:, many + each] = one[:, many + each] + other[:, many + each] + first_apart * apart * weight
        return result


def _from_the_end(column: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Sums along the second axis from each place to the end."""
    return np.cumsum(column[:, ::-1], axis=1)[:, ::-1]
