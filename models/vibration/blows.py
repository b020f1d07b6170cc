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
    is needed for comparison. The strongest family is named, with one exception: where both rings are struck about
    alike, one cause explains both, which is an element that meets one ring after the other. (The spin of a ball
    wanders, so that its own line at twice BSF is often not there: Smith and Randall 2015.)

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
    trials = sum(place.size for place in places.values()) / 2 * len(bank.bands)

    combs = {part: comb(relative, place) for part, place in places.items()}
    bands = {part: int(np.argmax(found.max(axis=1))) for part, found in combs.items()}
    position = {part: float(places[part][np.argmax(found[bands[part]])]) for part, found in combs.items()}
    strongest = max(_RACES, key=lambda part: combs[part].max())
    rest = _without_family(relative, position[strongest], shaft * (bearing.ftf if strongest is Part.BALL else 1.0))
    limit = max(noise_limit(trials, FALSE_SHARE), _control(rest, bearing, shaft))
    scores = {part: float(found.max()) / limit for part, found in combs.items()}
    alone = {
        part: scores[part] if part is strongest else float(comb(rest, place).max()) / limit
        for part, place in places.items()
    }
    families = {
        part: Family(
            part=part,
            expected_hz=order * speed_hz,
            frequency_hz=position[part] * bank.resolution_hz,
            score=scores[part],
            score_alone=alone[part],
            amplitude=_amplitude(spectra.power[bands[part]], position[part]),
            band=bank.bands[bands[part]],
        )
        for part, order in orders.items()
    }
    rings = (Part.INNER, Part.OUTER) if strongest is Part.INNER else (Part.OUTER, Part.INNER)
    balance = _balance(
        np.where(relative > math.log(bank.bins), spectra.power, 0.0), rest, *(places[each] for each in rings)
    )
    return BearingReading(
        bearing=bearing, families=families, balance=balance, named=_name(families, strongest, balance)
    )


def _name(families: Mapping[Part, Family], strongest: Part, balance: float) -> Part | None:
    if families[strongest].score < 1:
        return Part.CAGE if families[Part.CAGE].score >= 1 else None
    both = min(families[Part.OUTER].score, families[Part.INNER].score) >= 1
    return Part.BALL if both and balance >= _BALANCE else strongest


def _places(middle: float) -> Column:
    return np.arange(middle * (1 - SLIP), middle * (1 + SLIP) + _STEP, _STEP)


def _without(relative: Column, spacing: float) -> Column:
    """Lines at multiples of a spacing taken out."""
    bins = np.arange(relative.shape[-1])
    multiple = np.maximum(np.rint(bins / spacing), 1)
    return relative * (np.abs(bins - multiple * spacing) > _NOTCH)


def _without_family(relative: Column, first: float, sideband: float) -> Column:
    """Lines at multiples of the first one taken out, as wide as slip may smear them, and those modulation leaves."""
    bins = np.arange(relative.shape[-1])
    multiple = np.maximum(np.rint(bins / first), 1)
    kept = np.abs(bins - multiple * first) > np.maximum(2.0, SLIP * bins)
    lines = first * np.arange(1, int(bins.size / first) + 2)[:, None] + sideband * np.arange(
        -_SIDEBANDS, _SIDEBANDS + 1
    )
    index = (np.rint(lines).astype(np.int64)[..., None] + np.arange(-2, 3)).ravel()
    kept[index[(index >= 0) & (index < bins.size)]] = False
    rest: Column = relative * kept
    return rest


def _control(relative: Column, bearing: Bearing, shaft: float) -> float:
    """What the best comb in windows as wide as a fault's stays below where no fault is."""
    faults = np.array([bearing.bpfo, bearing.bpfi, 2 * bearing.bsf, bearing.bsf])
    low, high = _REACH[0] * faults[:3].min() * shaft, _REACH[1] * faults[:3].max() * shaft
    places = np.arange(low, high, _STEP)
    width = (1 + SLIP) / (1 - SLIP)
    edges = low * width ** np.arange(int(math.log(high / low) / math.log(width)))
    largest = np.maximum.reduceat(comb(relative, places).max(axis=0), np.searchsorted(places, edges))
    middles = edges * math.sqrt(width) / shaft
    apart = (np.abs(middles[:, None] / faults - 1) > 2 * SLIP).all(axis=1)
    return float(np.quantile(largest[apart], _CONTROL))


def _amplitude(power: Column, first: float) -> float:
    lines = np.rint(first * np.arange(1, HARMONICS + 1)).astype(np.int64)
    return math.sqrt(float(np.sqrt(power[lines[lines < power.size]]).sum()))


def _balance(power: Column, rest: Column, stronger: Column, weaker: Column) -> float:
    """Of the largest sums of amplitudes in any band, the weaker's without the lines that the stronger explains."""

    def largest(among: Column, places: Column) -> float:
        lines = np.rint(places[:, None] * np.arange(1, HARMONICS + 1)).astype(np.int64)
        return float(np.sqrt(among[:, np.minimum(lines, among.shape[1] - 1)]).sum(axis=-1).max())

    most = largest(power, stronger)
    return largest(np.where(rest > 0, power, 0.0), weaker) / most if most > 0 else 0.0
