"""Units: what pint knows, what people mean, and how one becomes the other."""

import math
import re
import tokenize
from functools import cache, lru_cache
from typing import TYPE_CHECKING

from telemetry.names import closest

if TYPE_CHECKING:
    import pint

__all__ = ["Conversion", "UnitError", "check_unit", "conversion", "same_unit"]

_EXAMPLES = "expected e.g. mm/s, degC, bar"
_COMMON = (
    "mm/s", "in/s", "m/s^2", "g_0", "um", "mil", "degC", "degF", "K", "bar", "mbar", "Pa", "kPa", "MPa", "psi",
    "m^3/h", "l/min", "kg/s", "t/h", "A", "mA", "V", "kV", "W", "kW", "kWh", "Hz", "rpm", "N*m", "kN", "percent",
    "ppm", "mm", "m", "s", "min", "h", "dB", "S/m",
)  # fmt: skip
# Pint evaluates what it is given: only products of names with one-digit exponents get that far.
_NAME = r"(?:[^\W\d]\w*|°[CF]|%)"
_FACTOR = rf"(?:1|{_NAME}(?:\s*(?:\^|\*\*)\s*-?\d(?:\.\d)?)?)"
_PRODUCT = rf"{_FACTOR}(?:(?:\s*[*/·]\s*|\s+){_FACTOR})*"
_UNIT = re.compile(rf"\s*(?:{_PRODUCT}|{_PRODUCT}\s*[*/]\s*\(\s*{_PRODUCT}\s*\))\s*")
_LONGEST = 64
# What pint takes these for is never what a plant engineer means, unless the quantity says so.
_TRAPS = {
    "g": ("the gram", "g_0 (acceleration of gravity)", ("mass", "weight")),
    "C": ("the coulomb", "degC", ("charge",)),
    "F": ("the farad", "degF", ("capacit",)),
    "Nm": ("number times metre", "N*m", ()),
    "pH": ("the picohenry", '"" and pH as the quantity', ("inductance",)),
    "U/min": ("enzyme units a minute", "rpm", ("enzyme",)),
    "bar(g)": ("bar times gram", "bar, and say gauge pressure in quantity", ()),
    "mbar(g)": ("millibar times gram", "mbar, and say gauge pressure in quantity", ()),
}

Conversion = tuple[float, float]
"""(factor, offset): stored = sent * factor + offset"""


class UnitError(ValueError):
    """A unit that can't be used; the text says why and what would do."""


@cache
def _registry() -> "pint.UnitRegistry[float]":
    import pint  # noqa: PLC0415 - 0.2 s, and an engine whose devices name no units never asks

    # Pint left this one function without types.
    registry: pint.UnitRegistry[float] = pint.application_registry.get()  # type: ignore[no-untyped-call]
    return registry


@lru_cache(maxsize=4096)
def _unit(text: str) -> "pint.Unit":
    """Raises: UnitError."""
    import pint  # noqa: PLC0415 - as in `_registry`

    if not text.strip():
        return _registry().Unit("")
    hint = _hint(text)
    if len(text) > _LONGEST or not _UNIT.fullmatch(text):
        raise UnitError(f"{text[:_LONGEST]!r} is no unit pint knows; {_EXAMPLES}{hint}")
    try:
        return _registry().Unit(text.strip())
    except (pint.PintError, AttributeError, ValueError, AssertionError, TypeError, tokenize.TokenError):
        # Pint lets the errors of its parser through.
        raise UnitError(f"{text!r} is no unit pint knows; {_EXAMPLES}{hint}") from None


def _hint(text: str) -> str:
    powered = re.sub(r"([A-Za-z])([23])(?=$|[/*\s])", r"\1^\2", text)
    if powered != text and _UNIT.fullmatch(powered):
        return f"; did you mean {powered!r}?"
    return closest(text, _COMMON)


@lru_cache(maxsize=4096)
def check_unit(text: str, quantity: str = "") -> None:
    """Nothing where the unit can be used for the quantity.

    Raises:
        UnitError: pint does not know it, or knows something else by that name.
    """
    trap = _TRAPS.get(text.strip())
    if trap:
        meaning, better, unless = trap
        if not any(word in quantity.lower() for word in unless):
            raise UnitError(f"{text!r} is {meaning} to pint; expected {better}")
    _unit(text)


@lru_cache(maxsize=4096)
def conversion(sent: str, stored: str) -> Conversion:
    """How numbers in one unit become numbers in another, offset included (degF to degC has one).

    Raises:
        UnitError: one is no unit, they measure different things, or the way is no straight line (dBm to W).
    """
    import pint  # noqa: PLC0415 - as in `_registry`

    source, target = _unit(sent), _unit(stored)
    if source == target:
        return 1.0, 0.0
    quantity = _registry().Quantity
    try:
        # Far apart, so that the offset takes no digits from the factor.
        zero, middle, far = (float(quantity(value, source).to(target).magnitude) for value in (0.0, 100.0, 200.0))
    except pint.PintError as error:
        raise UnitError(f"{sent!r} doesn't convert to {stored!r}: {error}") from None
    except (OverflowError, ZeroDivisionError):
        raise UnitError(f"{sent!r} doesn't convert to {stored!r} in a straight line") from None
    turns = _turns(source) - _turns(target)
    factor, offset = float(f"{(far - zero) / 200 * math.tau**turns:.15g}"), float(f"{zero:.12g}")
    zero, middle, far = zero * math.tau**turns, middle * math.tau**turns, far * math.tau**turns
    if factor == 0 or abs(middle - (100 * factor + offset)) > 1e-6 * abs(far - zero):
        raise UnitError(f"{sent!r} doesn't convert to {stored!r} in a straight line")
    return factor, offset


def _turns(unit: "pint.Unit") -> int:
    """1 for plain frequencies: what turns 50 times a second, 50 Hz, makes 3000 rpm, where pint sees 50 radians."""
    angular = any(word in str(unit) for word in ("revolution", "turn", "radian", "degree"))
    return int(unit.dimensionality == _registry().Unit("hertz").dimensionality and not angular)


def same_unit(one: str, other: str) -> bool:
    """Whether two spellings mean the same unit; text that is no unit is the same only as itself."""
    if one == other:
        return True
    try:
        return bool(_unit(one) == _unit(other))
    except UnitError:
        return False
