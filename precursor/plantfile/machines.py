"""Machines of a plant file: speed, bearings and gear in the units that analysis knows."""

from collections.abc import Sequence

from models.vibration.bearings import Bearing, catalogue
from precursor.plantfile.amounts import Amount, value_in
from precursor.plantfile.machine_entries import BearingEntry, MachineEntry
from precursor.plantfile.notes import Notes
from precursor.plantfile.problems import Path
from telemetry.errors import ConfigurationError
from telemetry.names import closest
from telemetry.plant import BearingSpec, Machine
from telemetry.units import UnitError

__all__ = ["bearings", "machine"]

_GEOMETRY = "{rollers: 9, roller_diameter: 7.94 mm, pitch_diameter: 39.04 mm}"


def machine(entry: MachineEntry | None, above: Machine, path: Path, notes: Notes) -> Machine:
    """What an asset says of itself as a machine; what is wrong with it is noted.

    Size, foundation and speed come from what it is a part of, where it says nothing; bearings and gears are its own.
    The sensor of its speed is still as the file writes it.

    Args:
        entry: None: it says nothing.
        above: the machine it is a part of.
        path: of the entry.
        notes: takes what is wrong.
    """
    if entry is None:
        return Machine(
            group=above.group, foundation=above.foundation, speed_rpm=above.speed_rpm, speed_sensor=above.speed_sensor
        )
    speed, sensor = above.speed_rpm, above.speed_sensor
    # Another shaft: the speed of the one above does not count, nor what measures it.
    if entry.speed is not None or entry.speed_sensor is not None:
        speed, sensor = _positive(entry.speed, "rpm", (*path, "speed"), notes), entry.speed_sensor
    return Machine(
        group=entry.group or above.group,
        foundation=entry.foundation or above.foundation,
        speed_rpm=speed,
        speed_sensor=sensor,
        bearings=bearings(entry.bearings, (*path, "bearings"), notes),
        teeth=entry.teeth,
        blades=entry.blades,
    )


def bearings(entries: Sequence[BearingEntry], path: Path, notes: Notes) -> tuple[BearingSpec, ...]:
    """Bearings by designation or geometry, without those that are none, which are noted."""
    found = (_bearing(entry, (*path, place), notes) for place, entry in enumerate(entries))
    return tuple(bearing for bearing in found if bearing is not None)


def _bearing(entry: BearingEntry, path: Path, notes: Notes) -> BearingSpec | None:
    if not notes.sound(path):
        return None
    given = [getattr(entry, key) is not None for key in ("rollers", "roller_diameter", "pitch_diameter")]
    if not any(given) and entry.contact_angle is None:
        return _of_catalogue(entry.designation, path, notes)
    if not all(given):
        notes.add(path, f"not the whole geometry of a bearing; expected e.g. {_GEOMETRY}")
        return None
    rollers = entry.rollers or 0
    roller = _amount(entry.roller_diameter, "mm", (*path, "roller_diameter"), notes)
    pitch = _amount(entry.pitch_diameter, "mm", (*path, "pitch_diameter"), notes)
    angle = _amount(entry.contact_angle or (0.0, None), "degree", (*path, "contact_angle"), notes)
    if roller is None or pitch is None or angle is None:
        return None
    try:
        Bearing(
            designation=entry.designation or f"of {rollers} rollers",
            elements=rollers,
            element_diameter_mm=roller,
            pitch_diameter_mm=pitch,
            contact_angle_deg=angle,
        )
    except ConfigurationError as fault:
        notes.add(path, str(fault))
    return BearingSpec(
        designation=entry.designation,
        rollers=rollers,
        roller_diameter_mm=roller,
        pitch_diameter_mm=pitch,
        contact_angle_deg=angle,
    )


def _of_catalogue(designation: str, path: Path, notes: Notes) -> BearingSpec | None:
    known = catalogue()
    if designation in known:
        return BearingSpec(designation=designation)
    # The whole name has the maker in it, where people write the number alone.
    near = next((name for name in known if designation and designation.lower() in name.lower()), None)
    hint = f"; did you mean {near!r}?" if near else closest(designation, known)
    notes.add(path, f"the catalogue has no bearing {designation!r}; expected one it has, or e.g. {_GEOMETRY}{hint}")
    return None


def _amount(amount: Amount | None, unit: str, path: Path, notes: Notes) -> float | None:
    if amount is None:
        return None
    try:
        return value_in(unit, amount)
    except UnitError as fault:
        notes.add(path, str(fault))
        return None


def _positive(amount: Amount | None, unit: str, path: Path, notes: Notes) -> float | None:
    found = _amount(amount, unit, path, notes)
    if found is not None and found <= 0:
        notes.add(path, f"{found:g} {unit}; expected more than 0")
        return None
    return found
