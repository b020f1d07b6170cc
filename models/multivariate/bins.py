"""Readings put side by side: one column an asset and bin of time, one row a sensor of the asset."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from models.runs import Runs

__all__ = ["Cells", "Grid"]

_HOLES = 4
"""bins there are for each reading, at most, for a table of all bins to be quicker than to sort"""
_LAST = np.iinfo(np.int64).max

Times = npt.NDArray[np.int64]
Column = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Known = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Readings summed up: one row a sensor and bin, each once."""

    place: Index
    """of the sensor: that of its asset times the most sensors of one, and its number there"""
    bin: Times
    total: Column
    """sum of the values, in order of time"""
    number: Times
    """of readings"""
    newest: Times
    """time of the last"""

    @classmethod
    def none(cls) -> Self:
        """No reading."""
        empty = np.zeros(0, np.int64)
        return cls(empty, empty, np.zeros(0), empty, empty)

    def take(self, rows: Known) -> "Cells":
        """Some of them."""
        return Cells(*(getattr(self, name)[rows] for name in self.__slots__))


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """Bins of assets, sorted by both, with the cells of all sensors of the asset."""

    asset: Index
    bin: Times
    total: Column
    """(most sensors of an asset, bins), as of `Cells`; so are the next"""
    number: Times
    """0: there is no such cell"""
    newest: Times

    @classmethod
    def of(cls, held: Cells, runs: Runs, bin_: Times, *, assets: int, most: int) -> "Grid":
        """Sum readings up, those `held` from before first.

        Args:
            held: of earlier readings.
            runs: readings.
            bin_: of each reading, ascending in a run.
            assets: how many there are.
            most: sensors of an asset.
        """
        held_asset, held_slot = np.divmod(held.place, most)
        asset, slot = np.divmod(runs.place, most)
        low, high = np.full(assets, _LAST), np.full(assets, -_LAST)
        np.minimum.at(low, held_asset, held.bin)
        np.minimum.at(low, asset, bin_[runs.first()])
        np.maximum.at(high, held_asset, held.bin)
        np.maximum.at(high, asset, bin_[runs.last()])
        there = np.flatnonzero(low <= high)
        span = high[there] - low[there] + 1
        # Where a bin comes to stand, if every bin between the first and the last of an asset has a column.
        offset = np.zeros(assets, np.int64)
        offset[there] = np.cumsum(span) - span - low[there]
        held_cell = held.bin + offset[held_asset]
        if (columns := int(span.sum())) <= _HOLES * (bin_.size + held.bin.size):
            asset_of = np.repeat(there, span)
            bin_of = np.arange(columns) - np.repeat(offset[there], span)
            cell = bin_ + np.repeat(offset[asset] + slot * columns, runs.length)
        else:
            cell = bin_ + np.repeat(offset[asset], runs.length)
            chosen, every = np.unique(np.concatenate((held_cell, cell)), return_inverse=True)
            columns = chosen.size
            asset_of = there[np.searchsorted(np.cumsum(span), chosen, side="right")]
            bin_of = chosen - offset[asset_of]
            held_cell = every[: held_cell.size]
            cell = every[held_cell.size :] + np.repeat(slot * columns, runs.length)
        held_cell = held_cell + held_slot * columns
        size = most * columns
        total, number, newest = np.zeros(size), np.zeros(size, np.int64), np.full(size, -_LAST)
        total[held_cell], number[held_cell], newest[held_cell] = held.total, held.number, held.newest
        # One after the other: the sum is the same however the stream was cut.
        np.add.at(total, cell, runs.value)
        number += np.bincount(cell, minlength=size)
        newest[cell] = runs.time
        newest[held_cell] = np.maximum(newest[held_cell], held.newest)
        shape = most, columns
        return cls(asset_of, bin_of, total.reshape(shape), number.reshape(shape), newest.reshape(shape))

    def cells(self, columns: Known) -> Cells:
        """Those of some bins that have a reading."""
        at = np.flatnonzero(columns)
        slot, column = np.nonzero(self.number[:, at])
        column = at[column]
        cell = slot, column
        place = self.asset[column] * len(self.number) + slot
        return Cells(place, self.bin[column], self.total[cell], self.number[cell], self.newest[cell])
