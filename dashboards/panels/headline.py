"""Single numbers for the top of a board: is anything wrong at all?"""

from grafana_foundation_sdk.builders.common import ReduceDataOptions
from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.builders.stat import Panel
from grafana_foundation_sdk.models.common import BigValueColorMode, BigValueGraphMode

from dashboards.panels.style import BAD, CALM, GOOD, WATCH, by_thresholds, steps
from dashboards.target import Target, datasource

__all__ = ["alarms_active", "newest_reading", "readings_stored", "readings_unaccounted", "work_orders_open"]


def _number(title: str, query: str, thresholds: ThresholdsConfig) -> Panel:
    return (
        Panel()
        .title(title)
        .datasource(datasource())
        .height(4)
        .with_target(Target(query, "table"))
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]).values(False).fields("/.*/"))
        .graph_mode(BigValueGraphMode.NONE)
        .color_mode(BigValueColorMode.VALUE)
        .thresholds(thresholds)
        .color_scheme(by_thresholds())
    )


def alarms_active() -> Panel:
    """How many alarms stand now."""
    return _number("Alarms now", "alarms_active_count", steps(GOOD, (1, WATCH))).span(5)


def work_orders_open() -> Panel:
    """How many work orders are open, and how many of them overdue."""
    return _number("Work orders", "work_orders_open_count", steps(GOOD, (1, CALM))).span(5)


def readings_stored() -> Panel:
    """How many readings the ledger counts as stored."""
    return _number("Readings stored", "readings_stored", steps(CALM)).unit("short").span(5)


def newest_reading() -> Panel:
    """How long ago the newest stored reading was measured (event time)."""
    return _number("Newest reading", "newest_reading", steps(CALM)).unit("dateTimeFromNow").span(5)


def readings_unaccounted() -> Panel:
    """How many readings the ledger lost track of: anything but 0 is a bug."""
    return _number("Unaccounted for", "readings_unaccounted", steps(GOOD, (1, BAD))).unit("none").span(4)
