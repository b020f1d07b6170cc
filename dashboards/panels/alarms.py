"""What is wrong now, and when it was wrong."""

from grafana_foundation_sdk.builders import statetimeline, table
from grafana_foundation_sdk.builders.common import VizLegendOptions
from grafana_foundation_sdk.models.common import VisibilityMode

from dashboards.panels.style import BAD, CALM, WATCH, by_thresholds, coloured_cell, option, values
from dashboards.target import Target, datasource

__all__ = ["PRIORITIES", "active_alarms", "alarm_timeline"]

PRIORITIES = {"1": ("low", CALM), "2": ("medium", WATCH), "3": ("high", BAD)}
"""alarm priority as stored -> what a person reads, and its colour"""


def active_alarms() -> table.Panel:
    """Alarms that stand now, the most urgent first."""
    return (
        table.Panel()
        .title("Active alarms")
        .description("Alarms that stand now, whatever the time range, most urgent and newest first.")
        .datasource(datasource())
        .height(9)
        .span(12)
        .with_target(Target("alarms_active", "table"))
        .no_value("No active alarm")
        .override_by_name(
            "Priority", [option("mappings", values(PRIORITIES)), coloured_cell(), option("custom.width", 90)]
        )
        .override_by_regexp("/^(Value|Limit|Peak)$/", [option("decimals", 2), option("custom.width", 80)])
        .override_by_regexp("/^(Side|Unit)$/", [option("custom.width", 70)])
        .override_by_name("Began", [option("custom.width", 170)])
    )


def alarm_timeline() -> statetimeline.Panel:
    """One line a rule and sensor, coloured while its alarm stood."""
    return (
        statetimeline.Panel()
        .title("Alarm timeline")
        .description("Each alarm from begin to end; one that still stands runs to the right edge.")
        .datasource(datasource())
        .height(9)
        .span(12)
        .with_target(Target("alarm_timeline", "time_series"))
        .mappings(values({"0": ("normal", "transparent"), **PRIORITIES}))
        .color_scheme(by_thresholds())
        .merge_values(True)
        .show_value(VisibilityMode.NEVER)
        .row_height(0.8)
        .legend(VizLegendOptions().show_legend(False))
        .no_value("No alarm in this time range")
        # A series has no value at the moments of the others; without this each of them would cut its bar.
        .override_by_regexp("/.*/", [option("custom.spanNulls", True)])
    )
