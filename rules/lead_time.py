"""What alarms were worth where it is known when machines failed: warnings in time, failures missed, false alarms.

- The *window* of a failure is the time in which an alarm would have been a warning: from the horizon before it (from
  its onset, where that is known), but not before the failure before it, to the failure itself.
- A failure is *warned of* if an alarm of the machine, or of a part of it, is raised in its window. One that stands
  since before is no warning: it would have been looked at, and found nothing, long ago. Lead time is from the first
  alarm in the window to the failure.
- An alarm is *false* if it is raised in no window of its machine. Their rate is by asset-month: 30 days of one of the
  machines watched, outside windows.
- *By chance*: how many failures as many alarms of the same machines, strewn at random over the time, would be expected
  to warn of. A figure not well above it says nothing.

Only alarms about the machine count, not those about a measurement, and only such that people are told of.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from rules.definition import Category
from rules.occurrences import Occurrence, union
from telemetry.batch import to_datetime, to_micros

__all__ = ["HORIZON", "Failure", "Foresight", "Warned", "foresight"]

HORIZON = timedelta(days=30)
"""how long before a failure an alarm still counts as its warning, unless said otherwise"""
_MONTH_US = 30 * 86_400 * 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failure that is known of."""

    asset: str
    failure_at: datetime
    began_at: datetime | None = None
    """onset of the fault; None: not known"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """A failure, and the first alarm in its window."""

    failure: Failure
    window_begin: datetime
    first: Occurrence | None
    """None: missed"""

    @property
    def lead_s(self) -> float | None:
        """From the first alarm to the failure."""
        if self.first is None:
            return None
        return (self.failure.failure_at - self.first.began_at).total_seconds()

    @property
    def delay_s(self) -> float | None:
        """From the onset, where that is known, to the first alarm."""
        if self.first is None or self.failure.began_at is None:
            return None
        return (self.first.began_at - self.failure.began_at).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Foresight:
    """Alarms against failures."""

    failures: tuple[Warned, ...]
    """those in the time that was looked at, by time"""
    false_alarms: int
    asset_months: float
    """of time outside windows"""
    by_chance: float
    """failures that random alarms would have warned of, expected"""

    @property
    def missed(self) -> int:
        """Failures without a warning."""
        return sum(each.first is None for each in self.failures)

    @property
    def false_per_asset_month(self) -> float | None:
        """None: there was no time outside windows."""
        return self.false_alarms / self.asset_months if self.asset_months else None

    @property
    def median_lead_s(self) -> float | None:
        """Of failures warned of; None: there is none."""
        leads = [each.lead_s for each in self.failures if each.lead_s is not None]
        return float(np.median(leads)) if leads else None


def foresight(
    occurrences: Sequence[Occurrence],
    failures: Sequence[Failure],
    begin: datetime,
    end: datetime,
    *,
    machine_of: Mapping[int, Collection[str]],
    machines: Collection[str],
    horizon: timedelta = HORIZON,
) -> Foresight:
    """Hold alarms of [begin, end) against failures in (begin, end].

    Args:
        machine_of: by asset id, names of the asset and of everything it is a part of.
        machines: names of the assets that were watched; asset-months are counted over these.
    """
    begin_us, end_us = to_micros(begin), to_micros(end)
    alarms: dict[str, list[Occurrence]] = {}
    counted = [each for each in occurrences if each.told_at is not None and each.rule.category is Category.MACHINE]
    for each in counted:
        for name in machine_of[each.rule.asset_id]:
            alarms.setdefault(name, []).append(each)
    found: list[Warned] = []
    by_chance = 0.0
    windows: dict[str, list[tuple[int, int]]] = {}
    before: dict[str, int] = {}
    for failure in sorted(failures, key=lambda each: (each.failure_at, each.asset)):
        at = to_micros(failure.failure_at)
        opened = at - horizon // timedelta(microseconds=1) if failure.began_at is None else to_micros(failure.began_at)
        opened = max(opened, before.get(failure.asset, begin_us), begin_us)
        before[failure.asset] = at
        if not begin_us < at <= end_us:
            continue
        windows.setdefault(failure.asset, []).append((opened, at))
        own = alarms.get(failure.asset, [])
        first = next((each for each in own if opened <= to_micros(each.began_at) < at), None)
        found.append(Warned(failure=failure, window_begin=to_datetime(opened), first=first))
        by_chance += 1 - (1 - (at - opened) / (end_us - begin_us)) ** len(own)
    covered = {name: union(np.array(spans, np.int64)) for name, spans in windows.items()}
    outside_us = sum(
        end_us - begin_us - (int((covered[name][:, 1] - covered[name][:, 0]).sum()) if name in covered else 0)
        for name in {*machines, *covered}
    )
    return Foresight(
        failures=tuple(found),
        false_alarms=sum(
            not any(_within(to_micros(each.began_at), windows.get(name, ())) for name in machine_of[each.rule.asset_id])
            for each in counted
        ),
        asset_months=outside_us / _MONTH_US,
        by_chance=by_chance,
    )


def _within(at_us: int, windows: Collection[tuple[int, int]]) -> bool:
    return any(begin <= at_us < end for begin, end in windows)
