"""Acceleration of a drive-end bearing, sampled fast: what a fault does inside one turn of the shaft."""

import numpy as np
import numpy.typing as npt
from scipy.signal import lfilter

from simulators.bearings import TEETH, Bearing
from simulators.faults import FaultKind, MachineKind

__all__ = ["SAMPLE_RATE_HZ", "waveform"]

Series = npt.NDArray[np.float64]

SAMPLE_RATE_HZ = 25_600.0
_MS2_PER_G = 9.80665
_SLIP = 0.01
"""standard deviation of the distance between impacts: rollers slide a little (Randall & Antoni 2011, section 2.2)"""
_RESONANCE_HZ = 3_400.0
"""of the bearing housing"""
_DAMPING = 0.04
"""of that resonance, as a part of critical"""
_IMPACT_G = 12.0
"""first peak of an impact at functional failure"""
_NOISE_G = 0.05
"""of a healthy machine, broad-band"""
_MESH_MM_S = 0.6
"""velocity of a healthy gear mesh"""


def waveform(
    *,
    machine: MachineKind,
    bearing: Bearing,
    speed_hz: float,
    velocity_mm_s: float,
    fault: FaultKind | None,
    damage: float,
    rng: np.random.Generator,
    duration_s: float = 1.0,
) -> Series:
    """Acceleration in g at `SAMPLE_RATE_HZ`.

    Args:
        speed_hz: turns of the shaft a second; 0: the machine stands, and there is little but noise.
        velocity_mm_s: RMS of the velocity of the healthy machine at that speed.
        fault: what is damaged; None, or a fault that vibration does not show: nothing.
        damage: 0 to 1 (functional failure).
    """
    count = round(duration_s * SAMPLE_RATE_HZ)
    noise = rng.standard_normal(count)
    phase = rng.uniform(0, 2 * np.pi, 12)
    if speed_hz <= 0:
        still: Series = 0.1 * _NOISE_G * noise
        return still
    at = np.arange(count) / SAMPLE_RATE_HZ
    turn = 2 * np.pi * speed_hz * at
    # A healthy machine has a little of everything: unbalance most, misalignment and looseness less.
    parts = {1: 0.9 * velocity_mm_s, 2: 0.35 * velocity_mm_s, 3: 0.2 * velocity_mm_s}
    if fault is FaultKind.UNBALANCE:
        parts[1] = float(np.hypot(parts[1], 8 * damage))
    elif fault is FaultKind.MISALIGNMENT:
        parts[1] = float(np.hypot(parts[1], 3 * damage))
        parts[2] = float(np.hypot(parts[2], 7 * damage))
    signal: Series = sum((_acceleration(rms, order * speed_hz) * np.sin(order * turn + phase[order])
                  for order, rms in parts.items()), start=np.zeros(count))  # fmt: skip
    signal += _NOISE_G * noise
    if machine is MachineKind.GEARBOX:
        signal += _mesh(turn, speed_hz, damage if fault is FaultKind.GEAR_WEAR else 0.0, phase)
    if fault is FaultKind.CAVITATION:
        # Bubbles collapse all the time: noise, weighted to high frequencies.
        hiss = np.diff(rng.standard_normal(count + 1))
        signal += 0.8 * damage * hiss
    if fault in {FaultKind.BEARING_INNER, FaultKind.BEARING_OUTER} and damage > 0:
        inner = fault is FaultKind.BEARING_INNER
        rate_hz = speed_hz * (bearing.bpfi if inner else bearing.bpfo)
        # Inner: the damage turns through the load zone once a turn (modulation by 1x); outer: it stays there.
        depth = 0.7 if inner else 0.05
        signal += _impacts(rate_hz, _IMPACT_G * damage**0.5, depth, speed_hz, float(phase[9]), count, rng)
    return signal


def _acceleration(velocity_rms_mm_s: float, frequency_hz: float) -> float:
    """Amplitude in g of a sine of this velocity: a = 2 pi f v."""
    return float(np.sqrt(2) * 2 * np.pi * frequency_hz * velocity_rms_mm_s / 1000 / _MS2_PER_G)


def _mesh(turn: Series, speed_hz: float, wear: float, phase: Series) -> Series:
    """Gear mesh: multiples of teeth x speed, amplitude-modulated once a turn, the more the teeth are worn."""
    modulated = 1 + (0.05 + 0.8 * wear) * np.sin(turn + phase[4])
    velocity = float(np.hypot(_MESH_MM_S, 6 * wear))
    total = np.zeros(turn.size)
    for multiple, part in ((1, 1.0), (2, 0.4), (3, 0.2)):
        amplitude = _acceleration(part * velocity, multiple * TEETH * speed_hz)
        total += amplitude * np.sin(multiple * TEETH * turn + phase[4 + multiple])
    mesh: Series = modulated * total
    return mesh


def _impacts(
    rate_hz: float,
    peak_g: float,
    depth: float,
    speed_hz: float,
    phase: float,
    count: int,
    rng: np.random.Generator,
) -> Series:
    """Impacts with slip that ring the housing: a train of pulses through a damped resonance."""
    pulses = int(count / SAMPLE_RATE_HZ * rate_hz) + 2
    gaps = (1 + _SLIP * rng.standard_normal(pulses)) / rate_hz
    moments = np.cumsum(gaps) - gaps[0] * rng.random()
    at = np.round(moments * SAMPLE_RATE_HZ).astype(np.int64)
    inside = at < count
    strength = (1 + depth * np.sin(2 * np.pi * speed_hz * moments + phase)) * (1 + 0.1 * rng.standard_normal(pulses))
    train = np.zeros(count)
    np.add.at(train, at[inside], strength[inside])
    # Impulse response exp(-zeta w t) sin(w t), as a recursion (poles at radius r, angle w).
    angle = 2 * np.pi * _RESONANCE_HZ / SAMPLE_RATE_HZ
    radius = np.exp(-_DAMPING * angle)
    ringing: Series = lfilter([0.0, radius * np.sin(angle)], [1.0, -2 * radius * np.cos(angle), radius**2], train)
    return peak_g * ringing
