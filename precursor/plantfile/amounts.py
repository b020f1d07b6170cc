"""Numbers of a plant file that may have a unit of their own, in the unit of their sensor."""

from types import MappingProxyType

from telemetry.units import UnitError, conversion

__all__ = ["Amount", "per_time", "step_in", "value_in"]

Amount = tuple[float, str | None]
"""a number and its unit; None: the unit of the sensor"""


_TIMES = MappingProxyType({"s": 1.0, "min": 60.0, "h": 3600.0, "hour": 3600.0, "d": 86_400.0, "day": 86_400.0})


def value_in(unit: str, amount: Amount) -> float:
    """The amount in a unit.

    Raises:
        UnitError: the two units do not go together.
    """
    number, own = amount
    factor, offset = (1.0, 0.0) if own is None else conversion(own, unit)
    return _tidy(number * factor + offset)


def step_in(unit: str, amount: Amount) -> float:
    """The amount as a difference in a unit: 9 degF are 5 degC, not -12.8.

    Raises:
        UnitError: the two units do not go together.
    """
    number, own = amount
    return _tidy(number * (1.0 if own is None else conversion(own, unit)[0]))


def per_time(amount: Amount) -> tuple[Amount, str, float]:
    """An amount by time as the amount, the time as it is written, and that time in seconds.

    >>> per_time((2.0, "degC/min"))
    ((2.0, 'degC'), 'min', 60.0)

    Raises:
        UnitError: it is by no time.
    """
    number, unit = amount
    of, slash, by = (unit or "").rpartition("/")
    by = by.strip()
    if not slash or by not in _TIMES:
        raise UnitError(f"{unit or number!r} is by no time; expected e.g. 2 degC/min, with s, min, h or d")
    return (number, "" if of.strip() in {"", "1"} else of), by, _TIMES[by]


def _tidy(number: float) -> float:
    """Without the last digits, which a conversion makes up."""
    return float(f"{number:.12g}")
