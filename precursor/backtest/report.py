"""`Report`: what a backtest found, and the JSON document of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from precursor.backtest.envelope import Envelopes
from precursor.backtest.readings import Seen
from precursor.backtest.rule_set import RuleSet
from rules.comparison import Difference
from rules.definition import Priority
from rules.lead_time import Foresight
from rules.occurrences import Occurrence
from rules.performance import Judgement, Performance, SourceLoad, judge, measure
from rules.suggestions import Proposal

__all__ = ["Outcome", "Rate", "Report", "RuleFigures", "Suggestion", "duration", "rule_figures"]

_MOST_TOLD = 1000
"""occurrences in a JSON document, of each kind"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleFigures:
    """One rule over all it watches."""

    rule: str
    subjects: int
    """sensors or assets it is on"""
    performance: Performance

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {"rule": self.rule, "subjects": self.subjects, **_figures(self.performance)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one set of rules did."""

    name: str
    """the file, or `in force`"""
    rules: RuleSet
    occurrences: tuple[Occurrence, ...]
    performance: Performance
    by_rule: tuple[RuleFigures, ...]
    foresight: Foresight | None
    """None: no failures were named"""

    @property
    def judgements(self) -> tuple[Judgement, ...]:
        """Its figures beside the targets."""
        return judge(self.performance)

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        told = [each for each in self.occurrences if each.told_at is not None]
        return {
            "name": self.name,
            "rules": len(self.rules.rules),
            **_figures(self.performance),
            "targets": [
                {"name": each.name, "value": each.value, "target": each.target, "verdict": str(each.verdict)}
                for each in self.judgements
            ],
            "worst": [_load(load) for load in self.performance.worst],
            "worst_share": self.performance.worst_share,
            "by_rule": [each.as_json() for each in self.by_rule],
            "occurrences": [_occurrence(each) for each in told[:_MOST_TOLD]],
            "occurrences_left_out": max(0, len(told) - _MOST_TOLD),
            "foresight": None if self.foresight is None else _foresight(self.foresight),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """What a proposed limit would have done."""

    percentile: float
    limit: float
    per_day: float
    """alarms a day with the proposed deadband"""
    per_day_bare: float
    """without a deadband"""
    time_share: float
    """part of time in alarm, with the deadband, 0 to 1"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Suggestion:
    """Limits for one side of one rule, tried."""

    proposal: Proposal
    now_per_day: float
    """alarms a day of this side of the rule as it is"""
    rates: tuple[Rate, ...]

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        proposal = self.proposal
        return {
            "sensor": proposal.rule.sensor_name,
            "rule": proposal.rule.name,
            "side": str(proposal.side),
            "unit": proposal.rule.unit,
            "values": proposal.values,
            "running_only": proposal.running_only,
            "median": proposal.median,
            "noise": proposal.noise,
            "now": {
                "limit": proposal.rule.low if proposal.side.is_low else proposal.rule.high,
                "deadband": proposal.rule.deadband,
                "per_day": self.now_per_day,
            },
            "deadband": proposal.deadband,
            "limits": [
                {
                    "percentile": rate.percentile,
                    "limit": rate.limit,
                    "per_day": rate.per_day,
                    "per_day_without_deadband": rate.per_day_bare,
                    "time_share": rate.time_share,
                }
                for rate in self.rates
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A backtest."""

    data: str
    """where readings came from, for people"""
    begin: datetime
    end: datetime
    seen: Seen
    wall_s: float
    new: Outcome
    old: Outcome | None = None
    """the rules that `new` is compared with"""
    difference: Difference | None = None
    suggestions: tuple[Suggestion, ...] | None = None
    """None: not asked for"""
    notes: tuple[str, ...] = ()
    """what a reader should know before trusting the figures"""
    envelopes: Envelopes | None = None
    """for the page"""

    def as_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return {
            "data": self.data,
            "from": self.begin.isoformat(),
            "to": self.end.isoformat(),
            "readings": self.seen.readings,
            "sensors": len(self.seen.sensors),
            "left_out": {
                "other_sensors": self.seen.other,
                "outside_range": self.seen.outside,
                "no_reading": self.seen.flawed,
                "repeated": self.seen.repeated,
            },
            "wall_s": round(self.wall_s, 3),
            "notes": list(self.notes),
            "new": self.new.as_json(),
            "old": None if self.old is None else self.old.as_json(),
            "difference": None if self.difference is None else _difference(self.difference),
            "suggestions": None if self.suggestions is None else [each.as_json() for each in self.suggestions],
        }


def rule_figures(
    rules: RuleSet, occurrences: Sequence[Occurrence], begin: datetime, end: datetime, operators: int
) -> tuple[RuleFigures, ...]:
    """Figures of each rule, by name, the one with the most alarms first; rules without alarms too."""
    subjects: dict[str, set[str]] = {}
    for rule in rules.rules:
        subjects.setdefault(rule.name, set()).add(rule.sensor_name)
    found: dict[str, list[Occurrence]] = {name: [] for name in subjects}
    for each in occurrences:
        found[each.rule.name].append(each)
    figures = [
        RuleFigures(rule=name, subjects=len(subjects[name]), performance=measure(own, begin, end, operators=operators))
        for name, own in found.items()
    ]
    return tuple(sorted(figures, key=lambda each: (-each.performance.alarms, each.rule)))


def _figures(found: Performance) -> dict[str, Any]:
    return {
        "alarms": found.alarms,
        "suppressed": found.suppressed,
        "per_operator_day": found.per_day,
        "per_operator_10_min": found.per_10_min,
        "most_in_10_min": found.most_in_10_min,
        "floods": found.floods,
        "flood_share": found.flood_share,
        "time_in_alarm_s": found.time_in_alarm_s,
        "alarm_share": found.alarm_share,
        "chattering_alarms": found.chattering_sources,
        "chattering_occurrences": found.chattering,
        "fleeting": found.fleeting,
        "stale": found.stale,
        "priorities": {priority.name.lower(): found.priorities[priority] for priority in Priority},
    }


def _load(load: SourceLoad) -> dict[str, Any]:
    return {
        "subject": load.subject,
        "rule": load.rule,
        "side": str(load.side),
        "priority": load.priority.name.lower(),
        "alarms": load.alarms,
        "share": load.share,
        "time_s": load.time_s,
        "chattering": load.chattering,
        "fleeting": load.fleeting,
        "stale": load.stale,
    }


def _occurrence(each: Occurrence) -> dict[str, Any]:
    return {
        "subject": each.rule.sensor_name,
        "rule": each.rule.name,
        "side": str(each.side),
        "priority": each.priority.name.lower(),
        "category": str(each.rule.category),
        "began_at": each.began_at.isoformat(),
        "ended_at": None if each.ended_at is None else each.ended_at.isoformat(),
        "limit": each.limit,
        "peak": each.peak_value,
        "unit": each.rule.unit,
    }


def _foresight(found: Foresight) -> dict[str, Any]:
    return {
        "failures": [
            {
                "asset": each.failure.asset,
                "failure_at": each.failure.failure_at.isoformat(),
                "window_begin": each.window_begin.isoformat(),
                "first_alarm": None if each.first is None else _occurrence(each.first),
                "lead_s": each.lead_s,
                "delay_s": each.delay_s,
            }
            for each in found.failures
        ],
        "warned": len(found.failures) - found.missed,
        "missed": found.missed,
        "warned_by_chance": found.by_chance,
        "median_lead_s": found.median_lead_s,
        "false_alarms": found.false_alarms,
        "asset_months": found.asset_months,
        "false_per_asset_month": found.false_per_asset_month,
    }


def _difference(found: Difference) -> dict[str, Any]:
    return {
        "only_new": len(found.only_new),
        "only_old": len(found.only_old),
        "in_both": len(found.new_in_both),
        "old_in_both": len(found.old_in_both),
        "occurrences_only_new": [_occurrence(each) for each in found.only_new[:_MOST_TOLD]],
        "occurrences_only_old": [_occurrence(each) for each in found.only_old[:_MOST_TOLD]],
    }


def duration(seconds: float) -> str:
    """For people: the two coarsest units.

    >>> duration(93784)
    '1 d 2 h'
    """
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = timedelta(seconds=round(seconds))
    parts = [
        (whole.days, "d"),
        (whole.seconds // 3600, "h"),
        (whole.seconds // 60 % 60, "min"),
        (whole.seconds % 60, "s"),
    ]
    first = next(place for place, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)
