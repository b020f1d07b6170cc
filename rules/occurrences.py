"""`Occurrence`: an alarm from its beginning to its end, put together from changes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

import numpy as np
import numpy.typing as npt

from rules.definition import Priority, Rule
from rules.events import AlarmChange, ChangeKind, Side
from telemetry.batch import to_micros

__all__ = ["Occurrence", "OccurrenceLog", "Source", "by_source", "spans_of", "union"]

Source = tuple[str, str, Side]
"""what an operator sees as one alarm that comes again and again: subject, rule, side"""

Spans = npt.NDArray[np.int64]
"""rows of begin and end, us since 1970"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Occurrence:
    """One alarm."""

    rule: Rule
    side: Side
    limit: float
    """in the rule's unit; of a condition: from which sample on it is an alarm"""
    began_at: datetime
    ended_at: datetime | None
    """None: it still stood when the data ended"""
    told_at: datetime | None
    """when people would have been told of it; None: never, another alarm stood for it all the time"""
    peak_value: float
    peak_at: datetime

    @property
    def priority(self) -> Priority:
        """How urgent it is."""
        return self.rule.priority_of(self.side)

    @property
    def source(self) -> Source:
        """Which alarm it is one occurrence of."""
        return (self.rule.sensor_name, self.rule.name, self.side)

    def lasted_s(self, end: datetime) -> float:
        """How long it stood, in seconds; one that still stands, until `end`."""
        return ((self.ended_at or end) - self.began_at).total_seconds()


@dataclass(slots=True, kw_only=True)
class _Standing:
    raised: AlarmChange
    last: AlarmChange
    told_at: datetime | None


class OccurrenceLog:
    """Takes changes in order of event time. Holds one object an alarm, some 300 bytes."""

    def __init__(self) -> None:
        self._ended: list[Occurrence] = []
        self._standing: dict[str, _Standing] = {}

    def add(self, changes: Iterable[AlarmChange]) -> None:
        """Take note of changes; a change of an alarm whose beginning was not told is passed over."""
        for change in changes:
            if change.kind is ChangeKind.RAISED:
                self._standing[change.key] = _Standing(raised=change, last=change, told_at=change.at)
                continue
            standing = self._standing.get(change.key)
            if standing is None:
                continue
            standing.last = change
            if change.kind is ChangeKind.SUPPRESSED and standing.told_at == change.at:
                standing.told_at = None
            elif change.kind is ChangeKind.UNSUPPRESSED and standing.told_at is None:
                standing.told_at = change.at
            elif change.kind is ChangeKind.CLEARED:
                self._ended.append(_occurrence(standing, ended_at=change.at))
                del self._standing[change.key]

    def occurrences(self) -> tuple[Occurrence, ...]:
        """All of them, by beginning; those that still stand have no end."""
        standing = (_occurrence(each, ended_at=None) for each in self._standing.values())
        return tuple(
            sorted(chain(self._ended, standing), key=lambda each: (each.began_at, each.source[0], each.source[1:]))
        )


def _occurrence(standing: _Standing, *, ended_at: datetime | None) -> Occurrence:
    raised, last = standing.raised, standing.last
    return Occurrence(
        rule=raised.rule,
        side=raised.side,
        limit=raised.limit,
        began_at=raised.at,
        ended_at=ended_at,
        told_at=standing.told_at,
        peak_value=last.peak_value,
        peak_at=last.peak_at,
    )


def by_source(occurrences: Iterable[Occurrence]) -> Mapping[Source, Sequence[Occurrence]]:
    """Occurrences of each alarm, in the order given."""
    found: dict[Source, list[Occurrence]] = {}
    for each in occurrences:
        found.setdefault(each.source, []).append(each)
    return found


def spans_of(occurrences: Sequence[Occurrence], end: datetime) -> Spans:
    """int64[n, 2]: when each stood, us since 1970; those that still stand, until `end`."""
    return np.array(
        [(to_micros(each.began_at), to_micros(each.ended_at or end)) for each in occurrences], np.int64
    ).reshape(-1, 2)


def union(spans: Spans) -> Spans:
    """The same time in spans that neither touch nor overlap, ascending."""
    if not len(spans):
        return spans
    ordered = spans[np.argsort(spans[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ordered[:, 1])
    first = np.concatenate(([True], ordered[1:, 0] > reach[:-1]))
    last = np.append(np.flatnonzero(first)[1:] - 1, len(ordered) - 1)
    return np.column_stack((ordered[first, 0], reach[last]))
