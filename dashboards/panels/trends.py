"""What the machines do: measured values and anomaly scores over time."""

from grafana_foundation_sdk.builders.timeseries import Panel
from grafana_foundation_sdk.models.common import VisibilityMode

from dashboards.panels.style import legend_table, limit_line, option, tooltip_all
from dashboards.target import Target, datasource
from dashboards.units import GRAFANA_UNITS, series_pattern

__all__ = ["MAX_POINTS", "readings", "scores"]

MAX_POINTS = 1000
"""per series, about: `$__interval` is the range divided by this and rounded, on any screen"""


def _trend(title: str) -> Panel:
    return (
        Panel()
        .title(title)
        .datasource(datasource())
        .span(24)
        .max_data_points(MAX_POINTS)
        # Sensors faster than this would otherwise be asked for in buckets of less than one reading.
        .interval("1s")
        .show_points(VisibilityMode.NEVER)
        .line_width(1)
        .fill_opacity(0)
        .tooltip(tooltip_all())
    )


def readings() -> Panel:
    """The chosen sensors, averaged per bucket, one axis a unit, with the limits of rules on them."""
    panel = (
        _trend("Readings")
        .description(
            "Mean of each bucket, good and uncertain readings only; from the rollups where a bucket is a minute or longer."
            " Dashed red: limits of rules on these sensors. Each unit has its own axis."
        )
        .height(10)
        .with_target(Target("readings", "time_series"))
        .with_target(Target("reading_limits", "time_series", ref_id="B"))
        .legend(legend_table("min", "mean", "max", "lastNotNull"))
    )
    for unit, name in GRAFANA_UNITS.items():
        panel.override_by_regexp(series_pattern(unit), [option("unit", name)])
    return panel.override_by_regexp("/ limit /", limit_line())


def scores() -> Panel:
    """The anomaly scores of the chosen sensors against the limits of the rules that watch them."""
    return (
        _trend("Anomaly scores")
        .description(
            "How unlike before each chosen sensor is; the highest score of each bucket."
            " Dashed red: the limit of the rule that watches the score. No line while the detector warms up."
        )
        .height(8)
        .with_target(Target("scores", "time_series"))
        .with_target(Target("score_limits", "time_series", ref_id="B"))
        .unit("none")
        .decimals(1)
        .axis_soft_min(0)
        .axis_label("score")
        .legend(legend_table("max", "lastNotNull"))
        .override_by_regexp("/ limit /", limit_line())
    )
