"""Geometry of rolling-element bearings, and the frequencies at which their faults strike."""

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType

from telemetry.errors import ConfigurationError
from telemetry.names import closest

__all__ = ["Bearing", "bearing", "catalogue", "read_catalogue"]

_COLUMNS = ("designation", "elements", "element_diameter_mm", "pitch_diameter_mm", "contact_angle_deg", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearing:
    """A bearing whose outer ring stands still and whose inner ring turns with the shaft.

    The orders are frequencies as multiples of the shaft's, for pure rolling (Harris, Rolling Bearing Analysis, 4th
    ed., ch. 8; Randall and Antoni 2011, eq. 1 to 4). Slip makes the true ones differ by 1 to 2 %.

    Raises:
        ConfigurationError: not a geometry a bearing can have.
    """

    designation: str
    elements: int
    """balls or rollers in a row (n)"""
    element_diameter_mm: float
    """of a ball or roller (d)"""
    pitch_diameter_mm: float
    """of the circle the centres of the elements run on (D)"""
    contact_angle_deg: float = 0.0
    source: str = ""
    """where the geometry is from"""

    def __post_init__(self) -> None:
        if self.elements < 3:
            raise ConfigurationError(
                f"bearing {self.designation}: {self.elements} rolling elements; there are 3 at least"
            )
        if not 0 < self.element_diameter_mm < self.pitch_diameter_mm < math.inf:
            raise ConfigurationError(
                f"bearing {self.designation}: the elements ({self.element_diameter_mm:g} mm) must be smaller than the"
                f" pitch diameter ({self.pitch_diameter_mm:g} mm), and both above zero"
            )
        if not 0 <= self.contact_angle_deg < 90:
            raise ConfigurationError(
                f"bearing {self.designation}: a contact angle of {self.contact_angle_deg:g} degrees; it must be 0 to 90"
            )

    @property
    def ratio(self) -> float:
        """d/D cos(contact angle)."""
        return self.element_diameter_mm / self.pitch_diameter_mm * math.cos(math.radians(self.contact_angle_deg))

    @property
    def bpfo(self) -> float:
        """Order at which elements pass a spot of the outer ring: n/2 (1 - d/D cos a)."""
        return self.elements / 2 * (1 - self.ratio)

    @property
    def bpfi(self) -> float:
        """Order at which elements pass a spot of the inner ring: n/2 (1 + d/D cos a)."""
        return self.elements / 2 * (1 + self.ratio)

    @property
    def bsf(self) -> float:
        """Order at which an element spins: D/(2d) (1 - (d/D cos a)²). A spot on it strikes twice a turn."""
        return self.pitch_diameter_mm / (2 * self.element_diameter_mm) * (1 - self.ratio**2)

    @property
    def ftf(self) -> float:
        """Order at which the cage turns: (1 - d/D cos a) / 2."""
        return (1 - self.ratio) / 2


def bearing(designation: str, extra: Mapping[str, Bearing] = MappingProxyType({})) -> Bearing:
    """A bearing by its designation, from `extra` or from the catalogue.

    A number alone, such as 6205, is none: standards give the outer dimensions of a bearing, each maker its own number
    and size of elements.

    Raises:
        ConfigurationError: nobody knows it; the message names the nearest.
    """
    known = {**catalogue(), **extra}
    if designation not in known:
        near = next((name for name in sorted(known) if designation and designation.lower() in name.lower()), None)
        hint = f"; did you mean {near!r}?" if near else closest(designation, sorted(known))
        raise ConfigurationError(
            f"bearing {designation!r} is not in the catalogue; give its geometry (elements, element_diameter_mm,"
            f" pitch_diameter_mm, contact_angle_deg){hint}"
        )
    return known[designation]


@cache
def catalogue() -> Mapping[str, Bearing]:
    """The bearings that come with Precursor, by designation: those of published test rigs, each with its source."""
    text = resources.files("models.vibration").joinpath("bearings.csv").read_text(encoding="utf-8")
    return MappingProxyType(read_catalogue(text.splitlines()))


def read_catalogue(lines: Iterable[str]) -> dict[str, Bearing]:
    """Bearings from CSV with the columns of bearings.csv; later ones win. For a plant's own list.

    Raises:
        ConfigurationError: a column is missing, or a line is no bearing; the message has its number.
    """
    rows = csv.DictReader(lines)
    missing = set(_COLUMNS[:4]) - set(rows.fieldnames or ())
    if missing:
        raise ConfigurationError(f"a list of bearings needs the columns {', '.join(_COLUMNS[:4])}")
    found = {}
    for row in rows:
        try:
            one = Bearing(
                designation=row["designation"].strip(),
                elements=int(row["elements"]),
                element_diameter_mm=float(row["element_diameter_mm"]),
                pitch_diameter_mm=float(row["pitch_diameter_mm"]),
                contact_angle_deg=float(row.get("contact_angle_deg") or 0.0),
                source=row.get("source") or "",
            )
        except (ValueError, TypeError, AttributeError, ConfigurationError) as error:
            raise ConfigurationError(f"line {rows.line_num} of the list of bearings: {error}") from error
        found[one.designation] = one
    return found
