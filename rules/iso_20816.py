"""Severity of vibration by ISO 20816-3: where the zones of a machine end.

RMS velocity in mm/s, 10 to 1000 Hz (2 to 1000 Hz below 600 rpm), on non-rotating parts. Zone A: newly commissioned;
B: fit for long-term operation; C: only until there is an opportunity to mend; D: severe enough to cause damage.

The numbers are those of ISO 10816-3:2009 and ISO 20816-3:2022 as secondary sources agree on them ("[2nd]"); nobody
here had the text of the standards. Rules may give numbers of their own instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

__all__ = ["UNIT", "ZONES", "Foundation", "Zones"]

UNIT = "mm/s"
"""of the numbers below"""


class Foundation(StrEnum):
    """How a machine stands; rigid: the first natural frequency of machine and support is well above its speed."""

    RIGID = "rigid"
    FLEXIBLE = "flexible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Zones:
    """Where the zones of one kind of machine end, mm/s RMS."""

    a_b: float
    b_c: float
    c_d: float
    source: str
    """for people: standard, provenance, kind of machine"""


def _zones(group: int, foundation: Foundation, a_b: float, b_c: float, c_d: float) -> Zones:
    return Zones(a_b=a_b, b_c=b_c, c_d=c_d, source=f"ISO 20816-3 [2nd], group {group}, {foundation}")


ZONES: Mapping[tuple[int, Foundation], Zones] = MappingProxyType(
    {
        (1, Foundation.RIGID): _zones(1, Foundation.RIGID, 2.3, 4.5, 7.1),
        (1, Foundation.FLEXIBLE): _zones(1, Foundation.FLEXIBLE, 3.5, 7.1, 11.0),
        (2, Foundation.RIGID): _zones(2, Foundation.RIGID, 1.4, 2.8, 4.5),
        (2, Foundation.FLEXIBLE): _zones(2, Foundation.FLEXIBLE, 2.3, 4.5, 7.1),
    }
)
"""by group (1: above 300 kW, large electrical machines; 2: 15 to 300 kW, medium ones) and foundation"""
