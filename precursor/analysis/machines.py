"""A machine of the plant as the analysis of its vibration wants it."""

from collections.abc import Mapping

from models.vibration.bearings import Bearing, bearing
from models.vibration.machine import MachineSpec
from models.vibration.quantities import quantity_of
from rules.iso_20816 import ZONES, Foundation
from telemetry.plant import BearingSpec, Machine, Vibration

__all__ = ["DRIFTING", "feature_units", "machine_spec"]

DRIFTING = frozenset(["velocity_rms"])
"""features that automatic detectors look at"""

_MEASURED_TOLERANCE = 0.01
"""share by which the speed may have changed between its reading and the waveform"""
_NAMEPLATE_TOLERANCE = 0.03
"""share that the slip of an induction motor changes by from no load to full load"""
_USUAL_SPEEDS_HZ = (10.0, 100.0)
"""600 to 6000 rpm: where the speed is looked for of a machine that says nothing of it"""
_STRICTEST = (2, Foundation.RIGID)


def machine_spec(machine: Machine, vibration: Vibration, *, measured_hz: float | None = None) -> MachineSpec:
    """What is known for reading the vibration of a sensor.

    Args:
        machine: the asset's.
        vibration: the sensor's; bearings near it take the place of those of the machine.
        measured_hz: speed of the shaft during the recording, turns a second; None: that of the machine is used.

    Raises:
        ConfigurationError: a bearing is not in the catalogue (any more).
    """
    nameplate_hz = None if machine.speed_rpm is None else machine.speed_rpm / 60
    zones = ZONES[machine.group or _STRICTEST[0], Foundation(machine.foundation or _STRICTEST[1])]
    return MachineSpec(
        speed_hz=nameplate_hz if measured_hz is None else measured_hz,
        speed_tolerance=_NAMEPLATE_TOLERANCE if measured_hz is None else _MEASURED_TOLERANCE,
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

    Raises:
        ConfigurationError: `unit`, of the samples, is none of vibration; a bearing is not in the catalogue.
    """
    quantity_of(unit)
    machine_spec(machine, vibration)
    return {"velocity_rms": "mm/s"}


def _bearing(found: BearingSpec) -> Bearing:
    if not found.rollers:
        return bearing(found.designation)
    return Bearing(
        designation=found.designation or f"{found.rollers} x {found.roller_diameter_mm:g} mm",
        elements=found.rollers,
        element_diameter_mm=found.roller_diameter_mm,
        pitch_diameter_mm=found.pitch_diameter_mm,
        contact_angle_deg=found.contact_angle_deg,
    )
