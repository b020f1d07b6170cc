"""How reliable the assets are: states, downtime, availability, failures."""

from grafana_foundation_sdk.builders import statetimeline, table, timeseries
from grafana_foundation_sdk.builders.common import VizLegendOptions
from grafana_foundation_sdk.models.common import GraphDrawStyle, VisibilityMode

from dashboards.panels.style import (
    BAD,
    GOOD,
    QUIET,
    by_thresholds,
    legend_table,
    option,
    tooltip_all,
    values,
)
from dashboards.panels.trends import MAX_POINTS
from dashboards.target import Target, datasource
from telemetry.plant import AssetState

__all__ = ["STATES", "asset_states", "downtime_per_day", "reliability_table"]

STATES = {
    str(int(AssetState.STOPPED)): ("stopped", QUIET),
    str(int(AssetState.RUNNING)): ("running", GOOD),
    str(int(AssetState.FAILED)): ("failed", BAD),
}
"""value of a state sensor -> what a person reads, and its colour"""


def asset_states() -> statetimeline.Panel:
    """Running, stopped or failed, over time."""
    return (
        statetimeline.Panel()
        .title("Asset states")
        .description("The worst state of each bucket: a failure of a second shows in a range of a month.")
        .datasource(datasource())
        .height(8)
        .span(24)
        .max_data_points(MAX_POINTS)
        .interval("1s")
        .with_target(Target("asset_states", "time_series"))
        .mappings(values(STATES))
        .color_scheme(by_thresholds())
        .merge_values(True)
        .show_value(VisibilityMode.NEVER)
        .row_height(0.8)
        .legend(VizLegendOptions().show_legend(True))
        .no_value("No state sensor reported")
        # A series has no value at the moments of the others; without this each of them would cut its bar.
        .override_by_regexp("/.*/", [option("custom.spanNulls", True)])
    )


def reliability_table() -> table.Panel:
    """Downtime, failures, availability, MTBF and MTTR of each asset over the time range."""
    return (
        table.Panel()
        .title("Reliability per asset")
        .description(
            "Over the whole UTC days that touch the time range, as far as the rollup has come: a state counts"
            " once the next reading ends it; `precursor kpi` also counts the open one."
            " Availability = running / (running + failed): a stopped asset was not required (EN 15341)."
            " MTBF = running time / failures and"
            " MTTR = down time / failures; empty without a failure."
        )
        .datasource(datasource())
        .height(9)
        .span(14)
        .with_target(Target("reliability", "table"))
        .override_by_regexp("/^(Running|Down|Stopped|MTBF|MTTR)$/", [option("unit", "s"), option("decimals", 1)])
        .override_by_name("Failures", [option("unit", "none"), option("decimals", 0)])
        .override_by_name(
            "Availability",
            [option("unit", "percentunit"), option("decimals", 2), option("max", 1)],
        )
    )


def downtime_per_day() -> timeseries.Panel:
    """Bars: how long each asset was failed, day by day."""
    return (
        timeseries.Panel()
        .title("Downtime per day")
        .description("Seconds failed in each UTC day, scaled to minutes or hours.")
        .datasource(datasource())
        .height(9)
        .span(10)
        .with_target(Target("downtime_per_day", "time_series"))
        .draw_style(GraphDrawStyle.BARS)
        .fill_opacity(60)
        .unit("s")
        .min(0)
        .tooltip(tooltip_all())
        .legend(legend_table("sum"))
    )
