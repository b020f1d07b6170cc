"""What a vibration signal measures: acceleration or velocity, in SI, and never one for the other."""

from enum import StrEnum

import numpy as np
import numpy.typing as npt

from telemetry.errors import ConfigurationError
from telemetry.units import UnitError, conversion

__all__ = ["ACCELERATION_UNIT", "SI", "VELOCITY_UNIT", "Quantity", "in_si", "quantity_of"]

ACCELERATION_UNIT = "m/s^2"
"""of every feature that is an acceleration, whatever the samples came in"""
VELOCITY_UNIT = "mm/s"
"""of every feature that is a velocity, as ISO 20816 gives its limits"""

_G = "g_0"
"""what "g" of a vibration sensor means: 9.80665 m/s², where pint reads the gram"""


class Quantity(StrEnum):
    """What a signal measures."""

    ACCELERATION = "acceleration"
    VELOCITY = "velocity"


SI = {Quantity.ACCELERATION: "m/s^2", Quantity.VELOCITY: "m/s"}
"""what each is calculated in"""


def quantity_of(unit: str) -> Quantity:
    """What is measured in this unit, e.g. acceleration for "g" and velocity for "mm/s".

    Raises:
        ConfigurationError: the unit is neither of acceleration nor of velocity.
    """
    return _scale(unit)[0]


def in_si(
    samples: npt.NDArray[np.floating], unit: str, expected: Quantity | None = None
) -> tuple[npt.NDArray[np.float64], Quantity]:
    """Samples in m/s² or m/s, and which of the two.

    Args:
        samples: in `unit`.
        unit: as pint writes it; "g" is the acceleration of gravity here.
        expected: what the caller can work with; None where both will do.

    Raises:
        ConfigurationError: the unit is of another quantity than expected: an acceleration is no velocity, however
            its numbers look.
    """
    quantity, factor = _scale(unit)
    if expected is not None and quantity is not expected:
        raise ConfigurationError(
            f"samples in {unit} are {quantity}, and {expected} is needed here: the two are never compared;"
            f" integrate acceleration first (models.vibration.velocity), or correct the unit of the sensor"
        )
    return np.asarray(samples, np.float64) * factor, quantity


def _scale(unit: str) -> tuple[Quantity, float]:
    known = _G if unit.strip() == "g" else unit
    for quantity, si in SI.items():
        try:
            return quantity, conversion(known, si)[0]
        except UnitError:
            continue
    raise ConfigurationError(
        f"{unit!r} is no unit of vibration: give the sensor one of acceleration (g_0, m/s^2) or of velocity (mm/s)"
    )
