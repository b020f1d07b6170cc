"""What is kept of readings until it is known what they mean: ten minutes, an hour, and habits of each sensor."""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["NEVER", "WINDOW_US", "Column", "Habits", "Hour", "Index", "Looked", "Mask", "Times", "Window"]

NEVER = np.iinfo(np.int64).min // 2
"""a time, µs"""
WINDOW_US = 600_000_000
_USUAL_GAPS = 3.0
"""a gap is longer than so many usual distances between readings"""
_LONGEST_GAP = 10.0
"""gaps beyond so many usual distances are no habit of the sensor, also while it is learned"""

Column = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]
Index = npt.NDArray[np.intp]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Looked:
    """Readings that say something, one row each, by position and time."""

    position: Index
    time: Times
    value: Column
    works: Mask
    """the machine was at work"""
    gap: Column
    """µs beyond a usual gap before it"""
    run: Column
    """of one value over its limit; NaN: at rest, or learning"""
    spike: Column
    """how far off the reading before was; 0: as usual"""
    step: Column
    """absolute step from it; NaN: there is none"""

    def take(self, readings: Mask | Index | slice) -> "Looked":
        """Some of them."""
        return Looked(**{field.name: getattr(self, field.name)[readings] for field in fields(self)})


@dataclass(slots=True)
class Window:
    """Ten minutes of each sensor while readings come in; two of them are open at a time."""

    at: Times
    """(assets) number of the window, by time"""
    total: Column
    """(positions) of values at work"""
    count: Column
    first: Times
    """any reading that says something, µs"""
    last: Times
    gaps: Column
    """µs beyond a usual gap, between readings in it"""
    spikes: Column
    """readings further off than usual"""
    off: Column
    """how far, added up"""
    steps: Column
    """absolute steps, added up"""
    stepped: Column
    """how many"""
    run: Column
    """of one value over its limit, at the last reading at work; NaN: there is none"""
    rested: npt.NDArray[np.bool_]
    """(assets) the machine was not at work all of it"""

    @classmethod
    def fresh(cls, assets: int, positions: int) -> "Window":
        return cls(
            at=np.full(assets, NEVER),
            total=np.zeros(positions),
            count=np.zeros(positions),
            first=np.full(positions, -NEVER),
            last=np.full(positions, NEVER),
            gaps=np.zeros(positions),
            spikes=np.zeros(positions),
            off=np.zeros(positions),
            steps=np.zeros(positions),
            stepped=np.zeros(positions),
            run=np.full(positions, np.nan),
            rested=np.zeros(assets, np.bool_),
        )

    def add(self, number: int, readings: Looked, first: Index, most: int) -> None:
        """Put readings of the window of this number in, by position and time; not those of windows before.

        Args:
            number: of the window.
            readings: one or more.
            first: where those of each position begin.
            most: positions of an asset.
        """
        owner = readings.position[first]
        late = self.at[owner // most] > number
        if late.any():
            length = np.diff(first, append=readings.time.size)
            if not late.all():
                kept = length[~late]
                self.add(number, readings.take(np.repeat(~late, length)), np.cumsum(kept) - kept, most)
            return
        position, time, works = readings.position, readings.time, readings.works
        self.at[owner // most] = number
        self.first[owner] = np.minimum(self.first[owner], time[first])
        self.last[owner] = np.maximum(self.last[owner], time[np.append(first[1:], time.size) - 1])
        gaps = np.flatnonzero(readings.gap)
        # What lies before the first reading of a window is counted when it closes.
        gaps = gaps[time[gaps] > self.first[position[gaps]]]
        np.add.at(self.gaps, position[gaps], readings.gap[gaps])
        spikes = np.flatnonzero(readings.spike)
        np.add.at(self.spikes, position[spikes], 1.0)
        np.add.at(self.off, position[spikes], readings.spike[spikes])
        self.count[owner] += np.add.reduceat(works, first, dtype=np.int64)
        stepped = ~np.isnan(readings.step)
        self.stepped[owner] += np.add.reduceat(stepped, first, dtype=np.int64)
        # One after the other: the sums are the same however the stream was cut.
        value, step = readings.value, readings.step
        if not works.all():
            self.rested[position[~works] // most] = True
            value = np.where(works, value, 0.0)
        np.add.at(self.total, position, value)
        np.add.at(self.steps, position, np.where(stepped, step, 0.0))
        self.run[position[works]] = readings.run[works]

    def clear(self, assets: Index, positions: Index) -> None:
        """Begin anew with some assets, and these their sensors."""
        self.at[assets], self.rested[assets] = NEVER, False
        self.first[positions], self.last[positions] = -NEVER, NEVER
        self.run[positions] = np.nan
        for column in (self.total, self.count, self.gaps, self.spikes, self.off, self.steps, self.stepped):
            column[positions] = 0.0


@dataclass(slots=True)
class Habits:
    """(positions) how often readings come, and what was odd of late."""

    readings: Column
    """gaps learned from"""
    usual_us: Column
    """sum of the distances between them"""
    longest_us: Column
    learned: Times
    """when the last of them came"""
    heard: Times
    """newest reading that says something, as it came"""
    worked: Times
    """newest reading of the machine at work"""
    alive: Times
    """newest one in windows that are closed"""
    noise: Column
    """mean absolute step between readings, of the last hours"""
    spikes: Column
    """of the last day, older ones count less"""
    missing_us: Column
    """likewise"""
    stuck: Column
    """score, of the last window"""
    drift: Column
    """score, of the last hour at work"""
    found: Column
    """a `SensorFault`"""

    @classmethod
    def fresh(cls, count: int) -> "Habits":
        columns: dict[str, Any] = {field.name: np.zeros(count) for field in fields(cls)}
        fresh = cls(**columns)
        fresh.heard, fresh.worked, fresh.alive = (np.full(count, NEVER) for _ in range(3))
        fresh.learned = np.full(count, -NEVER)
        return fresh

    def gap_limit(self, warmup: int) -> Column:
        """µs from one reading to the next that are no gap; infinite until `warmup` distances are learned."""
        usual = self.usual_us / np.maximum(self.readings, 1)
        limit = np.maximum(_USUAL_GAPS * usual, np.minimum(1.5 * self.longest_us, _LONGEST_GAP * usual))
        return np.where(self.readings >= warmup, limit, np.inf)


@dataclass(slots=True)
class Hour:
    """Hourly means as they grow."""

    at: Times
    """(assets) number of the hour"""
    rested: Mask
    """(assets) not all of it was at work"""
    before: Times
    """(assets) the last hour that was all at work: after a start, heat needs an hour"""
    total: Column
    """(positions)"""
    count: Column
    odd: Mask
    """(positions) values that were none were among them: the sensor was stuck, or had spikes"""

    @classmethod
    def fresh(cls, assets: int, positions: int) -> "Hour":
        return cls(
            at=np.full(assets, NEVER),
            rested=np.zeros(assets, np.bool_),
            before=np.full(assets, NEVER),
            total=np.zeros(positions),
            count=np.zeros(positions),
            odd=np.zeros(positions, np.bool_),
        )

    def forget(self, assets: Index, positions: Index) -> None:
        self.at[assets] = self.before[assets] = NEVER
        self.rested[assets] = False
        self.total[positions] = self.count[positions] = 0.0
        self.odd[positions] = False
