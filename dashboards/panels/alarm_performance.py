"""How well operators can live with the alarms: rate, floods, nuisances, priorities, against ISA-18.2."""

from grafana_foundation_sdk.builders import table, timeseries
from grafana_foundation_sdk.models.common import GraphDrawStyle

from dashboards.panels.alarms import PRIORITIES
from dashboards.panels.style import (
    BAD,
    GOOD,
    WATCH,
    coloured_cell,
    legend_table,
    limit_line,
    option,
    tooltip_all,
    values,
)
from dashboards.panels.trends import MAX_POINTS
from dashboards.target import Target, datasource

__all__ = ["acknowledgement", "figures", "floods", "priorities", "proposals", "rate", "stale", "worst"]

VERDICTS = {"good": ("good", GOOD), "tolerable": ("tolerable", WATCH), "bad": ("bad", BAD)}
"""verdict of `alarm_kpi_summaries` -> what a person reads, and its colour"""

_SECONDS = [option("unit", "s"), option("decimals", 1)]


def _table(title: str, description: str, query: str, *, height: int, span: int) -> table.Panel:
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(datasource())
        .height(height)
        .span(span)
        .with_target(Target(query, "table"))
        .override_by_name(
            "Priority", [option("mappings", values(PRIORITIES)), coloured_cell(), option("custom.width", 90)]
        )
    )


def figures() -> table.Panel:
    """Every figure beside its target."""
    return (
        _table(
            "Figures and targets",
            "Of alarms that people were told of in the time range; judge over 30 days or more."
            " Shares of a handful of alarms are good whatever they are.",
            "alarm_figures",
            height=10,
            span=12,
        )
        .override_by_name("Verdict", [option("mappings", values(VERDICTS)), coloured_cell()])
        .override_by_name("Value", [option("decimals", 2)])
    )


def rate() -> timeseries.Panel:
    """Bars: alarms told to one operator in ten minutes."""
    return (
        timeseries.Panel()
        .title("Alarms per operator and 10 minutes")
        .description("Mean of each bar where it is longer than ten minutes. Dashed red: more is a flood.")
        .datasource(datasource())
        .height(10)
        .span(12)
        .max_data_points(MAX_POINTS)
        .interval("10m")
        .with_target(Target("alarm_rate", "time_series"))
        .with_target(Target("alarm_flood_limit", "time_series", ref_id="B"))
        .draw_style(GraphDrawStyle.BARS)
        .fill_opacity(60)
        .min(0)
        .tooltip(tooltip_all())
        .legend(legend_table("mean", "max"))
        .override_by_regexp("/limit/", [*limit_line(), option("custom.drawStyle", "line")])
    )


def worst() -> table.Panel:
    """The ten alarms that came most often."""
    return (
        _table(
            "The ten worst",
            "A side of a rule each. Chattering: of its alarms, those among three or more within a minute;"
            " fleeting: over within a minute; stale: stood for more than 24 h.",
            "alarm_worst",
            height=10,
            span=16,
        )
        .override_by_name("Share", [option("unit", "percentunit"), option("decimals", 1)])
        .override_by_regexp("/^(Stood|Median)$/", _SECONDS)
        .no_value("No alarm in this time range")
    )


def priorities() -> table.Panel:
    """Alarms of each priority, and what their share should be."""
    return _table(
        "Priorities",
        "Of all alarms told; about 80, 15 and 5 % should be low, medium and high.",
        "alarm_priorities",
        height=5,
        span=8,
    ).override_by_regexp("/^(Share|Target)$/", [option("unit", "percentunit"), option("decimals", 1)])


def acknowledgement() -> table.Panel:
    """How long it took until somebody knew."""
    return (
        _table(
            "Time to acknowledge",
            "From telling to acknowledging; alarms that nobody acknowledged are counted and have no time.",
            "alarm_acknowledgement",
            height=5,
            span=8,
        )
        .override_by_regexp("/^(Median|95 %|Longest)$/", _SECONDS)
        .no_value("No alarm in this time range")
    )


def floods() -> table.Panel:
    """When there were more alarms than anybody can look at."""
    return _table(
        "Floods",
        "Ten-minute periods (UTC) with more than ten alarms for one operator; adjoining ones are one flood.",
        "alarm_floods",
        height=8,
        span=8,
    ).no_value("No flood in this time range")


def stale() -> table.Panel:
    """Alarms that stood for more than a day at the end of the time range."""
    return (
        _table(
            "Stale alarms",
            "Alarms that stand at the end of the time range and had stood for more than 24 h; under 5 is the target.",
            "alarm_stale",
            height=8,
            span=16,
        )
        .override_by_name("Stood", _SECONDS)
        .no_value("No stale alarm")
    )


def proposals() -> table.Panel:
    """What could be done about nuisances."""
    return (
        _table(
            "Proposals",
            "Nuisances of the 24 h before the end of the time range, none that is silent already. Accept one with"
            " `precursor alarms shelve`; without a time: until the alarm is normal. With that on-delay, or a deadband"
            " of that size, nine of ten of them would not have come.",
            "alarm_proposals",
            height=9,
            span=24,
        )
        .override_by_regexp("/^(Shelve for|On-delay)$/", _SECONDS)
        .no_value("Nothing to propose")
    )
