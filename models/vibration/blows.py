"""Which part of a bearing is struck: the families of lines in envelope spectra that its geometry foretells."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from models.vibration.bearings import Bearing
from models.vibration.combs import HARMONICS, comb, noise_limit
from models.vibration.envelope import Band, EnvelopeBank, EnvelopeSpectra
from models.vibration.spectrum import Spectra

__all__ = ["FEWEST_CAGE_TURNS", "SLIP", "BearingReading", "Family", "Part", "read_bearing"]

Column = npt.NDArray[np.float64]

SLIP = 0.015
"""how far true frequencies may be from those of pure rolling, as a share (Randall and Antoni 2011: 1 to 2 %)"""
FALSE_SHARE = 1e-4
"""of blocks of pure noise in which a family of a bearing is seen"""
FEWEST_CAGE_TURNS = 4.0
"""in a block: the lines of a bearing are as close as one turn of the cage, and have to be apart"""

_NOTCH = 2.0
"""bins either side of multiples of the speed that are not looked at"""
_CONTROL = 0.95
"""quantile of combs where no fault is, which a family has to exceed: spectra of machines are full of lines"""
_STEP = 1 / (2 * HARMONICS)
"""of positions tried, in bins: a bin at the last line"""
_REACH = (0.55, 1.6)
"""controls: from this much of the lowest to this much of the highest fault frequency"""
_SIDEBANDS = 4
"""either side of a line that modulation leaves"""
_BALANCE = 1 / 3
"""of the weaker ring's lines over the stronger's, from which an element strikes both: a spot on it meets them in turn,
while a spot on a ring leaves the other ring nothing but coincidences, some hundredths"""
_SPIN_BY_CHANCE = 0.05
"""of blocks of pure noise that show as much at twice BSF as is asked for where the lines of the cage are there: an
element passes the load once a turn of the cage, so that its damage makes these lines, and a broken cage is rare"""


class Part(StrEnum):
    """Part of a bearing."""

    OUTER = "outer"
    INNER = "inner"
    BALL = "ball"
    CAGE = "cage"


_RACES = (Part.OUTER, Part.INNER, Part.BALL)
"""parts whose blows are looked for first; a cage is named only where none of them is"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The lines of one part, in the band where they stand out most."""

    part: Part
    expected_hz: float
    """of the first line by geometry and speed; for BALL twice the spin frequency: a spot strikes both rings"""
    frequency_hz: float
    """where it was found, within `SLIP`"""
    score: float
    """comb over its limit; from 1 on the family is there"""
    score_alone: float
    """the same once the lines of the strongest family, which may fall on these, are taken out"""
    amplitude: float
    """of the modulation, in the unit of the samples: root of the sum of the amplitudes of the first lines of the
    squared envelope, noise under them included"""
    band: Band


@dataclass(frozen=True, slots=True, kw_only=True)
class BearingReading:
    """What the envelope says of one bearing."""

    bearing: Bearing
    families: Mapping[Part, Family]
    balance: float
    """amplitudes of the weaker ring's lines over those of the stronger's, 0 to about 1"""
    named: Part | None
    """which part is struck; None: none"""


def read_bearing(
    bank: EnvelopeBank, spectra: EnvelopeSpectra, bearing: Bearing, *, speed_hz: float, speed_seen: bool
) -> BearingReading:
    """Look for the four families of a bearing.

    A family is there if the comb of its first lines exceeds, in some band, both what noise makes in `FALSE_SHARE` of
    blocks and what is found at frequencies of no fault in this very block: a recording judges itself, no healthy one
    is needed for comparison. The strongest family is named, with two exceptions. Where both rings are struck about
    alike, one cause explains both, which is an element that meets one ring after the other. (The spin of a ball
    wanders, so that its own line at twice BSF is often not there: Smith and Randall 2015.) And where only the cage
    stands out, an element in it is named if its own lines are there as well, were they weak: what an element strikes
    is modulated at the rate of the cage (Randall and Antoni 2011, section 2.1).

    Args:
        bank, spectra: the spectra and what made them.
        bearing: its geometry.
        speed_hz: of the shaft.
        speed_seen: its multiples were found in the spectra, and are no lines of the bearing.
    """
    orders = {Part.OUTER: bearing.bpfo, Part.INNER: bearing.bpfi, Part.BALL: 2 * bearing.bsf, Part.CAGE: bearing.ftf}
    shaft = speed_hz / bank.resolution_hz
    relative = _without(spectra.relative, shaft) if speed_seen else spectra.relative
    places = {part: _places(order * shaft) for part, order in orders.items()}
    every = np.concatenate(list(places.values()))
    ends = np.cumsum([place.size for place in places.values()])
    combs = dict(zip(places, np.split(comb(relative, every), ends[:-1]), strict=True))
    bands = {part: int(np.argmax(found.max(axis=0))) for part, found in combs.items()}
    position = {part: float(places[part][np.argmax(found[:, bands[part]])]) for part, found in combs.items()}
    sums = {part: float(found.max()) for part, found in combs.items()}

    amplitude = np.sqrt(spectra.power)
    loud = np.where(relative > math.log(bank.bins), amplitude, 0.0)
    strengths = {part: _strength(loud, places[part]) for part in _RACES}
    # Where all lines of two families are beyond what counts, the louder one.
    strongest = max(_RACES, key=lambda part: (sums[part], strengths[part]))
    rest = _without_family(relative, position[strongest], shaft * (bearing.ftf if strongest is Part.BALL else 1.0))
    controls = _controls(bearing, shaft)
    left = np.split(comb(rest, np.concatenate([every, controls])), ends)
    control = _control(left[-1], controls, bearing, shaft)
    limit = max(noise_limit(every.size / 2 * len(bank.bands), FALSE_SHARE), control)
    families = {
        part: Family(
            part=part,
            expected_hz=order * speed_hz,
            frequency_hz=position[part] * bank.resolution_hz,
            score=sums[part] / limit,
            score_alone=(sums[part] if part is strongest else float(found.max())) / limit,
            amplitude=_amplitude(amplitude[bands[part]], position[part]),
            band=bank.bands[bands[part]],
        )
        for (part, order), found in zip(orders.items(), left[:-1], strict=True)
    }
    weaker, stronger = (Part.OUTER, Part.INNER) if strongest is Part.INNER else (Part.INNER, Part.OUTER)
    balance = 0.0
    if strengths[stronger] > 0:
        balance = _strength(np.where(rest > 0, loud, 0.0), places[weaker]) / strengths[stronger]
    spins = max(noise_limit(places[Part.BALL].size / 2 * len(bank.bands), _SPIN_BY_CHANCE), control)
    return BearingReading(
        bearing=bearing,
        families=families,
        balance=balance,
        named=_name(families, strongest, balance, spins=sums[Part.BALL] >= spins),
    )


def _name(families: Mapping[Part, Family], strongest: Part, balance: float, *, spins: bool) -> Part | None:
    if families[strongest].score >= 1:
        both = min(families[Part.OUTER].score, families[Part.INNER].score) >= 1
        return Part.BALL if both and balance >= _BALANCE else strongest
    if families[Part.CAGE].score >= 1:
        return Part.BALL if spins else Part.CAGE
    return None


def _places(middle: float) -> Column:
    return np.arange(middle * (1 - SLIP), middle * (1 + SLIP) + _STEP, _STEP)


def _without(relative: Spectra, spacing: float) -> Spectra:
    """Lines at multiples of a spacing taken out."""
    bins = np.arange(relative.shape[-1])
    multiple = np.maximum(np.rint(bins / spacing), 1)
    return relative * (np.abs(bins - multiple * spacing) > _NOTCH)


def _without_family(relative: Spectra, first: float, sideband: float) -> Spectra:
    """Lines at multiples of the first one taken out, as wide as slip may smear them, and those modulation leaves."""
    bins = np.arange(relative.shape[-1])
    multiple = np.maximum(np.rint(bins / first), 1)
    kept = np.abs(bins - multiple * first) > np.maximum(2.0, SLIP * bins)
    lines = first * np.arange(1, int(bins.size / first) + 2)[:, None] + sideband * np.arange(
        -_SIDEBANDS, _SIDEBANDS + 1
    )
    index = (np.rint(lines).astype(np.int64)[..., None] + np.arange(-2, 3)).ravel()
    kept[index[(index >= 0) & (index < bins.size)]] = False
    rest: Spectra = relative * kept
    return rest


def _controls(bearing: Bearing, shaft: float) -> Column:
    """Positions over all the reach of the fault frequencies and somewhat beyond, in bins."""
    faults = (bearing.bpfo, bearing.bpfi, 2 * bearing.bsf)
    return np.arange(_REACH[0] * min(faults) * shaft, _REACH[1] * max(faults) * shaft, _STEP)


def _control(combs: Spectra, places: Column, bearing: Bearing, shaft: float) -> float:
    """What the best comb in windows as wide as a fault's stays below where no fault is."""
    faults = np.array([bearing.bpfo, bearing.bpfi, 2 * bearing.bsf, bearing.bsf])
    width = (1 + SLIP) / (1 - SLIP)
    edges = places[0] * width ** np.arange(int(math.log((places[-1] + _STEP) / places[0]) / math.log(width)))
    largest = np.maximum.reduceat(combs, np.searchsorted(places, edges), axis=0).max(axis=1)
    middles = edges * math.sqrt(width) / shaft
    apart = (np.abs(middles[:, None] / faults - 1) > 2 * SLIP).all(axis=1)
    ranked = np.sort(largest[apart])
    return float(np.interp(_CONTROL * (ranked.size - 1), np.arange(ranked.size), ranked))


def _amplitude(lines: Column, first: float) -> float:
    found = (round(first * harmonic) for harmonic in range(1, HARMONICS + 1))
    return math.sqrt(sum(float(lines[place]) for place in found if place < lines.size))


def _strength(amplitude: Column, places: Column) -> float:
    """The largest sum of amplitudes of a family in any band."""
    lines = np.rint(places[:, None] * np.arange(1, HARMONICS + 1)).astype(np.intp)
    return float(amplitude.take(lines, axis=1, mode="clip").sum(axis=-1).max())
