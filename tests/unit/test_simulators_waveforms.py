"""Simulated waveforms: each fault at its frequencies, and only there."""

import numpy as np
import numpy.typing as npt
import pytest
from scipy.signal import butter, hilbert, sosfiltfilt

from simulators.bearings import BEARING, TEETH
from simulators.conditions import generator
from simulators.faults import FaultKind, MachineKind
from simulators.waveforms import SAMPLE_RATE_HZ, waveform

SPEED_HZ = 24.7


def samples(
    fault: FaultKind | None, damage: float = 0.3, machine: MachineKind = MachineKind.PUMP, speed_hz: float = SPEED_HZ
) -> npt.NDArray[np.float64]:
    return waveform(
        machine=machine,
        bearing=BEARING,
        speed_hz=speed_hz,
        velocity_mm_s=1.5,
        fault=fault,
        damage=damage,
        rng=generator(4, "waveform"),
    )


def envelope_spectrum(signal: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Amplitude by Hz (1 s has a line a Hz)."""
    band = sosfiltfilt(butter(4, (2500, 4500), "bandpass", fs=SAMPLE_RATE_HZ, output="sos"), signal)
    envelope = np.abs(hilbert(band))
    return np.abs(np.fft.rfft(envelope - envelope.mean())) / signal.size * 2


def velocity_mm_s(signal: npt.NDArray[np.float64], frequency_hz: float) -> float:
    """RMS of the line at a frequency: v = a / (2 pi f)."""
    window = np.hanning(signal.size)
    lines = np.abs(np.fft.rfft(signal * window)) / window.sum() * 2
    near = slice(round(frequency_hz) - 2, round(frequency_hz) + 3)
    acceleration = np.sqrt((lines[near] ** 2).sum() / 1.5)
    return float(acceleration * 9806.65 / (2 * np.pi * frequency_hz) / np.sqrt(2))


def top(spectrum: npt.NDArray[np.float64], frequency_hz: float) -> float:
    at = round(frequency_hz)
    return float(spectrum[at - 2 : at + 3].max())


@pytest.mark.parametrize(
    ("fault", "own", "other"),
    [
        (FaultKind.BEARING_INNER, BEARING.bpfi, BEARING.bpfo),
        (FaultKind.BEARING_OUTER, BEARING.bpfo, BEARING.bpfi),
    ],
)
def test_a_damaged_race_rings_at_its_own_frequency(fault: FaultKind, own: float, other: float) -> None:
    spectrum = envelope_spectrum(samples(fault))
    healthy = envelope_spectrum(samples(None))
    floor = np.median(spectrum[20:500])
    assert top(spectrum, own * SPEED_HZ) > 5 * floor
    assert top(spectrum, own * SPEED_HZ) > 4 * top(spectrum, other * SPEED_HZ)
    assert top(spectrum, own * SPEED_HZ) > 10 * top(healthy, own * SPEED_HZ)


def test_the_inner_race_is_modulated_by_the_shaft_and_the_outer_is_not() -> None:
    def sideband(fault: FaultKind, order: float) -> float:
        spectrum = envelope_spectrum(samples(fault))
        return top(spectrum, (order - 1) * SPEED_HZ) / top(spectrum, order * SPEED_HZ)

    assert sideband(FaultKind.BEARING_INNER, BEARING.bpfi) > 2 * sideband(FaultKind.BEARING_OUTER, BEARING.bpfo)


def test_frequencies_of_a_bearing_are_those_of_its_geometry() -> None:
    # 6205 in the CWRU recordings: 5.4152 and 3.5848 and 0.39828 times the shaft.
    assert BEARING.bpfi == pytest.approx(5.4152, rel=1e-3)
    assert BEARING.bpfo == pytest.approx(3.5848, rel=1e-3)
    assert BEARING.ftf == pytest.approx(0.39828, rel=1e-3)


@pytest.mark.parametrize(
    ("fault", "order", "velocity"),
    [
        (None, 1, 1.35),
        (FaultKind.UNBALANCE, 1, np.hypot(1.35, 8 * 0.3)),
        (FaultKind.MISALIGNMENT, 2, np.hypot(0.525, 2.1)),
    ],
)
def test_shaft_faults_have_their_velocity_at_their_order(fault: FaultKind | None, order: int, velocity: float) -> None:
    assert velocity_mm_s(samples(fault), order * SPEED_HZ) == pytest.approx(velocity, rel=0.1)


def test_worn_teeth_raise_the_mesh_and_its_sidebands() -> None:
    mesh = TEETH * SPEED_HZ

    def lines(damage: float) -> tuple[float, float]:
        signal = samples(FaultKind.GEAR_WEAR, damage, MachineKind.GEARBOX)
        return velocity_mm_s(signal, mesh), velocity_mm_s(signal, mesh + SPEED_HZ)

    (healthy, beside), (worn, worn_beside) = lines(0.0), lines(0.5)
    assert worn > 3 * healthy
    assert worn_beside / worn > 3 * beside / healthy


def test_cavitation_is_broad_band_noise() -> None:
    quiet, loud = (np.abs(np.fft.rfft(samples(fault, 0.8)))[3000:] for fault in (None, FaultKind.CAVITATION))
    assert np.median(loud) > 5 * np.median(quiet)
    assert loud.max() / np.median(loud) < 10


def test_a_machine_at_rest_makes_next_to_no_vibration() -> None:
    assert samples(FaultKind.BEARING_INNER, 1.0, speed_hz=0.0).std() < 0.01
