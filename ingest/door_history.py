"""What is remembered of each sensor, to compare its next readings with: vectorised, one row a sensor.

Readings come grouped by sensor, in order of arrival within each group; `starts` says where the groups begin.
"""

from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["NEVER", "History", "Mask", "Positions", "Times", "Values", "grouped", "starts_of"]

NEVER: Final = -(2**62)
"""before any event time, with room to subtract"""
_AGREE: Final = 3
"""suspicious readings in a row that agree: the last of them is accepted"""

Mask = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.intp]
Times = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]


@dataclass(slots=True, kw_only=True)
class History:
    """What is remembered of some sensors, one row each. Methods move it on."""

    newest: Times
    """event time of the newest reading, µs; `NEVER`: none yet"""
    distance: Times
    """of the two newest, µs; 0: not known"""
    held: Values
    """value of the last one that had a value; NaN: none yet"""
    since: Times
    """from when on the value was `held`, µs"""
    level: Values
    """the last value that was accepted as no spike; NaN: none yet"""
    candidate: Values
    """the last suspicious value; NaN: none yet"""
    agreeing: npt.NDArray[np.int64]
    """suspicious ones in a row up to it that agree"""

    @classmethod
    def fresh(cls, count: int) -> "History":
        """Of sensors that sent nothing yet."""
        return cls(
            newest=np.full(count, NEVER, np.int64),
            distance=np.zeros(count, np.int64),
            held=np.full(count, np.nan),
            since=np.full(count, NEVER, np.int64),
            level=np.full(count, np.nan),
            candidate=np.full(count, np.nan),
            agreeing=np.zeros(count, np.int64),
        )

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The columns by name."""
        return {column.name: getattr(self, column.name) for column in fields(self)}

    def take(self, rows: Positions) -> "History":
        """A copy of these rows."""
        return History(**{name: column[rows] for name, column in self.arrays().items()})

    def put(self, rows: Positions, other: "History") -> None:
        """Overwrite these rows."""
        mine = self.arrays()
        for name, column in other.arrays().items():
            mine[name][rows] = column

    def highest_before(self, time: Times, starts: Positions) -> Times:
        """The newest time of its sensor before each reading; `NEVER`: there was none."""
        before = np.empty_like(time)
        before[1:] = time[:-1]
        before[starts] = self.newest
        ends = np.append(starts[1:], time.size)
        for group in np.flatnonzero(np.logical_or.reduceat(time <= before, starts)).tolist():
            piece = slice(int(starts[group]), int(ends[group]))
            before[piece] = np.maximum.accumulate(before[piece])
        return before

    def usual_distance(self, distance: Times, measured: Mask, starts: Positions) -> Times:
        """At each reading the last distance of its sensor that was measured before it, µs; 0: not known."""
        at = np.where(measured, np.arange(measured.size), -1)
        at[1:] = at[:-1].copy()
        return _carried(distance, at, starts, self.distance)

    def take_times(self, time: Times, distance: Times, measured: Mask, starts: Positions) -> None:
        """Move on the clocks.

        Args:
            distance: to `highest_before`, µs.
            measured: where the distance is one between two neighbours.
        """
        last = np.maximum.reduceat(np.where(measured, np.arange(measured.size), -1), starts)
        known = last >= 0
        self.distance[known] = distance[last[known]]
        self.newest = np.maximum(self.newest, np.maximum.reduceat(time, starts))

    def take_held(self, owner: Positions, time: Times, value: Values, starts: Positions) -> Times:
        """Move on what is held by the sensors in the rows `owner`, one for each group.

        Returns:
            Since when each reading's value has been the same, µs.
        """
        before = np.empty_like(value)
        before[1:] = value[:-1]
        before[starts] = self.held[owner]
        changed = value != before  # also where there was none: NaN
        since = time
        if not changed.all():
            at = np.where(changed, np.arange(value.size), -1)
            since = _carried(time, at, starts, self.since[owner])
        ends = np.append(starts[1:], value.size) - 1
        self.held[owner], self.since[owner] = value[ends], since[ends]
        return since

    def take_level(self, owner: Positions, value: Values, limit: Values, starts: Positions) -> Mask:
        """Move on the levels of the sensors in the rows `owner`, one for each group.

        Args:
            limit: for each reading the largest step that is none.

        Returns:
            Which values are suspicious.
        """
        ends = np.append(starts[1:], value.size)
        before = np.empty_like(value)
        before[1:] = value[:-1]
        before[starts] = self.level[owner]
        suspicious: Mask = np.abs(value - before) > limit
        restless = np.logical_or.reduceat(suspicious, starts) | (self.agreeing[owner] > 0)
        self.level[owner] = np.where(restless, self.level[owner], value[ends - 1])
        for group in np.flatnonzero(restless).tolist():
            piece = slice(int(starts[group]), int(ends[group]))
            suspicious[piece] = self._walk(int(owner[group]), float(limit[piece.start]), value[piece].tolist())
        return suspicious

    def _walk(self, row: int, limit: float, values: list[float]) -> list[bool]:
        """Which of a sensor's values are suspicious, one after the other."""
        level, candidate, agreeing = float(self.level[row]), float(self.candidate[row]), int(self.agreeing[row])
        suspicious = []
        for value in values:
            accepted = not abs(value - level) > limit  # without a level, which is NaN: accepted
            if not accepted:
                agreeing = agreeing + 1 if agreeing and abs(value - candidate) <= limit else 1
                candidate = value
                accepted = agreeing >= _AGREE
            if accepted:
                level, agreeing = value, 0
            suspicious.append(not accepted)
        self.level[row], self.candidate[row], self.agreeing[row] = level, candidate, agreeing
        return suspicious


def grouped(rows: Positions, count: int) -> Positions:
    """Positions that bring the readings of each of `count` rows together, in order of arrival."""
    # 16 bits are sorted by counting.
    return np.argsort(rows.astype(np.uint16) if count <= np.iinfo(np.uint16).max else rows, kind="stable")


def starts_of(rows: Positions) -> Positions:
    """Where the groups of equal rows begin."""
    return np.flatnonzero(np.concatenate(([True], rows[1:] != rows[:-1])))


def _carried(column: Times, at: Positions, starts: Positions, known: Times) -> Times:
    """What a column had at the highest of the positions `at` that came up to each reading in its group.

    Args:
        at: positions in the column; those of groups before count for none, like -1.
        known: what to give where there is none yet, for each group.
    """
    sizes = np.diff(starts, append=at.size)
    begin = np.repeat(starts, sizes)
    highest = np.maximum.accumulate(np.maximum(at, begin - 1))
    return np.where(highest >= begin, column[highest], np.repeat(known, sizes))
