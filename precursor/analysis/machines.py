"""A machine of the plant as the analysis of its vibration wants it."""

import re
from collections.abc import Mapping

from models.vibration.analyser import feature_units as units_of
from models.vibration.bearings import Bearing, bearing
from models.vibration.machine import MachineSpec
from models.vibration.quantities import quantity_of
from rules.iso_20816 import ZONES, Foundation
from telemetry.plant import BearingSpec, Machine, Vibration

__all__ = ["feature_units", "grows_with_damage", "machine_spec"]

_USUAL_SPEEDS_HZ = (10.0, 100.0)
"""600 to 6000 rpm: where the speed is looked for of a machine that says nothing of it"""
_STRICTEST = (2, Foundation.RIGID)
_GROWS = re.compile(r"(velocity_rms|acceleration_rms|bpfo|bpfi|bsf|ftf)(_\d+)?")


def machine_spec(machine: Machine, vibration: Vibration) -> MachineSpec:
    """What is known for reading the vibration of a sensor; bearings near it take the place of those of the machine.

    Raises:
        ConfigurationError: a bearing is not in the catalogue (any more).
    """
    zones = ZONES[machine.group or _STRICTEST[0], Foundation(machine.foundation or _STRICTEST[1])]
    return MachineSpec(
        speed_hz=None if machine.speed_rpm is None else machine.speed_rpm / 60,
        speed_range_hz=_USUAL_SPEEDS_HZ,
        bearings=tuple(_bearing(found) for found in vibration.bearings or machine.bearings),
        gear_teeth=() if machine.teeth is None else (machine.teeth,),
        blades=machine.blades,
        group=machine.group,
        foundation=machine.foundation,
        velocity_limit_mm_s=zones.b_c,
    )


def feature_units(unit: str, machine: Machine, vibration: Vibration) -> Mapping[str, str]:
    """Names and units of what is computed of the waveforms of a sensor.

    Args:
        unit: of the samples.
        machine, vibration: as in `machine_spec`.

    Raises:
        ConfigurationError: the unit is none of vibration; a bearing is not in the catalogue.
    """
    quantity_of(unit)
    return units_of(machine_spec(machine, vibration))


def grows_with_damage(feature: str) -> bool:
    """Whether detectors are to look at a feature by themselves: severity, and the blows of each part of a bearing."""
    return _GROWS.fullmatch(feature) is not None


def _bearing(found: BearingSpec) -> Bearing:
    if not found.rollers:
        return bearing(found.designation)
    return Bearing(
        designation=found.designation or f"of {found.rollers} rollers",
        elements=found.rollers,
        element_diameter_mm=found.roller_diameter_mm,
        pitch_diameter_mm=found.pitch_diameter_mm,
        contact_angle_deg=found.contact_angle_deg,
    )
