"""What a sensor's readings are checked for at the door, in the unit they are stored in."""

from precursor.plantfile.amounts import step_in, value_in
from precursor.plantfile.entries import SensorEntry
from precursor.plantfile.notes import Notes
from precursor.plantfile.problems import Path
from telemetry.plant import DoorChecks
from telemetry.units import UnitError

__all__ = ["door_checks"]


def door_checks(sensor: SensorEntry, path: Path, notes: Notes) -> DoorChecks:
    """The checks of a sensor; what is wrong with them is noted."""
    if sensor.kind == "state":
        for key in ("range", "flat_line", "spike"):
            if getattr(sensor, key) is not None:
                notes.add((*path, key), f"a state sensor has no {key}; leave it out")
        return DoorChecks(rate_s=sensor.rate)
    unit = sensor.unit or ""
    low, high, spike = None, None, None
    try:
        if sensor.range is not None:
            low, high = (None if end is None else value_in(unit, end) for end in sensor.range)
    except UnitError as fault:
        notes.add((*path, "range"), str(fault))
    try:
        if sensor.spike is not None:
            spike = step_in(unit, sensor.spike)
    except UnitError as fault:
        notes.add((*path, "spike"), str(fault))
    if low is not None and high is not None and low >= high:
        notes.add((*path, "range"), f"the low end {low:g} is not below the high end {high:g}; exchange or correct them")
    if spike is not None and spike <= 0:
        notes.add((*path, "spike"), f"{spike:g}; expected a step above 0")
    if sensor.flat_line is not None and sensor.rate is not None and sensor.flat_line <= sensor.rate:
        message = f"{sensor.flat_line:g} s is over before the next reading; expected more than rate, {sensor.rate:g} s"
        notes.add((*path, "flat_line"), message)
    return DoorChecks(low=low, high=high, flat_line_s=sensor.flat_line, spike=spike, rate_s=sensor.rate)
