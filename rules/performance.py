"""How well operators can live with alarms: the figures of ISA-18.2 / IEC 62682 over occurrences, and their targets.

Only alarms that people are told of count; one that another stood for all the time does not.

| figure | definition |
|---|---|
| rate | alarms told a day, and in ten minutes, for one operator |
| flood | ten minutes of the clock (UTC) with more than ten alarms for one operator; adjoining ones are one flood |
| chattering | an alarm (rule, subject, side) that comes three times or more within a minute |
| fleeting | an occurrence over before a minute has passed, faster than anybody acts |
| stale | an occurrence that stands for more than 24 h |
| time in alarm | seconds in which an alarm stands, summed over alarms; and the part of time in which any does |

Targets: ISA-18.2-2016, table 16, as quoted in secondary sources. Judge over 30 days or more.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from rules.definition import Priority
from rules.events import Side
from rules.occurrences import Occurrence, Source, by_source, spans_of, union
from telemetry.batch import to_micros

__all__ = ["TARGETS", "Judgement", "Performance", "SourceLoad", "Verdict", "judge", "measure"]

_MINUTE_US = 60_000_000
_PERIOD_US = 600_000_000
_DAY_US = 86_400_000_000
_FLOOD = 10
_CHATTER = 3
_WORST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLoad:
    """One alarm, and how much of all alarms it is."""

    subject: str
    rule: str
    side: Side
    priority: Priority
    alarms: int
    share: float
    """of all alarms told, 0 to 1"""
    time_s: float
    """in alarm"""
    chattering: int
    """of its occurrences, those that came three or more within a minute"""
    fleeting: int
    stale: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """Figures of some time. Definitions: above."""

    begin: datetime
    end: datetime
    operators: int
    alarms: int
    """told"""
    suppressed: int
    """alarms that nobody would have been told of: another one stood for them"""
    per_day: float
    """for one operator"""
    per_10_min: float
    """for one operator"""
    most_in_10_min: int
    """for all operators together"""
    floods: int
    flood_share: float
    """of ten-minute periods, 0 to 1"""
    time_in_alarm_s: float
    alarm_share: float
    """of time in which any alarm stood, 0 to 1"""
    chattering_sources: int
    chattering: int
    """occurrences that came three or more within a minute"""
    fleeting: int
    stale: int
    priorities: Mapping[Priority, int]
    worst: tuple[SourceLoad, ...]
    """the ten with the most occurrences, the worst first"""
    worst_share: float
    """of all alarms told that are those ten, 0 to 1"""

    def priority_share(self, priority: Priority) -> float:
        """Part of alarms told that has this priority, 0 to 1; without alarms 0."""
        return self.priorities[priority] / self.alarms if self.alarms else 0.0


def measure(occurrences: Sequence[Occurrence], begin: datetime, end: datetime, *, operators: int = 1) -> Performance:
    """The figures of occurrences that began in [begin, end).

    Raises:
        ValueError: the time is empty, or there is no operator.
    """
    begin_us, end_us = to_micros(begin), to_micros(end)
    if begin_us >= end_us or operators < 1:
        raise ValueError(f"{begin} to {end} for {operators} operators is nothing to measure")
    told = [each for each in occurrences if each.told_at is not None]
    days = (end_us - begin_us) / _DAY_US
    counts = _periods(told, begin_us, end_us)
    flooded = counts > _FLOOD * operators
    spans = spans_of(told, end)
    loads = sorted(
        (_load(source, found, len(told), end) for source, found in by_source(told).items()),
        key=lambda load: (-load.alarms, -load.time_s, load.subject, load.rule),
    )
    worst = tuple(loads[:_WORST])
    merged = union(spans)
    mix = Counter(each.priority for each in told)
    return Performance(
        begin=begin,
        end=end,
        operators=operators,
        alarms=len(told),
        suppressed=len(occurrences) - len(told),
        per_day=len(told) / days / operators,
        per_10_min=len(told) / (days * 144) / operators,
        most_in_10_min=int(counts.max()),
        floods=int(np.count_nonzero(flooded & ~np.concatenate(([False], flooded[:-1])))),
        flood_share=float(flooded.mean()),
        time_in_alarm_s=float((spans[:, 1] - spans[:, 0]).sum()) / 1e6,
        alarm_share=float((merged[:, 1] - merged[:, 0]).sum()) / (end_us - begin_us),
        chattering_sources=sum(load.chattering > 0 for load in loads),
        chattering=sum(load.chattering for load in loads),
        fleeting=sum(load.fleeting for load in loads),
        stale=sum(load.stale for load in loads),
        priorities={priority: mix[priority] for priority in Priority},
        worst=worst,
        worst_share=sum(load.alarms for load in worst) / len(told) if told else 0.0,
    )


def _periods(told: Sequence[Occurrence], begin_us: int, end_us: int) -> npt.NDArray[np.int64]:
    """Alarms told in each ten-minute period of the clock that has a part in the time."""
    first, last = begin_us // _PERIOD_US, (end_us - 1) // _PERIOD_US
    at = np.array([to_micros(each.told_at) for each in told if each.told_at is not None], np.int64)
    counts: npt.NDArray[np.int64] = np.bincount(
        np.clip(at // _PERIOD_US, first, last) - first, minlength=last - first + 1
    )
    return counts


def _load(source: Source, found: Sequence[Occurrence], total: int, end: datetime) -> SourceLoad:
    subject, rule, side = source
    spans = spans_of(found, end)
    lasted = spans[:, 1] - spans[:, 0]
    over = np.array([each.ended_at is not None for each in found])
    return SourceLoad(
        subject=subject,
        rule=rule,
        side=side,
        priority=found[0].priority,
        alarms=len(found),
        share=len(found) / total,
        time_s=float(lasted.sum()) / 1e6,
        chattering=int(_bursts(np.sort(spans[:, 0])).sum()),
        fleeting=int(np.count_nonzero(over & (lasted < _MINUTE_US))),
        stale=int(np.count_nonzero(lasted > _DAY_US)),
    )


def _bursts(began: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which of these instants, ascending, are among three or more within a minute."""
    found = np.zeros(began.size, np.bool_)
    close = np.flatnonzero(began[_CHATTER - 1 :] - began[: 1 - _CHATTER] <= _MINUTE_US)
    for step in range(_CHATTER):
        found[close + step] = True
    return found


class Verdict(StrEnum):
    """How a figure stands to its target."""

    GOOD = "good"
    TOLERABLE = "tolerable"
    BAD = "bad"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A figure beside its target."""

    name: str
    value: float
    target: str
    verdict: Verdict


TARGETS: Mapping[str, tuple[str, float, float]] = {
    "alarms per operator and day": ("150 or less, 300 at most", 150.0, 300.0),
    "alarms per operator and 10 minutes": ("1 or less, 2 at most", 1.0, 2.0),
    "most alarms in 10 minutes": ("10 or less", 10.0, 10.0),
    "time in flood, %": ("under 1", 1.0, 1.0),
    "chattering alarms": ("0", 0.0, 0.0),
    "stale alarms": ("under 5", 4.0, 4.0),
    "load of the ten worst, %": ("1 to 5", 5.0, 5.0),
    "high priority, %": ("about 5", 7.5, 10.0),
    "medium priority, %": ("about 15", 20.0, 30.0),
}
"""what is aimed at, in words; the most that is good; the most that is tolerable"""


def judge(performance: Performance) -> tuple[Judgement, ...]:
    """Figures beside their targets, in the order of `TARGETS`.

    Shares say nothing below 200 alarms, of which ten are 5 % already: they are good then, whatever they are.
    """
    few = performance.alarms < _WORST / 0.05
    values = {
        "alarms per operator and day": performance.per_day,
        "alarms per operator and 10 minutes": performance.per_10_min,
        "most alarms in 10 minutes": performance.most_in_10_min / performance.operators,
        "time in flood, %": performance.flood_share * 100,
        "chattering alarms": performance.chattering_sources,
        "stale alarms": performance.stale,
        "load of the ten worst, %": performance.worst_share * 100,
        "high priority, %": performance.priority_share(Priority.HIGH) * 100,
        "medium priority, %": performance.priority_share(Priority.MEDIUM) * 100,
    }
    shares = {"load of the ten worst, %", "high priority, %", "medium priority, %"}
    return tuple(
        Judgement(
            name=name,
            value=float(values[name]),
            target=text,
            verdict=Verdict.GOOD if few and name in shares else _verdict(name, values[name], good, tolerable),
        )
        for name, (text, good, tolerable) in TARGETS.items()
    )


def _verdict(name: str, value: float, good: float, tolerable: float) -> Verdict:
    # "under 1 %": reaching it is too much.
    if value < good or (value == good and name != "time in flood, %"):
        return Verdict.GOOD
    return Verdict.TOLERABLE if value <= tolerable and name != "time in flood, %" else Verdict.BAD
