"""Units of SenML in pint's spelling: RFC 8428 section 12.1, RFC 8798 sections 2 and 3."""

from types import MappingProxyType

__all__ = ["PINT_UNITS", "pint_unit"]

PINT_UNITS = MappingProxyType(
    {
        # RFC 8428. What pint spells the same (m, kg, A, Hz, m/s, dBW ...) is not listed again.
        "Ohm": "ohm",
        "Cel": "degC",
        "m2": "m^2",
        "m3": "m^3",
        "m/s2": "m/s^2",
        "m3/s": "m^3/s",
        "W/m2": "W/m^2",
        "cd/m2": "cd/m^2",
        "lat": "degree",
        "lon": "degree",
        "/": "dimensionless",
        "pH": "dimensionless",  # to pint the picohenry
        "%": "dimensionless",  # note 2 of the registry: "it is NOT a percentage but the absolute ratio"
        "%RH": "percent",
        "%EL": "percent",
        "EL": "s",
        "count": "dimensionless",
        "beat/min": "1/min",
        "beats": "dimensionless",
        # RFC 8798, primary. Reactive power has no unit of its own in pint; its dimension is that of apparent power.
        "B": "byte",
        "VA": "V*A",
        "VAs": "V*A*s",
        "var": "V*A",
        "vars": "V*A*s",
        "kg/m3": "kg/m^3",
        "deg": "degree",
        # RFC 8798, secondary.
        "kVA": "kV*A",
        "kvar": "kV*A",
        "Ah": "A*h",
        "Wh": "W*h",
        "kWh": "kW*h",
        "varh": "V*A*h",
        "kvarh": "kV*A*h",
        "kVAh": "kV*A*h",
        "Wh/km": "W*h/km",
        "KiB": "kibibyte",
        "GB": "gigabyte",
        "Mbit/s": "Mbit/s",
        "B/s": "byte/s",
        "MB/s": "megabyte/s",
        "mm/h": "mm/h",
        "ug/m3": "ug/m^3",
        "/100": "percent",
        "/1000": "permille",
    }
)
"""SenML's symbol: pint's"""


def pint_unit(symbol: str) -> str:
    """A unit as pint writes it; a symbol that SenML does not have stays as it is.

    >>> pint_unit("Cel"), pint_unit("m/s"), pint_unit("mm/s")
    ('degC', 'm/s', 'mm/s')
    """
    return PINT_UNITS.get(symbol, symbol)
