"""How the units of sensors, as the plant file writes them, are called in Grafana.

A series is named `asset.point [unit]`. Overrides look for the bracket, so each unit gets an axis of its own.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["GRAFANA_UNITS", "series_pattern"]

# Where Grafana has the unit, its own scaling (1500 W as 1.5 kW) is welcome; where it would spell the unit in
# another way than a maintainer does, the plain suffix is kept.
GRAFANA_UNITS: Mapping[str, str] = MappingProxyType(
    {
        "mm/s": "suffix:mm/s",
        "m/s**2": "suffix:m/s²",
        "m/s²": "suffix:m/s²",
        "g_0": "suffix:g",
        "um": "suffix:µm",
        "mm": "suffix:mm",
        "degC": "celsius",
        "°C": "celsius",
        "K": "kelvin",
        "bar": "suffix:bar",
        "kPa": "suffix:kPa",
        "A": "amp",
        "V": "volt",
        "W": "watt",
        "kW": "kwatt",
        "Hz": "hertz",
        "rpm": "rotrpm",
        "l/min": "suffix:l/min",
        "m³/h": "suffix:m³/h",
        "m**3/h": "suffix:m³/h",
        "N*m": "suffix:N·m",
        "%": "percent",
        "percent": "percent",
        "s": "s",
        "h": "h",
    }
)
"""unit in the plant file -> unit in Grafana; any other unit shows in the legend, on the common axis"""


def series_pattern(unit: str) -> str:
    """A JavaScript pattern, slashes included, for names of series that end in this unit.

    >>> series_pattern("mm/s")
    '/\\\\[mm\\\\/s\\\\]$/'
    """
    return "/" + re.escape(f"[{unit}]").replace("/", r"\/") + "$/"
