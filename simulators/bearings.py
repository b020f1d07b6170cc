"""Rolling-element bearings, gears and what they sound like when damaged: how often, per turn of the shaft."""

import math
from dataclasses import dataclass

__all__ = ["BEARING", "TEETH", "Bearing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bearing:
    """Geometry of a rolling-element bearing; kinematic frequencies as Randall & Antoni (2011), eq. 1 to 4."""

    designation: str
    rollers: int
    roller_mm: float
    """diameter of a roller"""
    pitch_mm: float
    """of the circle their centres run on"""
    contact_deg: float = 0.0

    @property
    def _share(self) -> float:
        return self.roller_mm / self.pitch_mm * math.cos(math.radians(self.contact_deg))

    @property
    def bpfo(self) -> float:
        """Rollers that pass a point of the outer race, per turn."""
        return self.rollers / 2 * (1 - self._share)

    @property
    def bpfi(self) -> float:
        """Rollers that pass a point of the inner race, per turn."""
        return self.rollers / 2 * (1 + self._share)

    @property
    def ftf(self) -> float:
        """Turns of the cage, per turn."""
        return (1 - self._share) / 2


BEARING = Bearing(designation="6205", rollers=9, roller_mm=7.94, pitch_mm=39.04)
"""of all simulated machines; geometry as published with the recordings of the CWRU Bearing Data Center"""
TEETH = 23
"""of the pinion on the input shaft of the simulated gearbox"""
