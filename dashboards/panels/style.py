"""What panels share: colours that mean the same everywhere, value mappings, overrides."""

from collections.abc import Mapping

from grafana_foundation_sdk.builders import common as common_builder
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models.dashboard import (
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

__all__ = [
    "BAD",
    "CALM",
    "GOOD",
    "QUIET",
    "WATCH",
    "by_thresholds",
    "coloured_cell",
    "legend_table",
    "limit_line",
    "option",
    "single_colour",
    "steps",
    "tooltip_all",
    "values",
]

GOOD = "green"
WATCH = "orange"
BAD = "red"
CALM = "blue"
QUIET = "#8e8e8e"


def option(name: str, value: object) -> DynamicConfigValue:
    """One property of the fields an override names, e.g. `option("unit", "s")`."""
    return DynamicConfigValue(name, value)


def values(meanings: Mapping[str, tuple[str, str]]) -> list[ValueMapping]:
    """Value mappings from `{value: (text, colour)}`."""
    return [
        ValueMap(
            options={
                value: ValueMappingResult(text=text, color=colour, index=index)
                for index, (value, (text, colour)) in enumerate(meanings.items())
            }
        )
    ]


def steps(base: str, *later: tuple[float, str]) -> ThresholdsConfig:
    """Colours by value: `base` up to the first later `(value, colour)`."""
    return (
        ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=colour) for value, colour in ((None, base), *later)])
    )


def by_thresholds() -> FieldColor:
    """Colour from `steps` or value mappings."""
    return FieldColor().mode(FieldColorModeId.THRESHOLDS)


def single_colour(colour: str) -> DynamicConfigValue:
    """One fixed colour for the fields an override names."""
    return option("color", {"mode": "fixed", "fixedColor": colour})


def coloured_cell() -> DynamicConfigValue:
    """Table cells whose background takes the colour of value mapping or thresholds."""
    return option("custom.cellOptions", {"type": "color-background", "mode": "basic"})


def limit_line() -> list[DynamicConfigValue]:
    """A rule's limit as a dashed line; red means limit on every board."""
    return [
        single_colour(BAD),
        option("custom.lineStyle", {"fill": "dash", "dash": [8, 6]}),
        option("custom.lineWidth", 1),
        option("custom.showPoints", "never"),
        option("custom.fillOpacity", 0),
    ]


def legend_table(*calculations: str) -> common_builder.VizLegendOptions:
    """A legend below the plot with one line a series and these calculations."""
    return (
        common_builder.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.TABLE)
        .placement(common.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(list(calculations))
    )


def tooltip_all() -> common_builder.VizTooltipOptions:
    """A tooltip with all series of the moment, highest first."""
    return common_builder.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
