"""State of many alarm instances as columns, and how one reading of each moves them."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt

__all__ = ["NEVER", "Columns", "Happening", "Limits", "Log", "elapse", "step", "walk"]

NEVER = -(2**62)
"""no such instant; far enough from the edge of int64 to add a delay"""

Times = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]

RAISED, PEAK, CLEARED = 0, 1, 2


@dataclass(slots=True, kw_only=True)
class Limits:
    """What instances compare with; oriented: a low limit is kept negated, so that above is always bad."""

    limit: Values
    clear: Values
    """at or below it the alarm may clear: limit - deadband"""
    on_delay: Times
    """us"""
    off_delay: Times
    """us"""

    def take(self, index: Index | Flags | slice) -> "Limits":
        """The limits at these positions."""
        return Limits(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


@dataclass(slots=True, kw_only=True)
class Columns:
    """State of instances, one position each; values oriented as in `Limits`."""

    active: Flags
    since: Times
    """inactive: violating since (pending); active: back beyond the deadband since (clearing); else NEVER"""
    held: Values
    """last usable value; of meaning only while `since` is set"""
    peak: Values
    peak_at: Times
    began: Times
    """when the standing alarm was raised"""
    settled: Times
    """when it was last raised or cleared; nothing happens to it before that, even if a tick ran ahead"""

    @classmethod
    def fresh(cls, count: int) -> Self:
        """Instances that have seen nothing."""
        return cls(
            active=np.zeros(count, np.bool_),
            since=np.full(count, NEVER, np.int64),
            held=np.zeros(count),
            peak=np.zeros(count),
            peak_at=np.full(count, NEVER, np.int64),
            began=np.full(count, NEVER, np.int64),
            settled=np.full(count, NEVER, np.int64),
        )

    def take(self, index: Index | Flags | slice) -> "Columns":
        """The state at these positions: a view if `index` is a slice, else a copy."""
        return Columns(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    def forgetful(self) -> "Columns":
        """The same state without leftovers of no meaning, so that equal states have equal snapshots."""
        waiting = self.since != NEVER
        told = self.active | waiting
        return Columns(
            active=self.active,
            since=self.since,
            held=np.where(waiting, self.held, 0.0),
            peak=np.where(told, self.peak, 0.0),
            peak_at=np.where(told, self.peak_at, NEVER),
            began=np.where(self.active, self.began, NEVER),
            settled=self.settled,
        )

    def put(self, index: Index, columns: "Columns") -> None:
        """Write back what `take` copied."""
        for field in fields(self):
            getattr(self, field.name)[index] = getattr(columns, field.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Changes of one kind, as columns; values oriented."""

    kind: int
    instance: Index
    at: Times
    began: Times
    value: Values
    peak: Values
    peak_at: Times


class Log:
    """Collects happenings, and remembers which peaks they have told."""

    def __init__(self, instance: Index, columns: Columns) -> None:
        self.instance = instance
        """position of each of `columns` in the whole"""
        self.happenings: list[Happening] = []
        self._told = columns.peak.copy()

    def add(self, kind: int, which: Index, columns: Columns, at: Times, value: Values) -> None:
        """Note a change of the instances `which` (positions in `columns`)."""
        self._told[which] = columns.peak[which]
        self.happenings.append(
            Happening(
                kind=kind,
                instance=self.instance[which],
                at=at,
                began=columns.began[which],
                value=value,
                peak=columns.peak[which],
                peak_at=columns.peak_at[which],
            )
        )

    def add_peaks(self, columns: Columns) -> None:
        """Note the peaks of standing alarms that moved since they were last told."""
        which = np.flatnonzero(columns.active & (columns.peak != self._told))
        if which.size:
            at = np.maximum(columns.peak_at[which], columns.began[which])
            self.add(PEAK, which, columns, at, columns.peak[which])


def elapse(columns: Columns, limits: Limits, now: Times, log: Log) -> None:
    """Let time pass up to, not including, `now` (us, each its own): what held values bring about by then."""
    due = columns.since + np.where(columns.active, limits.off_delay, limits.on_delay)
    over = (columns.since != NEVER) & (due < now)
    if not over.any():
        return
    raised, cleared = np.flatnonzero(over & ~columns.active), np.flatnonzero(over & columns.active)
    columns.since[over] = NEVER
    columns.settled[over] = due[over]
    if raised.size:
        columns.active[raised] = True
        columns.began[raised] = due[raised]
        log.add(RAISED, raised, columns, due[raised], columns.held[raised])
    if cleared.size:
        columns.active[cleared] = False
        log.add(CLEARED, cleared, columns, due[cleared], columns.held[cleared])


def step(columns: Columns, limits: Limits, time: Times, value: Values, log: Log) -> None:
    """One usable reading of each instance (oriented value); positions as in `columns`, or its first ones."""
    elapse(columns, limits, time, log)
    now = np.maximum(time, columns.settled)
    above, back = value > limits.limit, value <= limits.clear
    active, waiting = columns.active, columns.since != NEVER

    start = above & ~active & ~waiting
    grown = start | (above & (active | waiting) & (value > columns.peak))
    columns.peak[grown] = value[grown]
    columns.peak_at[grown] = time[grown]
    keep = np.where(active, back, above)
    columns.since[:] = np.where(keep, np.where(waiting, columns.since, now), NEVER)
    columns.held[:] = value

    due = columns.since + np.where(active, limits.off_delay, limits.on_delay)
    reached = keep & (due <= now)
    if not reached.any():
        return
    raised, cleared = np.flatnonzero(reached & ~active), np.flatnonzero(reached & active)
    columns.since[reached] = NEVER
    columns.settled[reached] = due[reached]
    if raised.size:
        columns.active[raised] = True
        columns.began[raised] = due[raised]
        log.add(RAISED, raised, columns, due[raised], value[raised])
    if cleared.size:
        columns.active[cleared] = False
        log.add(CLEARED, cleared, columns, due[cleared], value[cleared])


def walk(columns: Columns, limits: Limits, place: int, *, times: list[int], values: list[float], log: Log) -> None:
    """Several usable readings of one instance: what `step` does, cheaper for few instances."""
    limit, clear = float(limits.limit[place]), float(limits.clear[place])
    on_delay, off_delay = int(limits.on_delay[place]), int(limits.off_delay[place])
    active, since = bool(columns.active[place]), int(columns.since[place])
    held, settled = float(columns.held[place]), int(columns.settled[place])
    peak, peak_at = float(columns.peak[place]), int(columns.peak_at[place])
    which = np.array([place])

    def switch(at: int, value: float) -> None:
        nonlocal active, since, settled
        active, since, settled = not active, NEVER, at
        columns.peak[place], columns.peak_at[place] = peak, peak_at
        if active:
            columns.began[place] = at
        log.add(RAISED if active else CLEARED, which, columns, np.array([at]), np.array([value]))

    for time, value in zip(times, values, strict=True):
        if since != NEVER:
            due = since + (off_delay if active else on_delay)
            if due < time:
                switch(due, held)
        above = value > limit
        if above and ((since == NEVER and not active) or value > peak):
            peak, peak_at = value, time
        if value <= clear if active else above:
            if since == NEVER:
                since = max(time, settled)
            due = since + (off_delay if active else on_delay)
            if due <= max(time, settled):
                switch(due, value)
        else:
            since = NEVER
        held = value

    columns.active[place], columns.since[place] = active, since
    columns.held[place], columns.settled[place] = held, settled
    columns.peak[place], columns.peak_at[place] = peak, peak_at
