"""What is asked of a machine and what is around it: when it runs, how hard, in which surroundings.

Whole runs at once, one array an influence. Each influence has a generator of its own, so that one does not
move the other.
"""

import math
import zlib
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

__all__ = ["Conditions", "Profile", "conditions", "generator", "lag", "wander"]

Series = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

_HOUR_S = 3600.0
_DAY_S = 86_400.0
_YEAR_S = 365.25 * _DAY_S
_STEP_LEVELS = (0.75, 0.85, 0.95, 1.05)
"""demand of a step profile, as parts of nominal"""
_STEP_HOLD_S = 8 * _HOUR_S
"""mean time at one level"""
_STANDBY_EVERY_S = 5 * _DAY_S
_STANDBY_S = (1 * _HOUR_S, 6 * _HOUR_S)


class Profile(StrEnum):
    """How a machine is used."""

    STEADY = "steady"
    """day and night, demand wanders a little"""
    STEPS = "steps"
    """demand jumps between a few levels every few hours"""
    PRODUCTION = "production"
    """shifts: stops at night and at the weekend, demand of its own each shift"""
    VARIABLE_SPEED = "variable_speed"
    """a frequency converter follows demand; the others run at one speed"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Conditions:
    """Equally long columns, one row an instant."""

    running: Mask
    demand: Series
    """what is asked, as a part of nominal, 0.5 to 1.15; also while it stands"""
    controlled: bool
    """the speed follows demand; otherwise a valve, a damper or the torque does"""
    ambient_c: Series
    """temperature in the hall, degC"""


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Random numbers of a run for one purpose, the same whatever else is drawn."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def wander(rng: np.random.Generator, count: int, *, interval_s: float, tau_s: float) -> Series:
    """An Ornstein-Uhlenbeck walk of standard deviation 1 that forgets in `tau_s` (exact discretisation)."""
    memory = math.exp(-interval_s / tau_s)
    noise = rng.standard_normal(count)
    noise[0] /= math.sqrt(1 - memory**2)
    walk: Series = lfilter([math.sqrt(1 - memory**2)], [1.0, -memory], noise)
    return walk


def lag(target: Series, *, interval_s: float, tau_s: float) -> Series:
    """First-order lag behind `target`, settled at the start: the exact step of dy/dt = (target - y) / tau."""
    memory = math.exp(-interval_s / tau_s)
    settled: Series = lfilter([1 - memory], [1.0, -memory], target, zi=[memory * target[0]])[0]
    return settled


def conditions(profile: Profile, at_s: Series, *, epoch_s: float, interval_s: float, seed: int) -> Conditions:
    """The conditions of a run.

    Args:
        at_s: s since the start of the run, `interval_s` apart.
        epoch_s: the start, s since 1970 UTC: hours, weekdays and seasons come from it.
    """
    clock_s = at_s + epoch_s
    return Conditions(
        running=_running(profile, at_s, clock_s, generator(seed, "running")),
        demand=_demand(profile, at_s, clock_s, interval_s, generator(seed, "demand")),
        controlled=profile is Profile.VARIABLE_SPEED,
        ambient_c=_ambient(clock_s, interval_s, generator(seed, "ambient")),
    )


def _running(profile: Profile, at_s: Series, clock_s: Series, rng: np.random.Generator) -> Mask:
    running = np.ones(at_s.size, np.bool_)
    if profile is Profile.PRODUCTION:
        hour = clock_s % _DAY_S / _HOUR_S
        weekday = (clock_s // _DAY_S + 3) % 7  # 1970-01-01 was a Thursday
        begin, end = rng.uniform(5.5, 6.5), rng.uniform(21.0, 22.5)
        return (hour >= begin) & (hour < end) & (weekday < 5)
    moment = float(rng.exponential(_STANDBY_EVERY_S))
    while moment < at_s[-1]:
        length = float(rng.uniform(*_STANDBY_S))
        running[(at_s >= moment) & (at_s < moment + length)] = False
        moment += length + float(rng.exponential(_STANDBY_EVERY_S))
    return running


def _demand(profile: Profile, at_s: Series, clock_s: Series, interval_s: float, rng: np.random.Generator) -> Series:
    walk = wander(rng, at_s.size, interval_s=interval_s, tau_s=2 * _HOUR_S)
    day = np.cos(2 * np.pi * (clock_s / _DAY_S - 14 / 24))
    if profile is Profile.STEPS:
        changes = np.cumsum(rng.exponential(_STEP_HOLD_S, 2 + int(4 * at_s[-1] / _STEP_HOLD_S)))
        levels = rng.choice(_STEP_LEVELS, changes.size + 1)
        level = levels[np.searchsorted(changes, at_s)]
        # A valve takes minutes, not a tick.
        demand = lag(level, interval_s=interval_s, tau_s=120.0) + 0.01 * walk
    elif profile is Profile.PRODUCTION:
        shift = ((clock_s - 6 * _HOUR_S) // (8 * _HOUR_S)).astype(np.int64)
        levels = rng.normal(0.95, 0.06, int(np.ptp(shift)) + 1)
        demand = levels[shift - shift[0]] + 0.02 * walk
    elif profile is Profile.VARIABLE_SPEED:
        demand = 0.85 + 0.12 * day + 0.05 * walk
    else:
        demand = 0.97 + 0.04 * day + 0.025 * walk
    return np.clip(demand, 0.5, 1.15)


def _ambient(clock_s: Series, interval_s: float, rng: np.random.Generator) -> Series:
    """Inside a hall: the season and the day arrive dampened, the weather takes days."""
    season = np.cos(2 * np.pi * (clock_s / _YEAR_S - 200 / 365.25))
    day = np.cos(2 * np.pi * (clock_s / _DAY_S - 15 / 24))
    weather = wander(rng, clock_s.size, interval_s=interval_s, tau_s=2 * _DAY_S)
    return 21.0 + 3.0 * season + 1.5 * day + 1.0 * weather
