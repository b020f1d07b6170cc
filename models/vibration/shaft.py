"""The speed of the shaft, from the lines it leaves at its multiples."""

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from models.vibration.combs import CAP, comb, noise_limit
from models.vibration.spectrum import Spectra

__all__ = ["ShaftSpeed", "SpeedSource", "find_speed"]

FIRST = 3
"""multiples of the speed that it is found by, in each spectrum: higher ones may be lines of something else nearby"""
HARMONICS = 8
"""multiples that it is then refined by"""
FALSE_SHARE = 1e-4
"""of blocks without any such lines in which a speed is found"""


_LINE_ERROR = 0.1
"""bins by which the centre of a line is mistaken, about"""
_FIRST_ROOM, _ROOM = 1.5, 0.5
"""bins that a multiple may be from where it should be: the first one, the others"""


class SpeedSource(StrEnum):
    """Where a speed is from."""

    MEASURED = "measured"
    FOUND = "found"
    """in the spectra"""
    ASSUMED = "assumed"
    """as given, because the spectra show none near it"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShaftSpeed:
    """Turns a second."""

    hz: float
    uncertainty_hz: float
    """how far the lines are from multiples of it, or the tolerance that was given; 0: measured"""
    source: SpeedSource


def find_speed(
    spectrum: Spectra, envelope: Spectra, resolution_hz: float, low_hz: float, high_hz: float
) -> ShaftSpeed | None:
    """The speed whose multiples stand out most.

    The first three multiples are summed over both spectra, each counted up to a cap and the first one twice, so that
    neither half nor double the speed wins. The centres of their lines, and of higher ones that are in line with
    them in the spectrum (in that of the envelope, they may be a bearing's), then give it to a tenth of a bin.

    Args:
        spectrum, envelope: power over its background.
        resolution_hz: from bin to bin, of both.
        low_hz, high_hz: where to look, both included.

    Returns:
        None where noise makes as much in `FALSE_SHARE` of blocks.
    """
    step = 1 / (2 * HARMONICS)
    places = np.arange(low_hz / resolution_hz, high_hz / resolution_hz + step / 2, step)
    both = np.stack([spectrum, envelope])
    found = comb(both, places, FIRST).sum(axis=1)
    # Noise: a Gamma distribution over all lines of both.
    if found.max() < noise_limit(max(places.size / 2, 1), FALSE_SHARE, 2 * FIRST):
        return None
    first = comb(both, places, 1)
    best = np.where(first.max(axis=1) >= CAP, found + first.sum(axis=1), 0.0)
    if not best.any():
        return None
    among = places[best >= best.max() - 1e-9]
    place, spread, highest = _track(both, float(among[(among.size - 1) // 2] + among[among.size // 2]) / 2)
    if not low_hz - resolution_hz / 2 <= place * resolution_hz <= high_hz + resolution_hz / 2:
        return None
    return ShaftSpeed(
        hz=place * resolution_hz,
        uncertainty_hz=max(spread, _LINE_ERROR) / highest * resolution_hz,
        source=SpeedSource.FOUND,
    )


def _track(both: Spectra, place: float) -> tuple[float, float, int]:
    """The first line, then each multiple where the ones before say it is: first line, spread of all, highest seen.

    All in bins. A line that is not where it should be is another's: the passing of a bearing's elements often comes
    near a multiple. Above the first multiples only the spectrum counts, the envelope's lines there are a bearing's.
    """
    multiples, centres = [], []
    across, squares = 0.0, 0
    for multiple in range(1, HARMONICS + 1):
        room = _FIRST_ROOM if multiple == 1 else _ROOM
        for row in both if multiple <= FIRST else both[:1]:
            middle = round(place * multiple)
            if middle < 3 or middle + 4 > row.size:
                continue
            around = row[middle - 2 : middle + 3].tolist()
            top = max(1, 2, 3, key=around.__getitem__)
            if around[top] < CAP:
                continue
            left, peak, right = map(math.sqrt, around[top - 1 : top + 2])
            # Exact for a Hann window (Grandke 1983, from magnitudes of three bins).
            centre = middle - 2 + top + 2 * (right - left) / (left + 2 * peak + right)
            if abs(centre - place * multiple) <= room:
                multiples.append(multiple)
                centres.append(centre)
                across += multiple * centre
                squares += multiple**2
                # The envelope's window is another one: its lines count where the spectrum has none.
                break
        if multiples:
            place = across / squares
    if not multiples:
        return place, 0.5, 1
    spread = float(np.sqrt(np.mean((np.array(centres) - place * np.array(multiples)) ** 2)))
    return place, spread, multiples[-1]
