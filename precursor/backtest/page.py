"""A report as one HTML page with pictures: nothing is fetched, it can be sent by mail and printed."""

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from precursor.backtest.drawing import COLOURS, TrendChart, day_bars, timeline, trend
from precursor.backtest.report import Outcome, Report, Suggestion, duration
from precursor.backtest.text import difference_line, foresight_line
from rules.comparison import Difference
from rules.definition import Priority
from rules.lead_time import Foresight
from rules.occurrences import Occurrence
from rules.performance import TARGETS, Verdict
from rules.suggestions import value_rules
from telemetry.errors import ConfigurationError

__all__ = ["render", "write_page"]

_MOST_ASSETS, _MOST_TRENDS, _MOST_ROWS = 40, 6, 25
_VERDICTS = {Verdict.GOOD: "good", Verdict.TOLERABLE: "tolerable", Verdict.BAD: "too much"}
_STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: #1f2933; background: #fff;
       max-width: 1000px; margin: 2rem auto; padding: 0 1.2rem; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; } h2 { font-size: 1.12rem; margin: 2.2rem 0 .5rem; }
p { margin: .3rem 0; } .faint { color: #616e7c; }
.note { background: #fdf6e3; padding: .4rem .7rem; border-radius: 4px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .24rem .5rem; text-align: right; border-bottom: 1px solid #e4e7eb; vertical-align: top; }
th { font-weight: 600; color: #52606d; border-bottom-color: #9aa5b1; }
th:first-child, td:first-child { text-align: left; }
.good { color: #1b7f4b; } .tolerable { color: #9a6700; } .bad, .missed { color: #b42318; font-weight: 600; }
svg { width: 100%; height: auto; display: block; margin: .3rem 0 .7rem; }
svg text { font-size: 12px; fill: #1f2933; } svg text.tick { font-size: 11px; fill: #616e7c; }
svg text.name { font-size: 12.5px; }
svg text.limit-text { font-size: 11px; fill: #c0392b; stroke: #fff; stroke-width: 3; paint-order: stroke; }
svg line.grid { stroke: #e4e7eb; } svg line.limit { stroke: #c0392b; stroke-dasharray: 6 4; stroke-width: 1.2; }
svg line.good { stroke: #1b7f4b; stroke-dasharray: 4 3; } svg line.most { stroke: #c0392b; stroke-dasharray: 4 3; }
svg polygon.band { fill: #0b6e99; stroke: #0b6e99; stroke-width: .6; } svg rect.alarm { fill: #fbddd6; }
.key span { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 .9em; border-radius: 2px; }
@media print { body { margin: 0; max-width: none; font-size: 11px; } h2 { break-after: avoid; }
  svg, tr { break-inside: avoid; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


_DEFINITIONS = """
Only alarms that people would have been told of count. Flood: ten minutes with more than ten alarms for one operator.
Chattering: three times or more within a minute. Fleeting: over before a minute has passed. Stale: standing for more
than 24 h. Targets are for one operator, over 30 days or more. A failure is warned of if an alarm is raised in the time
before it. docs/backtest.md has the details.
"""


def write_page(report: Report, path: Path) -> None:
    """Write the page.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    try:
        path.write_text(render(report), encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {str(path)!r}: {error.strerror or error}") from error


def render(report: Report) -> str:
    """The page as text."""
    new, old = report.new, report.old
    title = f"Backtest of {new.name}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="faint">{escape(_subtitle(report))}</p>',
        *(f'<p class="note">{escape(note)}</p>' for note in report.notes),
        "<h2>Figures beside their targets (ISA-18.2)</h2>",
        _judgements(new, old),
        "<h2>In all</h2>",
        _totals(new, old),
        f"<h2>Alarms on each day</h2>{_key()}",
        _days(new, report),
        f"<h2>When alarms stood</h2>{_timeline(new, report)}",
        f"<h2>Worst alarms</h2>{_worst(new)}" if new.performance.worst else "",
        _trends(report),
        f"<h2>By rule</h2>{_by_rule(new)}",
        "" if new.foresight is None else f"<h2>Failures</h2>{_foresight(new.foresight, old)}",
        "" if report.difference is None or old is None else _difference(report.difference, old.name),
        "" if not report.suggestions else f"<h2>Limits out of history</h2>{_suggestions(report.suggestions)}",
        "<h2>Definitions</h2>",
        f'<p class="faint">{_DEFINITIONS}</p>',
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n{chr(10).join(filter(None, parts))}\n"
        "</body></html>\n"
    )


def _subtitle(report: Report) -> str:
    return (
        f"{report.data}, {report.begin:%Y-%m-%d %H:%M} to {report.end:%Y-%m-%d %H:%M} UTC ·"
        f" {len(report.new.rules.rules):,} rules ·"
        f" {report.seen.readings:,} readings of {len(report.seen.sensors):,} sensors"
    )


def _judgements(new: Outcome, old: Outcome | None) -> str:
    rows = []
    for place, each in enumerate(new.judgements):
        cells = [escape(each.name), _number(each.value), _verdict(each.verdict)]
        if old is not None:
            other = old.judgements[place]
            cells += [_number(other.value), _verdict(other.verdict)]
        rows.append([*cells, escape(each.target)])
    head = ["", "value", ""] + ([] if old is None else [escape(old.name), ""]) + ["target"]
    return _table(head, rows)


def _totals(new: Outcome, old: Outcome | None) -> str:
    def cells(outcome: Outcome) -> list[tuple[str, str]]:
        found = outcome.performance
        return [
            ("alarms", f"{found.alarms:,}"),
            ("suppressed by others", f"{found.suppressed:,}"),
            ("time in alarm", duration(found.time_in_alarm_s)),
            ("part of time with an alarm", f"{_number(found.alarm_share * 100)} %"),
            ("floods", f"{found.floods:,}"),
            ("chattering occurrences", f"{found.chattering:,}"),
            ("fleeting", f"{found.fleeting:,}"),
            (
                "low / medium / high priority",
                " / ".join(f"{found.priority_share(priority) * 100:.0f} %" for priority in Priority),
            ),
        ]

    columns = [cells(each) for each in (new, old) if each is not None]
    rows = [[row[0][0], *(text for _, text in row)] for row in zip(*columns, strict=True)]
    return _table(["", escape(new.name)] + ([] if old is None else [escape(old.name)]), rows)


def _days(new: Outcome, report: Report) -> str:
    _, good, tolerable = TARGETS["alarms per operator and day"]
    operators = new.performance.operators
    return day_bars(new.occurrences, report.begin, report.end, good=good * operators, tolerable=tolerable * operators)


def _timeline(new: Outcome, report: Report) -> str:
    by_asset: dict[str, list[Occurrence]] = {}
    for each in new.occurrences:
        if each.told_at is not None:
            by_asset.setdefault(new.rules.machine_of[each.rule.asset_id][0], []).append(each)
    if not by_asset:
        return "<p>There were no alarms.</p>"
    rows = sorted(by_asset.items(), key=lambda row: (-len(row[1]), row[0]))
    more = f'<p class="faint">and {len(rows) - _MOST_ASSETS:,} assets more</p>' if len(rows) > _MOST_ASSETS else ""
    return timeline(rows[:_MOST_ASSETS], report.begin, report.end) + more


def _worst(new: Outcome) -> str:
    return _table(
        ["alarm", "side", "priority", "alarms", "share", "in alarm", "chattering", "fleeting", "stale"],
        [
            [
                f"{escape(load.subject)} <span class=faint>{escape(load.rule)}</span>",
                str(load.side).replace("_", " "),
                load.priority.name.lower(),
                f"{load.alarms:,}",
                f"{_number(load.share * 100)} %",
                duration(load.time_s),
                f"{load.chattering:,}",
                f"{load.fleeting:,}",
                f"{load.stale:,}",
            ]
            for load in new.performance.worst
        ],
    )


def _trends(report: Report) -> str:
    new = report.new
    if report.envelopes is None or not new.performance.worst:
        return ""
    charts: list[str] = []
    subjects = list(dict.fromkeys(load.subject for load in new.performance.worst))
    for name in subjects:
        rules = [rule for rule in new.rules.rules if rule.sensor_name == name and rule.sensor_id is not None]
        if not rules or len(charts) == _MOST_TRENDS:
            continue
        sensor_id = rules[0].sensor_id
        assert sensor_id is not None
        low, high = report.envelopes.of(sensor_id)
        plain = value_rules(rules)
        charts.append(
            trend(
                TrendChart(
                    name=name,
                    unit=plain[0].unit if plain else "",
                    low=low,
                    high=high,
                    limits=[
                        (str(limit.side).replace("_", " "), limit.value) for rule in plain for limit in rule.limits
                    ],
                    alarms=[each for each in new.occurrences if each.rule.sensor_name == name],
                ),
                report.begin,
                report.end,
            )
        )
    return f"<h2>Sensors with the most alarms</h2>{''.join(charts)}" if charts else ""


def _by_rule(new: Outcome) -> str:
    return _table(
        ["rule", "on", "alarms", "a day", "in alarm", "chattering", "fleeting", "stale", "suppressed"],
        [
            [
                escape(each.rule),
                f"{each.subjects:,}",
                f"{each.performance.alarms:,}",
                _number(each.performance.per_day * each.performance.operators),
                duration(each.performance.time_in_alarm_s),
                f"{each.performance.chattering:,}",
                f"{each.performance.fleeting:,}",
                f"{each.performance.stale:,}",
                f"{each.performance.suppressed:,}",
            ]
            for each in new.by_rule
        ],
    )


def _foresight(found: Foresight, old: Outcome | None) -> str:
    rows = [
        [
            escape(each.failure.asset),
            f"{each.failure.failure_at:%Y-%m-%d %H:%M}",
            '<span class="missed">missed</span>' if each.first is None else f"{each.first.began_at:%Y-%m-%d %H:%M}",
            "" if each.lead_s is None else duration(each.lead_s),
            "" if each.first is None else escape(f"{each.first.rule.sensor_name} {each.first.rule.name}"),
        ]
        for each in found.failures
    ]
    lines = [f"<p>{escape(foresight_line(found))}</p>"]
    if old is not None and old.foresight is not None:
        lines.append(f'<p class="faint">{escape(old.name)}: {escape(foresight_line(old.foresight))}</p>')
    return "".join(lines) + _table(["failure", "at", "warned", "lead", "by"], rows)


def _difference(found: Difference, name: str) -> str:
    lines = [
        f"<h2>Compared with {escape(name)}</h2>",
        f"<p>{escape(difference_line(found))}</p>",
    ]
    for text, occurrences in (("new", found.only_new), ("gone", found.only_old)):
        if occurrences:
            lines.append(_table([f"{text}", "side", "began", "stood", "peak"], _occurrences(occurrences[:_MOST_ROWS])))
            if len(occurrences) > _MOST_ROWS:
                lines.append(f'<p class="faint">and {len(occurrences) - _MOST_ROWS:,} more</p>')
    return "".join(lines)


def _occurrences(found: Iterable[Occurrence]) -> list[list[str]]:
    return [
        [
            f"{escape(each.rule.sensor_name)} <span class=faint>{escape(each.rule.name)}</span>",
            str(each.side).replace("_", " "),
            f"{each.began_at:%Y-%m-%d %H:%M:%S}",
            "to the end" if each.ended_at is None else duration(each.lasted_s(each.ended_at)),
            escape(f"{each.peak_value:.4g} {each.rule.unit}"),
        ]
        for each in found
    ]


def _suggestions(found: Sequence[Suggestion]) -> str:
    rows = []
    for each in found:
        proposal = each.proposal
        now = proposal.rule.low if proposal.side.is_low else proposal.rule.high
        running = ", while running" if proposal.running_only else ""
        noise = f"noise {proposal.noise:.3g} {proposal.rule.unit}".rstrip()
        about = f"{proposal.rule.name}, {proposal.side}{running}; {noise}"
        rows.append(
            [
                f"{escape(proposal.rule.sensor_name)} <span class=faint>{escape(about)}</span>",
                "now",
                "" if now is None else f"{now:.4g}",
                f"{proposal.rule.deadband:.4g}",
                f"{each.now_per_day:.3g}",
                "",
                "",
            ]
        )
        rows += [
            [
                "",
                f"{100 - rate.percentile if proposal.side.is_low else rate.percentile:.4g} %",
                f"{rate.limit:.4g}",
                f"{proposal.deadband:.4g}",
                f"{rate.per_day:.3g}",
                f"{rate.per_day_bare:.3g}",
                f"{_number(rate.time_share * 100)} %",
            ]
            for rate in each.rates
        ]
    return _table(["", "percentile", "limit", "deadband", "alarms a day", "without deadband", "in alarm"], rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are HTML already."""
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr></thead><tbody>{body}</tbody></table>"


def _key() -> str:
    spans = "".join(
        f'<span style="background:{COLOURS[priority]}"></span>{priority.name.lower()}' for priority in Priority
    )
    return f'<p class="key faint">priority:{spans}</p>'


def _verdict(verdict: Verdict) -> str:
    return f'<span class="{verdict}">{_VERDICTS[verdict]}</span>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
