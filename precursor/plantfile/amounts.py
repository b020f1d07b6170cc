"""Numbers of a plant file that may have a unit of their own, in the unit of their sensor."""

from telemetry.units import conversion

__all__ = ["Amount", "step_in", "value_in"]

Amount = tuple[float, str | None]
"""a number and its unit; None: the unit of the sensor"""


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


def _tidy(number: float) -> float:
    """Without the last digits, which a conversion makes up."""
    return float(f"{number:.12g}")
