"""State of many alarm instances as columns, and what time alone does to them."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt

from rules.events import ChangeKind

__all__ = ["NEVER", "Columns", "Flags", "Happening", "Index", "Limits", "Log", "Times", "Values", "elapse"]

NEVER = -(2**62)
"""no such instant; far enough from the edge of int64 to add a delay"""

Times = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Index = npt.NDArray[np.intp]


@dataclass(slots=True, kw_only=True)
class Limits:
    """What instances compare with; oriented: a low limit is kept negated, so that above is always bad."""

    sign: Values
    """1, or -1 of a low limit: samples times this are oriented"""
    limit: Values
    clear: Values
    """at or below it the alarm may clear: limit - deadband"""
    on_delay: Times
    """us"""
    off_delay: Times
    """us"""
    by_time: Flags
    """whether a delay ends by itself; if not, only a sample at or after its end says that it has lasted so long"""
    has_peak: Flags
    """whether a worse value is worth telling"""

    def take(self, index: Index | Flags) -> "Limits":
        """The limits at these positions."""
        return Limits(**{field.name: getattr(self, field.name)[index] for field in fields(self)})


@dataclass(slots=True, kw_only=True)
class Columns:
    """State of instances, one position each; values oriented as in `Limits`."""

    active: Flags
    since: Times
    """inactive: violating since (pending); active: back beyond the deadband since (clearing); else NEVER"""
    held: Values
    """last sample; of meaning only while `since` is set"""
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

    @property
    def waiting(self) -> Flags:
        """Where an on-delay or off-delay is running."""
        running: Flags = self.since != NEVER
        return running

    def concerns(self, index: Index) -> Flags:
        """Whether an alarm of these stands or a delay is running."""
        concerned: Flags = self.active[index] | (self.since[index] != NEVER)
        return concerned

    def take(self, index: Index | Flags) -> "Columns":
        """A copy of the state at these positions."""
        return Columns(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    def forgetful(self) -> "Columns":
        """The same state without leftovers of no meaning, so that equal states have equal snapshots."""
        waiting = self.waiting
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

    kind: ChangeKind
    instance: Index
    at: Times
    began: Times
    value: Values
    peak: Values
    peak_at: Times


class Log:
    """Collects happenings of some instances."""

    def __init__(self, instance: Index) -> None:
        self._instance = instance
        self.happenings: list[Happening] = []

    def add(
        self, kind: ChangeKind, which: Index, *, at: Times, began: Times, value: Values, peak: Values, peak_at: Times
    ) -> None:
        """Note changes of the instances `which` (positions among those of this log)."""
        if which.size:
            self.happenings.append(
                Happening(
                    kind=kind,
                    instance=self._instance[which],
                    at=at,
                    began=began,
                    value=value,
                    peak=peak,
                    peak_at=peak_at,
                )
            )

    def add_states(self, kind: ChangeKind, which: Index, columns: Columns, *, at: Times, value: Values) -> None:
        """Note changes that leave the instances as `columns` has them."""
        self.add(
            kind,
            which,
            at=at,
            began=columns.began[which],
            value=value,
            peak=columns.peak[which],
            peak_at=columns.peak_at[which],
        )


def elapse(columns: Columns, limits: Limits, now: Times, log: Log) -> None:
    """Let time pass up to, not including, `now` (us, each its own): what held values bring about by then."""
    due = columns.since + np.where(columns.active, limits.off_delay, limits.on_delay)
    over = columns.waiting & limits.by_time & (due < now)
    if not over.any():
        return
    raised, cleared = np.flatnonzero(over & ~columns.active), np.flatnonzero(over & columns.active)
    columns.since[over] = NEVER
    columns.settled[over] = due[over]
    columns.began[raised] = due[raised]
    columns.active[over] = ~columns.active[over]
    log.add_states(ChangeKind.RAISED, raised, columns, at=due[raised], value=columns.held[raised])
    log.add_states(ChangeKind.CLEARED, cleared, columns, at=due[cleared], value=columns.held[cleared])
