"""A report on the terminal."""

from collections.abc import Sequence

import click

from precursor.backtest.report import Outcome, Report, Suggestion, duration
from precursor.cli.table import print_table
from rules.comparison import Difference
from rules.definition import Priority
from rules.lead_time import Foresight
from rules.performance import Verdict

__all__ = ["difference_line", "foresight_line", "print_report"]

_SIGNS = {Verdict.GOOD: "ok", Verdict.TOLERABLE: "tolerable", Verdict.BAD: "TOO MUCH"}
_MOST_RULES = 20


def print_report(report: Report) -> None:
    """Print it to standard output."""
    new, old, seen = report.new, report.old, report.seen
    rate = f", {seen.readings / report.wall_s:,.0f}/s" if seen.readings and report.wall_s >= 1 else ""
    click.echo(
        f"{new.name} over {report.data}, {report.begin:%Y-%m-%d %H:%M} to {report.end:%Y-%m-%d %H:%M} UTC:"
        f" {len(new.rules.rules):,} rules, {seen.readings:,} readings of {len(seen.sensors):,} sensors,"
        f" {report.wall_s:.1f} s{rate}"
    )
    for note in report.notes:
        click.echo(f"note: {note}")
    click.echo()
    _judgements(new, old)
    click.echo()
    _totals(new, old)
    if new.performance.worst:
        click.echo("\nworst alarms")
        _worst(new)
    click.echo("\nby rule")
    _by_rule(new)
    if new.foresight is not None:
        click.echo()
        _foresight(new.foresight, None if old is None else old.foresight)
    if old is not None and report.difference is not None:
        click.echo()
        click.echo(f"compared with {old.name}: {difference_line(report.difference)}")
    if report.suggestions is not None:
        click.echo()
        _suggestions(report.suggestions)


def _judgements(new: Outcome, old: Outcome | None) -> None:
    if old is None:
        print_table(
            ("against ISA-18.2", "value", "target", ""),
            [(j.name, _number(j.value), j.target, _SIGNS[j.verdict]) for j in new.judgements],
        )
        return
    print_table(
        ("against ISA-18.2", "value", "", old.name, "", "target"),
        [
            (n.name, _number(n.value), _SIGNS[n.verdict], _number(o.value), _SIGNS[o.verdict], n.target)
            for n, o in zip(new.judgements, old.judgements, strict=True)
        ],
    )


def _totals(new: Outcome, old: Outcome | None) -> None:
    columns = [_total_cells(each) for each in (new, old) if each is not None]
    head = ("in all", "", old.name) if old is not None else ("in all", "")
    print_table(head, [(cells[0][0], *(text for _, text in cells)) for cells in zip(*columns, strict=True)])


def _total_cells(outcome: Outcome) -> list[tuple[str, str]]:
    found = outcome.performance
    return [
        ("alarms", f"{found.alarms:,}"),
        ("suppressed by others", f"{found.suppressed:,}"),
        ("time in alarm", duration(found.time_in_alarm_s)),
        ("part of time with an alarm, %", _number(found.alarm_share * 100)),
        ("floods", f"{found.floods:,}"),
        ("chattering occurrences", f"{found.chattering:,}"),
        ("fleeting (under a minute)", f"{found.fleeting:,}"),
        *((f"{priority.name.lower()} priority", f"{found.priorities[priority]:,}") for priority in Priority),
    ]


def _worst(outcome: Outcome) -> None:
    print_table(
        ("alarm", "side", "priority", "alarms", "share, %", "in alarm", "chattering", "fleeting", "stale"),
        [
            (
                f"{load.subject} {load.rule}",
                load.side,
                load.priority.name.lower(),
                load.alarms,
                _number(load.share * 100),
                duration(load.time_s),
                load.chattering,
                load.fleeting,
                load.stale,
            )
            for load in outcome.performance.worst
        ],
    )


def _by_rule(outcome: Outcome) -> None:
    print_table(
        ("rule", "on", "alarms", "a day", "in alarm", "chattering", "fleeting", "stale", "suppressed"),
        [
            (
                each.rule,
                each.subjects,
                each.performance.alarms,
                _number(each.performance.per_day * each.performance.operators),
                duration(each.performance.time_in_alarm_s),
                each.performance.chattering,
                each.performance.fleeting,
                each.performance.stale,
                each.performance.suppressed,
            )
            for each in outcome.by_rule[:_MOST_RULES]
        ],
    )
    if len(outcome.by_rule) > _MOST_RULES:
        click.echo(f"and {len(outcome.by_rule) - _MOST_RULES:,} rules more; --json has all")


def _foresight(found: Foresight, old: Foresight | None) -> None:
    print_table(
        ("failure", "at", "warned", "lead", "by"),
        [
            (
                each.failure.asset,
                f"{each.failure.failure_at:%Y-%m-%d %H:%M}",
                "MISSED" if each.first is None else f"{each.first.began_at:%Y-%m-%d %H:%M}",
                "" if each.lead_s is None else duration(each.lead_s),
                "" if each.first is None else f"{each.first.rule.sensor_name} {each.first.rule.name}",
            )
            for each in found.failures
        ],
    )
    for name, each in (("", found), ("the other rules: ", old)):
        if each is not None:
            click.echo(f"{name}{foresight_line(each)}")


def foresight_line(found: Foresight) -> str:
    """In one sentence."""
    lead = "" if found.median_lead_s is None else f", median lead {duration(found.median_lead_s)}"
    rate = found.false_per_asset_month
    return (
        f"{len(found.failures) - found.missed} of {len(found.failures)} failures warned of"
        f" (random alarms: {found.by_chance:.1f}){lead}; {found.false_alarms:,} false alarms"
        + ("" if rate is None else f", {_number(rate)} an asset-month")
    )


def difference_line(found: Difference) -> str:
    """In one sentence."""
    there = "" if len(found.old_in_both) == len(found.new_in_both) else f" (as {len(found.old_in_both):,} there)"
    return (
        f"{len(found.only_new):,} alarms are new, {len(found.only_old):,} are gone,"
        f" {len(found.new_in_both):,} are in both{there}"
    )


def _suggestions(found: Sequence[Suggestion]) -> None:
    if not found:
        click.echo("no limit can be proposed: no rule on plain values has a hundred readings")
        return
    rows = []
    for each in found:
        proposal = each.proposal
        now = proposal.rule.low if proposal.side.is_low else proposal.rule.high
        what = f"{proposal.rule.sensor_name} {proposal.rule.name} {proposal.side}" + (
            ", running" if proposal.running_only else ""
        )
        rows.append((what, "now", _limit(now), f"{proposal.rule.deadband:.4g}", f"{each.now_per_day:.3g}", "", ""))
        rows += [
            (
                "",
                f"{100 - rate.percentile if proposal.side.is_low else rate.percentile:.4g} %",
                _limit(rate.limit),
                f"{proposal.deadband:.4g}",
                f"{rate.per_day:.3g}",
                f"{rate.per_day_bare:.3g}",
                f"{rate.time_share * 100:.3g}",
            )
            for rate in each.rates
        ]
    print_table(
        ("proposals", "percentile", "limit", "deadband", "alarms a day", "without deadband", "in alarm, %"), rows
    )


def _limit(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
