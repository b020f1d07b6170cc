"""How a machine is: scores and what they come from, vibration, remaining life, and whether its sensors are right."""

from grafana_foundation_sdk.builders import statetimeline, table, timeseries
from grafana_foundation_sdk.builders.common import StackingConfig, VizLegendOptions
from grafana_foundation_sdk.models.common import StackingMode, VisibilityMode

from dashboards.panels.style import (
    BAD,
    CALM,
    GOOD,
    QUIET,
    WATCH,
    by_thresholds,
    coloured_cell,
    legend_table,
    limit_line,
    option,
    single_colour,
    steps,
    tooltip_all,
    values,
)
from dashboards.panels.trends import MAX_POINTS
from dashboards.target import Format, Target, datasource
from dashboards.units import GRAFANA_UNITS, series_pattern
from models.sensor_faults.findings import SensorFault

__all__ = [
    "FAULTS",
    "STATES",
    "anomaly",
    "models",
    "prognoses",
    "remaining_life",
    "scores",
    "sensor_faults",
    "shares",
    "vibration",
]

FAULTS = {
    str(int(SensorFault.NONE)): ("nothing wrong", "transparent"),
    str(int(SensorFault.DRIFT)): ("drifts", WATCH),
    str(int(SensorFault.SPIKES)): ("spikes", CALM),
    str(int(SensorFault.STUCK)): ("stuck", BAD),
    str(int(SensorFault.DROPOUT)): ("drops out", QUIET),
}
"""value of a `sensor_fault` sensor -> what a person reads, and its colour"""

STATES = {
    "active": ("active", GOOD),
    "shadow": ("in shadow", CALM),
    "candidate": ("candidate", QUIET),
}
"""state of a model -> what a person reads, and its colour"""

_DRIFTED = 0.25
"""population stability index from which on a model does not know what it sees (docs/models.md)"""


def _trend(title: str, description: str, *targets: str) -> timeseries.Panel:
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(datasource())
        .height(9)
        .span(12)
        .max_data_points(MAX_POINTS)
        .interval("1s")
        .show_points(VisibilityMode.AUTO)
        .line_width(1)
        .fill_opacity(0)
        .tooltip(tooltip_all())
    )
    for ref_id, target in zip("AB", targets, strict=False):
        panel.with_target(_target(target, "time_series", ref_id))
    return panel


def _target(name: str, shape: Format, ref_id: str = "A") -> Target:
    return Target(f"condition_{name}", shape, ref_id=ref_id)


def _scored(title: str, description: str, query: str) -> timeseries.Panel:
    return (
        _trend(title, description, query, "limit")
        .unit("none")
        .decimals(2)
        .axis_soft_min(0)
        .axis_label("score")
        .legend(legend_table("max", "lastNotNull"))
        # Scores are told when they change.
        .span_nulls(True)
        .override_by_name("limit", limit_line())
    )


def anomaly() -> timeseries.Panel:
    """The score of all sensors together, and of trained models, against 1."""
    return _scored(
        "Anomaly of the machine",
        "All sensors of the asset together (`.anomaly`), and active trained models; the highest of each bucket."
        " Dashed red: 1, the limit that each set itself. No line while it is being learned.",
        "anomaly",
    )


def shares() -> timeseries.Panel:
    """Which sensors the score of the machine comes from, stacked."""
    return (
        _trend(
            "What it comes from",
            "Share of each sensor in the anomaly score of the machine, together 1; told while the score is half its"
            " limit or more.",
            "shares",
        )
        .stacking(StackingConfig().mode(StackingMode.NORMAL))
        .fill_opacity(60)
        .unit("percentunit")
        .min(0)
        .axis_soft_max(1)
        .legend(legend_table("mean", "lastNotNull"))
    )


def scores() -> timeseries.Panel:
    """The score of each sensor, and of features of its vibration, against 1."""
    return _scored(
        "Score of each sensor",
        "How unlike before each sensor is by itself; the highest of each bucket. Dashed red: 1.",
        "scores",
    ).span(24)


def vibration() -> timeseries.Panel:
    """Severity, and the blows of the parts of bearings, where waveforms are analysed."""
    panel = (
        _trend(
            "Vibration",
            "Of analysed waveforms, mean of each bucket: velocity and acceleration RMS, and amplitudes of the envelope"
            " at the frequencies of outer race (bpfo), inner race (bpfi), rolling element (bsf) and cage (ftf).",
            "vibration",
        )
        .span_nulls(True)
        .axis_soft_min(0)
        .legend(legend_table("mean", "max", "lastNotNull"))
        .no_value("No waveforms of this machine are analysed")
        .span(24)
    )
    for unit, name in GRAFANA_UNITS.items():
        panel.override_by_regexp(series_pattern(unit), [option("unit", name)])
    return panel


def remaining_life() -> timeseries.Panel:
    """How long the trends of the machine leave it, as a band."""
    return (
        _trend(
            "Remaining life",
            "Until a followed trend reaches its limit; of several the shortest. One in ten fails before P10, half"
            " before P50, nine in ten before P90. Where there is no line there was no answer: the table says why.",
            "remaining_life",
        )
        .unit("d")
        .min(0)
        .legend(legend_table("min", "lastNotNull"))
        .no_value("No trend leads to a limit")
        .override_by_name("P10", [single_colour(CALM), option("custom.lineWidth", 0)])
        .override_by_name("P50", [single_colour(CALM), option("custom.lineWidth", 2)])
        .override_by_name(
            "P90",
            [
                single_colour(CALM),
                option("custom.lineWidth", 0),
                option("custom.fillBelowTo", "P10"),
                option("custom.fillOpacity", 20),
            ],
        )
    )


def sensor_faults() -> statetimeline.Panel:
    """Whether the sensors themselves can be believed, over time."""
    return (
        statetimeline.Panel()
        .title("Faults of sensors")
        .description(
            "What is found wrong with a sensor itself; an anomaly it has most of is about it, not the machine."
        )
        .datasource(datasource())
        .height(9)
        .span(12)
        .with_target(_target("sensor_faults", "time_series"))
        .mappings(values(FAULTS))
        .color_scheme(by_thresholds())
        .merge_values(True)
        .show_value(VisibilityMode.NEVER)
        .row_height(0.8)
        .legend(VizLegendOptions().show_legend(True))
        .no_value("Nothing is wrong with the sensors")
        # A series has no value at the moments of the others; without this each of them would cut its bar.
        .override_by_regexp("/.*/", [option("custom.spanNulls", True)])
    )


def prognoses() -> table.Panel:
    """What was said about the time that is left, and what came of it."""
    return (
        table.Panel()
        .title("Prognoses")
        .description("Made in the time range, newest first. Lasted: from then to the failure or repair.")
        .datasource(datasource())
        .height(9)
        .span(14)
        .with_target(_target("prognoses", "table"))
        .override_by_regexp("/^(P10|P50|P90|Lasted)$/", [option("unit", "s"), option("decimals", 1)])
        .override_by_name("Made", [option("custom.width", 170)])
        .override_by_name(
            "Outcome",
            [option("mappings", values({"failed": ("failed", BAD), "repaired": ("repaired", GOOD)})), coloured_cell()],
        )
        .no_value("No prognosis in this time range")
    )


def models() -> table.Panel:
    """The trained models that know the machine, and whether they still do."""
    return (
        table.Panel()
        .title("Trained models")
        .description(
            "Those trained with this machine, whatever the time range. Drift: highest population stability index of"
            f" its inputs; from {_DRIFTED} on it does not know what it sees. Alarms a month: by asset."
        )
        .datasource(datasource())
        .height(9)
        .span(10)
        .with_target(_target("models", "table"))
        .override_by_name("State", [option("mappings", values(STATES)), coloured_cell()])
        .override_by_name(
            "Drift",
            [option("decimals", 2), option("thresholds", steps(GOOD, (_DRIFTED, BAD)).build()), coloured_cell()],
        )
        .override_by_name("Alarms a month", [option("decimals", 1)])
        .no_value("No model was trained with this machine")
    )
