"""What a rotating machine does to its sensors: load, heat, vibration, and a bearing that wears out.

Thin on purpose, honest where monitoring looks: vibration and temperature follow the load, temperature with a
lag; a worn bearing shows in vibration first and in temperature later; a machine that stands still measures
nothing. All noise of one machine comes from its own seeded generator with a fixed number of draws a step. So
its readings depend neither on the other machines, nor on its own fault before the onset.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from telemetry.plant import AssetState

__all__ = ["BearingWear", "Machine", "Nameplate"]

_LOAD_TAU_S = 2 * 3600.0
"""how slowly demand wanders"""
_LOAD_SPREAD = 0.025
"""standard deviation of that wandering, as a part of nominal load"""
_LOAD_DAY_SWING = 0.05
"""demand is highest at 14:00 UTC by this part of nominal load"""
_HEAT_TAU_S = 30 * 60.0
"""thermal time constant of bearing and housing"""
_AMBIENT_C = 22.0
_AMBIENT_DAY_SWING_C = 2.0
_FRICTION_C = 28.0
"""what a bearing at functional failure adds to the temperature it tends to"""
_HEAT_AFTER = 0.35
"""part of the P-F interval that passes before friction heats the housing"""
_NDE_SHARE = 0.4
"""how much of the vibration born at the drive end arrives at the other end"""
_STANDSTILL_MM_S = 0.05
"""what a stopped machine picks up from its neighbours"""
_STATIC_HEAD_BAR = 1.1
_FAILURE_MM_S = 9.0
"""drive-end velocity RMS at functional failure: past 7.1 mm/s, the end of zone C for medium machines on a
flexible base (ISO 10816-3, group 2)"""
_DRAWS = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Nameplate:
    """A machine's values at nominal load, healthy. What it does not measure is None."""

    vib_de_mm_s: float
    """velocity RMS at the drive-end bearing"""
    vib_nde_mm_s: float
    """velocity RMS at the non-drive end"""
    temp_de_c: float
    """temperature of the drive-end bearing"""
    flow_m3_h: float | None = None
    pressure_bar: float | None = None
    current_a: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BearingWear:
    """A drive-end bearing on its way from potential to functional failure; seconds since the start."""

    onset_s: float
    """P: the first moment at which the wear can be measured"""
    failure_s: float
    """F: the machine stops doing its work"""
    repaired_s: float | None = None
    """a new bearing is in and the machine runs again; None: never"""

    def progress(self, at_s: float) -> float:
        """How much of the P-F interval has passed: 0 (healthy, or repaired) to 1 (failed)."""
        if at_s < self.onset_s or (self.repaired_s is not None and at_s >= self.repaired_s):
            return 0.0
        return min((at_s - self.onset_s) / (self.failure_s - self.onset_s), 1.0)

    def failed(self, at_s: float) -> bool:
        """Whether the machine is down because of it."""
        return self.progress(at_s) >= 1.0


class Machine:
    """One machine through time: `step` is called once per interval, in order."""

    def __init__(self, nameplate: Nameplate, rng: np.random.Generator, *, interval_s: float) -> None:
        self._nameplate = nameplate
        self._rng = rng
        self._load_memory = math.exp(-interval_s / _LOAD_TAU_S)
        self._heat_memory = math.exp(-interval_s / _HEAT_TAU_S)
        self._walk = _LOAD_SPREAD * float(rng.standard_normal())
        self._temp_c: float | None = None

    def step(self, at: datetime, state: AssetState, wear: float) -> Mapping[str, float]:
        """Measured values by point name (units: mm/s, degC, m^3/h, bar, A), noise included.

        Args:
            at: event time; the hour of the day shapes load and surroundings.
            state: only a running machine turns.
            wear: passed part of the P-F interval, 0 to 1 (`BearingWear.progress`).
        """
        noise = self._rng.standard_normal(_DRAWS).tolist()
        load = self._load(at, noise[0])
        running = state is AssetState.RUNNING
        vib_de, vib_nde = self._vibration(load, wear) if running else (_STANDSTILL_MM_S, _STANDSTILL_MM_S)
        plate = self._nameplate
        values = {
            "vib_de": max(vib_de * (1 + 0.03 * noise[1]), 0.0),
            "vib_nde": max(vib_nde * (1 + 0.03 * noise[2]), 0.0),
            "temp_de": self._temperature(at, load, wear, running=running) + 0.15 * noise[3],
        }
        if plate.flow_m3_h is not None:
            values["flow"] = plate.flow_m3_h * load * (1 + 0.008 * noise[4]) if running else 0.0
        if plate.pressure_bar is not None:
            # The more a centrifugal pump delivers, the less head it has left.
            head = plate.pressure_bar + 0.8 * (1 - load**2) if running else _STATIC_HEAD_BAR
            values["pressure"] = head + 0.02 * noise[5]
        if plate.current_a is not None:
            values["current"] = plate.current_a * (0.35 + 0.65 * load) * (1 + 0.006 * noise[6]) if running else 0.0
        return values

    def _load(self, at: datetime, noise: float) -> float:
        """Demand as a part of nominal: an Ornstein-Uhlenbeck walk (exact step) on the pattern of a day."""
        self._walk = self._load_memory * self._walk + _LOAD_SPREAD * math.sqrt(1 - self._load_memory**2) * noise
        return 1.0 + self._walk + _LOAD_DAY_SWING * _day_wave(at, peak_hour=14)

    def _vibration(self, load: float, wear: float) -> tuple[float, float]:
        """Velocity RMS (mm/s) at both ends; the defect grows exponentially, energies add."""
        plate = self._nameplate
        base = plate.vib_de_mm_s * (1 + 0.25 * (load - 1))
        drive_end = base * (_FAILURE_MM_S / plate.vib_de_mm_s) ** wear
        defect = math.sqrt(max(drive_end**2 - base**2, 0.0))
        other_end = plate.vib_nde_mm_s * (1 + 0.25 * (load - 1))
        return drive_end, math.hypot(other_end, _NDE_SHARE * defect)

    def _temperature(self, at: datetime, load: float, wear: float, *, running: bool) -> float:
        """Bearing temperature (degC): first-order lag behind what losses and surroundings ask for."""
        target = _AMBIENT_C + _AMBIENT_DAY_SWING_C * _day_wave(at, peak_hour=15)
        if running:
            friction = max((wear - _HEAT_AFTER) / (1 - _HEAT_AFTER), 0.0)
            target += (self._nameplate.temp_de_c - _AMBIENT_C) * load + _FRICTION_C * friction**2
        last = target if self._temp_c is None else self._temp_c
        self._temp_c = target + self._heat_memory * (last - target)
        return self._temp_c


def _day_wave(at: datetime, *, peak_hour: float) -> float:
    """-1 to 1 over the 24 hours of a UTC day."""
    hour = at.hour + at.minute / 60 + at.second / 3600
    return math.cos(2 * math.pi * (hour - peak_hour) / 24)
