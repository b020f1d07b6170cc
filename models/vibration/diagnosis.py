"""Faults by name: what the features of a waveform say about shaft, gears and bearings."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from models.vibration.analyser import ORDERS, Analyser, Analysis
from models.vibration.blows import BearingReading, Part, read_bearing
from models.vibration.quantities import ACCELERATION_UNIT, VELOCITY_UNIT
from models.vibration.shaft import ShaftSpeed, SpeedSource

__all__ = ["Diagnosis", "Evidence", "Fault", "Verdict", "diagnose", "diagnose_recording"]

_HALF_OF_FIRST = 0.5
"""2x over 1x from which a coupling is suspected before the balance ([2nd], rule of thumb of vibration analysts)"""
_MOST = 0.5
"""share of the power of all shaft lines that is the most of it"""
_FEWEST_HARMONICS = 4
"""lines from 3x to 8x that make looseness"""
_STANDS_OUT = 0.1
"""of 1x: a harmonic that is one"""


class Fault(StrEnum):
    """What can be named. Stored as written here; never renamed."""

    UNBALANCE = "unbalance"
    MISALIGNMENT = "misalignment"
    LOOSENESS = "looseness"
    GEAR = "gear"
    BEARING_OUTER = "bearing_outer"
    BEARING_INNER = "bearing_inner"
    BEARING_BALL = "bearing_ball"
    BEARING_CAGE = "bearing_cage"


_BEARING_FAULTS = {
    Part.OUTER: Fault.BEARING_OUTER,
    Part.INNER: Fault.BEARING_INNER,
    Part.BALL: Fault.BEARING_BALL,
    Part.CAGE: Fault.BEARING_CAGE,
}
_SHAFT_FAULTS = (Fault.UNBALANCE, Fault.MISALIGNMENT, Fault.LOOSENESS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One line, or family of lines, that a diagnosis rests on."""

    name: str
    """e.g. 1x, BPFO"""
    frequency_hz: float
    amplitude: float
    """in `unit`: RMS of a line, of the modulation for a bearing"""
    unit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """A fault that was found."""

    fault: Fault
    severity: float
    """what it was named by over its limit, 1 or more. Shaft: velocity over the machine's limit; gear: sidebands over
    mesh; bearing: lines over what chance makes, which says how sure it is there and not how large it is"""
    evidence: tuple[Evidence, ...]
    bearing: str | None = None
    """designation; None: no fault of a bearing"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was looked for, and what was found of it."""

    faults: tuple[Diagnosis, ...]
    """the worst bearing fault first, then gears, then the shaft; empty: none found"""
    looked_for: frozenset[Fault]
    """empty: nothing is known of the machine, or the block is too short; then no fault found means nothing"""


def diagnose(analysis: Analysis) -> Verdict:
    """Name the faults of one block, from nothing but its own samples.

    - unbalance: 1x over the machine's velocity limit, and most of what the shaft shows (ISO 13373-1 annex [2nd]);
    - misalignment: 2x at least half of 1x, both together over the limit;
    - looseness: four of 3x to 8x stand out, or the half orders together do; all over the limit;
    - gear: sidebands one to three shaft speeds from a mesh together larger than it (eccentric or damaged);
    - bearings: as `models.vibration.blows.read_bearing` says.
    """
    bearings = _bearings(analysis.bearings, analysis.unit)
    looked_for = set(_BEARING_FAULTS.values()) if analysis.bearings else set()
    shaft: tuple[Diagnosis, ...] = ()
    gears: tuple[Diagnosis, ...] = ()
    if analysis.speed is not None and not np.isnan(analysis.order_rms).any():
        looked_for |= set(_SHAFT_FAULTS)
        shaft = _shaft(analysis, analysis.speed)
        if analysis.machine.gear_teeth:
            looked_for.add(Fault.GEAR)
            gears = _gears(analysis, analysis.speed)
    return Verdict(faults=(*bearings, *gears, *shaft), looked_for=frozenset(looked_for))


def diagnose_recording(analyser: Analyser, analyses: Sequence[Analysis]) -> Verdict:
    """Name the faults of a recording cut into blocks.

    A fault counts if most blocks have one of its kind (bearing, gear, shaft). Which part of a bearing it is, is read
    from the mean of all envelope spectra, in which weak lines stand out better.

    Raises:
        ValueError: no blocks.
    """
    if not analyses:
        raise ValueError("a recording has one block at least")
    verdicts = [diagnose(analysis) for analysis in analyses]
    looked_for = frozenset.intersection(*(verdict.looked_for for verdict in verdicts))
    often: list[Diagnosis] = []
    for fault in (Fault.GEAR, *_SHAFT_FAULTS):
        found = [each for verdict in verdicts for each in verdict.faults if each.fault is fault]
        if 2 * len(found) > len(verdicts):
            often.append(sorted(found, key=lambda each: each.severity)[len(found) // 2])
    bearings: list[Diagnosis] = []
    for number, bearing in enumerate(analyser.machine.bearings if Fault.BEARING_OUTER in looked_for else ()):
        named = [each.bearings[number].named for each in analyses]
        if 2 * sum(part is not None for part in named) <= len(named):
            continue
        speeds = [each.speed.hz for each in analyses if each.speed and each.speed.source is not SpeedSource.ASSUMED]
        fallback = analyser.machine.usual_speed_hz or math.nan
        reading = read_bearing(
            analyser.bank,
            analyser.bank.pool([each.envelope for each in analyses]),
            bearing,
            speed_hz=float(np.median(speeds)) if speeds else fallback,
            speed_seen=bool(speeds),
        )
        bearings.extend(_bearings((reading,), analyses[0].unit))
    return Verdict(faults=(*bearings, *often), looked_for=looked_for)


def _bearings(readings: Sequence[BearingReading], unit: str) -> tuple[Diagnosis, ...]:
    found = []
    for reading in readings:
        if reading.named is None:
            continue
        family = reading.families[reading.named]
        present = [each for each in reading.families.values() if each.score >= 1]
        found.append(
            Diagnosis(
                fault=_BEARING_FAULTS[reading.named],
                severity=max([family.score, *(each.score for each in present)]),
                evidence=tuple(
                    Evidence(
                        name=_FAMILY_NAMES[each.part],
                        frequency_hz=each.frequency_hz,
                        amplitude=each.amplitude,
                        unit=unit,
                    )
                    for each in sorted(present, key=lambda each: -each.score)
                ),
                bearing=reading.bearing.designation,
            )
        )
    return tuple(sorted(found, key=lambda each: -each.severity))


_FAMILY_NAMES = {Part.OUTER: "BPFO", Part.INNER: "BPFI", Part.BALL: "2 BSF", Part.CAGE: "FTF"}


def _shaft(analysis: Analysis, speed: ShaftSpeed) -> tuple[Diagnosis, ...]:
    rms = dict(zip(ORDERS.tolist(), analysis.order_rms.tolist(), strict=True))
    limit = analysis.machine.velocity_limit_mm_s

    def together(orders: Sequence[float]) -> float:
        return math.sqrt(sum(rms[order] ** 2 for order in orders))

    def named(fault: Fault, orders: Sequence[float]) -> Diagnosis:
        return Diagnosis(
            fault=fault,
            severity=together(orders) / limit,
            evidence=tuple(
                Evidence(name=f"{order:g}x", frequency_hz=order * speed.hz, amplitude=rms[order], unit=VELOCITY_UNIT)
                for order in orders
            ),
        )

    one, two = rms[1.0], rms[2.0]
    everything = together(list(rms))
    upper = [order for order in rms if order >= 3 and order % 1 == 0]
    halves = [order for order in rms if order % 1]
    loose = [order for order in upper if rms[order] >= _STANDS_OUT * one]
    if everything >= limit and (len(loose) >= _FEWEST_HARMONICS or together(halves) >= _HALF_OF_FIRST * one):
        orders = [1.0, *loose] if len(loose) >= _FEWEST_HARMONICS else [1.0, *halves]
        if together(orders) >= limit:
            return (named(Fault.LOOSENESS, orders),)
    if two >= _HALF_OF_FIRST * one and together([1.0, 2.0]) >= limit:
        return (named(Fault.MISALIGNMENT, [1.0, 2.0]),)
    if one >= limit and one**2 >= _MOST * everything**2:
        return (named(Fault.UNBALANCE, [1.0]),)
    return ()


def _gears(analysis: Analysis, speed: ShaftSpeed) -> tuple[Diagnosis, ...]:
    found = []
    for number, teeth in enumerate(analysis.machine.gear_teeth, start=1):
        suffix = "" if number == 1 else f"_{number}"
        mesh = analysis.features[f"gear_mesh{suffix}"][0]
        sides = analysis.features[f"gear_sidebands{suffix}"][0]
        floor = analysis.gear_floor[number - 1]
        # Noise under six lines is more than under one: both have to stand out of it.
        if math.isnan(mesh) or not sides > max(mesh, floor * 2):
            continue
        found.append(
            Diagnosis(
                fault=Fault.GEAR,
                severity=sides / max(mesh, floor),
                evidence=(
                    Evidence(
                        name=f"mesh {teeth}x", frequency_hz=teeth * speed.hz, amplitude=mesh, unit=ACCELERATION_UNIT
                    ),
                    Evidence(
                        name=f"sidebands of {teeth}x",
                        frequency_hz=teeth * speed.hz,
                        amplitude=sides,
                        unit=ACCELERATION_UNIT,
                    ),
                ),
            )
        )
    return tuple(found)
