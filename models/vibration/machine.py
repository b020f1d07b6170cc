"""What has to be known of a machine to read its vibration."""

import math
from dataclasses import dataclass

from models.vibration.bearings import Bearing
from telemetry.errors import ConfigurationError

__all__ = ["BANDS_HZ", "MachineSpec"]

BANDS_HZ = ((10.0, 1000.0), (1000.0, 5000.0), (5000.0, 10_000.0), (10_000.0, 20_000.0))
"""unbalance to gears; gears and resonances of the structure; resonances of bearings; friction and leaks"""

SLOW_HZ = 10.0
"""600 rpm: below it ISO 20816 wants velocity from 2 Hz instead of 10 Hz"""


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineSpec:
    """A machine as the analysis of its vibration sees it. What is not given is not looked for.

    Raises:
        ConfigurationError: a number that no machine has; the message says which.
    """

    speed_hz: float | None = None
    """of the shaft the sensor sits at, turns a second: measured, or as on the name plate; None: not known"""
    speed_tolerance: float = 0.02
    """how far the true speed may be from `speed_hz`, as a share: it is looked for there. 0: take it as measured"""
    speed_range_hz: tuple[float, float] | None = None
    """where to look for the speed while `speed_hz` is None; None: no speed, and nothing that needs one"""
    bearings: tuple[Bearing, ...] = ()
    """on that shaft"""
    gear_teeth: tuple[int, ...] = ()
    """of gears on that shaft"""
    blades: int | None = None
    """of a fan or impeller on that shaft"""
    bands_hz: tuple[tuple[float, float], ...] = BANDS_HZ
    """of which the RMS acceleration is told"""
    group: int | None = None
    """ISO 20816-3: 1 above 300 kW, 2 from 15 to 300 kW; None: not known"""
    foundation: str | None = None
    """ISO 20816-3: rigid or flexible; None: not known"""
    velocity_limit_mm_s: float = 2.8
    """RMS velocity from which a fault of the shaft is named: where zone B ends. The default is that of the strictest
    group (2, rigid); rules.iso_20816.ZONES has the others"""

    def __post_init__(self) -> None:
        if self.speed_hz is not None and not 0 < self.speed_hz < math.inf:
            raise ConfigurationError(f"speed_hz is {self.speed_hz:g}; it must be above zero, or left out")
        if not 0 <= self.speed_tolerance <= 0.1:
            raise ConfigurationError(f"speed_tolerance is {self.speed_tolerance:g}; it must be a share from 0 to 0.1")
        if self.speed_range_hz is not None and not 0 < self.speed_range_hz[0] < self.speed_range_hz[1] < math.inf:
            raise ConfigurationError(f"speed_range_hz is {self.speed_range_hz}; it must be two speeds, the lower first")
        if any(teeth < 2 for teeth in self.gear_teeth):
            raise ConfigurationError(f"gear_teeth are {self.gear_teeth}; a gear has 2 at least")
        if self.blades is not None and self.blades < 2:
            raise ConfigurationError(f"blades are {self.blades}; a wheel has 2 at least")
        if any(not 0 < low < high < math.inf for low, high in self.bands_hz):
            raise ConfigurationError(
                f"bands_hz are {self.bands_hz}; each is two frequencies above zero, the lower first"
            )
        if self.foundation not in {None, "rigid", "flexible"}:
            raise ConfigurationError(f"foundation is {self.foundation!r}; it must be rigid or flexible")
        if self.group not in {None, 1, 2}:
            raise ConfigurationError(f"group is {self.group}; ISO 20816-3 has 1 and 2")
        if not 0 < self.velocity_limit_mm_s < math.inf:
            raise ConfigurationError(f"velocity_limit_mm_s is {self.velocity_limit_mm_s:g}; it must be above zero")

    @property
    def usual_speed_hz(self) -> float | None:
        """The speed given, or the middle of the range it lies in."""
        if self.speed_hz is not None or self.speed_range_hz is None:
            return self.speed_hz
        return math.sqrt(self.speed_range_hz[0] * self.speed_range_hz[1])

    @property
    def velocity_band_hz(self) -> tuple[float, float]:
        """In which ISO 20816-1 wants RMS velocity: 10 to 1000 Hz, from 2 Hz for shafts known to be below 600 rpm."""
        slowest = self.speed_hz if self.speed_hz is not None else (self.speed_range_hz or (SLOW_HZ, 0.0))[0]
        return (2.0 if slowest < SLOW_HZ else 10.0), 1000.0
