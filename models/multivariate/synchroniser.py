"""`Synchroniser`: readings of sensors that speak at rates of their own, as samples of whole assets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.multivariate.bins import Cells, Grid
from models.multivariate.rates import Rates
from models.runs import Runs
from telemetry.batch import ReadingBatch
from telemetry.quality import usable

__all__ = ["Samples", "Synchroniser"]

_NEVER = np.iinfo(np.int64).min // 4
_HOLD = 3
"""samples, or intervals of the sensor's own, for which its last value stands in for a missing one"""
_PATIENCE_US = 24 * 3_600 * 1_000_000
"""how long the width waits for sensors that have not told how often they speak"""
_LEAST_WIDTH_US = 10_000_000
"""where nobody asks for another: no machine is another one within ten seconds, and a mean says more than one reading"""

Times = npt.NDArray[np.int64]
Column = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]
Known = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Samples:
    """One row an asset and bin, sorted by (asset, time)."""

    asset: Index
    """position of the asset"""
    time: Times
    """µs, of the newest reading in it"""
    value: Column
    """(rows, most sensors of an asset), in the order of the asset's sensors; NaN: not known"""


class Synchroniser:
    """Bins of equal width, the same for all sensors of an asset; the mean of the usable readings in each.

    A bin is over when all sensors of the asset have spoken after it, or the newest one `align_s` after it; what comes
    later than that is dropped. So samples do not depend on how the stream is cut, as long as no sensor is further
    behind the newest of its asset. A bin without any reading is no sample. A sensor without a reading in a bin has its
    last value for three samples (three of its own intervals, if those are longer), then none.

    The width is `every_s`; if that is 0 the interval of the slowest sensor, the median of its first nine, and ten
    seconds at least. Bins begin
    once all sensors have told theirs, a day after the first reading at the latest.

    Args:
        sensors: of each asset.
        every_s: s, one an asset.
        align_s: s of event time that a slow sensor is waited for.
    """

    def __init__(self, sensors: Sequence[Sequence[int]], every_s: Column, *, align_s: float) -> None:
        self._align = round(align_s * 1e6)
        self._most = max((len(each) for each in sensors), default=1)
        ids = np.array([sensor_id for each in sensors for sensor_id in each], np.int32)
        place = np.array(
            [a * self._most + slot for a, each in enumerate(sensors) for slot in range(len(each))], np.intp
        )
        order = np.argsort(ids)
        self._sensor_ids, self._place = ids[order], place[order]
        count = len(sensors)
        self._real = np.zeros((count, self._most), np.bool_)
        self._real.reshape(-1)[place] = True
        self._asked = np.round(np.asarray(every_s, np.float64) * 1e6).astype(np.int64)
        self.clear()

    def clear(self) -> None:
        """Nothing heard yet."""
        count = len(self._real)
        self._sensors = self._real.sum(axis=1)
        self._rates = Rates(count * self._most, never=_NEVER)
        self._highest = np.full((count, self._most), _NEVER, np.int64)
        """time of each sensor's newest reading"""
        self._width = self._asked.copy()
        """µs, one an asset; 0: not known yet"""
        self._closed = np.full(count, _NEVER, np.int64)
        """last bin that is over, one an asset"""
        self._value = np.full((count, self._most), np.nan)
        """last known, and the bin it is of"""
        self._value_bin = np.full((count, self._most), _NEVER, np.int64)
        self._cells = Cells.none()

    @property
    def sensor_ids(self) -> npt.NDArray[np.int32]:
        """Of all assets, sorted."""
        return self._sensor_ids

    @property
    def every_s(self) -> Column:
        """s from sample to sample, one an asset; 0: not known yet."""
        return self._width / 1e6

    def take(self, batch: ReadingBatch) -> Samples:
        """Samples that are complete once these readings are known.

        Args:
            batch: sorted by (sensor_id, time).

        Raises:
            ValueError: the batch has a reading of another sensor.
        """
        runs = Runs.of(batch, self._sensor_ids, self._place).take(usable(batch.quality))
        if not runs.place.size:
            return Samples(asset=np.zeros(0, np.intp), time=np.zeros(0, np.int64), value=np.zeros((0, self._most)))
        highest = self._highest.reshape(-1)
        highest[runs.place] = np.maximum(highest[runs.place], runs.time[runs.last()])
        self._rates.learn(runs.place, runs.length, runs.time)
        self._choose_widths()
        runs, bin_ = self._in_time(runs)
        grid = Grid.of(self._cells, runs, bin_, assets=len(self._real), most=self._most)
        over = self._close()[grid.asset] >= grid.bin
        self._cells = grid.cells(~over)
        return self._samples(grid, np.flatnonzero(over & grid.number.any(axis=0)))

    def _in_time(self, runs: Runs) -> tuple[Runs, Times]:
        """Readings of bins that are not over, and those bins."""
        asset = runs.place // self._most
        width, closed = self._width[asset], self._closed[asset]
        known = width > 0
        same = known[0] and (width == width[0]).all()
        bin_ = runs.time // (width[0] if same else np.repeat(np.maximum(width, 1), runs.length))
        if (known & (bin_[runs.first()] > closed)).all():
            return runs, bin_
        in_time = np.repeat(known, runs.length) & (bin_ > np.repeat(closed, runs.length))
        return runs.take(in_time), bin_[in_time]

    def _choose_widths(self) -> None:
        """Of the assets whose sensors have told how often they speak."""
        waiting = np.flatnonzero(self._width == 0)
        if not waiting.size:
            return
        shape = self._real.shape
        real = self._real[waiting]
        told = np.where(real, self._rates.told_at.reshape(shape)[waiting], _NEVER)
        first = self._rates.first.reshape(shape)[waiting]
        begun = np.min(np.where(first == _NEVER, np.iinfo(np.int64).max, first), axis=1)
        earliest = np.where(real, told, np.iinfo(np.int64).max).min(axis=1)
        at = np.minimum(told.max(axis=1), np.maximum(np.minimum(begun, earliest) + _PATIENCE_US, earliest))
        ready = self._highest[waiting].max(axis=1) >= at
        interval = np.where(told <= at[:, None], self._rates.interval.reshape(shape)[waiting], 0).max(axis=1)
        chosen = np.maximum(interval, _LEAST_WIDTH_US)
        self._width[waiting[ready]] = chosen[ready]
        # Sensors may be ahead by as much, and what they said until now is gone.
        self._closed[waiting[ready]] = (at + self._align)[ready] // chosen[ready]

    def _close(self) -> Times:
        """The last bin of each asset that is over now."""
        newest = self._highest.max(axis=1) - self._align
        slowest = np.where(self._real, self._highest, np.iinfo(np.int64).max).min(axis=1)
        width = np.maximum(self._width, 1)
        self._closed = np.where(
            self._width > 0, np.maximum(np.maximum(newest, slowest) // width - 1, self._closed), self._closed
        )
        return self._closed

    def _samples(self, grid: Grid, at: Index) -> Samples:
        """The bins at these places, which are over, as samples."""
        asset, number = grid.asset[at], grid.number[:, at]
        with np.errstate(invalid="ignore"):
            value = np.ascontiguousarray((grid.total[:, at] / number).T)  # NaN: none in it
        if at.size:
            self._hold(value, asset, grid.bin[at], int(np.count_nonzero(number)))
        return Samples(asset=asset, time=grid.newest.max(axis=0)[at], value=value)

    def _hold(self, value: Column, asset: Index, bin_: Times, cells: int) -> None:
        """Fill in for sensors without a reading, and remember the last ones. Rows sorted by (asset, bin)."""
        begin = np.flatnonzero(np.diff(asset, prepend=-1))
        end = np.append(begin[1:], asset.size) - 1
        if cells == int(self._sensors[asset].sum()):
            self._value[asset[end]], self._value_bin[asset[end]] = value[end], bin_[end, None]
            return
        there = np.isfinite(value)
        source = np.maximum.accumulate(np.where(there, np.arange(asset.size)[:, None], -1), axis=0)
        inside = source >= np.repeat(begin, np.diff(begin, append=asset.size))[:, None]
        slots = np.arange(self._most)[None, :]
        last = np.where(inside, value[source, slots], self._value[asset])
        last_bin = np.where(inside, bin_[source], self._value_bin[asset])
        width = self._width[asset][:, None]
        interval = self._rates.interval.reshape(self._real.shape)[asset]
        told = self._rates.told_at.reshape(self._real.shape)[asset] <= (bin_ * self._width[asset])[:, None]
        longest = _HOLD * np.where(told, np.maximum(interval, width), width)
        age = (bin_[:, None] - np.where(last_bin == _NEVER, bin_[:, None], last_bin)) * width
        np.copyto(value, last, where=~there & (age <= longest))  # NaN, if there never was one
        self._value[asset[end]], self._value_bin[asset[end]] = last[end], last_bin[end]

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The state as named arrays: those of sensors (assets, most sensors of one, ...), cells by place."""
        cells = {f"cell_{name}": getattr(self._cells, name) for name in Cells.__slots__}
        return {**self._tables(), **cells}

    def put(self, arrays: Mapping[str, npt.NDArray[Any]], here: Index, there: Index) -> None:
        """Take over from `arrays` what is of assets there, for these here, which have the same sensors."""
        for name, table in self._tables().items():
            stored = arrays[name]
            if table.ndim == 1:
                table[here] = stored[there]
            else:
                shared = min(self._most, stored.shape[1])
                table[here, :shared] = stored[there, :shared]
        most = arrays["highest"].shape[1]
        cells = Cells(*(arrays[f"cell_{name}"] for name in Cells.__slots__))
        moved_to = np.full(arrays["closed"].size, -1, np.intp)
        moved_to[there] = here
        asset = moved_to[cells.place // most]
        stay = asset >= 0
        cells = cells.take(stay)
        cells = Cells(asset[stay] * self._most + cells.place % most, cells.bin, cells.total, cells.number, cells.newest)
        self._cells = cells

    def _tables(self) -> dict[str, npt.NDArray[Any]]:
        """By reference."""
        shape = self._real.shape
        return {
            "highest": self._highest,
            "width": self._width,
            "closed": self._closed,
            "value": self._value,
            "value_bin": self._value_bin,
            **{f"rate_{name}": table.reshape(*shape, *table.shape[1:]) for name, table in self._rates.arrays().items()},
        }
