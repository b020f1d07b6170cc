"""Velocity from acceleration is exact, whatever the phase and wherever between two bins a line lies."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.vibration.quantities import Quantity, in_si, quantity_of
from models.vibration.spectrum import Background, PowerSpectrum, velocity_rms
from telemetry.errors import ConfigurationError

RATE_HZ = 12_800.0
TIME_S = np.arange(round(RATE_HZ)) / RATE_HZ


def acceleration(frequency_hz: float, velocity_rms_mm_s: float, phase: float) -> np.ndarray:
    """m/s² of a sine whose velocity is known."""
    peak = velocity_rms_mm_s * math.sqrt(2) / 1000 * math.tau * frequency_hz
    return peak * np.sin(math.tau * frequency_hz * TIME_S + phase)


@settings(max_examples=60, deadline=None)
@given(
    frequency_hz=st.floats(10.0, 1000.0),
    velocity=st.floats(0.01, 100.0),
    phase=st.floats(0.0, math.tau),
    offset=st.floats(-50.0, 50.0),
    drift=st.floats(-50.0, 50.0),
)
def test_the_velocity_of_a_sine_is_exact_to_one_percent_at_any_frequency_phase_offset_and_drift(
    frequency_hz: float, velocity: float, phase: float, offset: float, drift: float
) -> None:
    samples = acceleration(frequency_hz, velocity, phase) + velocity * (offset + drift * TIME_S)
    assert velocity_rms(samples, RATE_HZ, "m/s^2") == pytest.approx(velocity, rel=0.01)


@settings(max_examples=40, deadline=None)
@given(
    first_hz=st.floats(10.0, 60.0),
    gaps_hz=st.lists(st.floats(4.0, 150.0), min_size=1, max_size=5),
    velocities=st.lists(st.floats(0.5, 10.0), min_size=6, max_size=6),
    phases=st.lists(st.floats(0.0, math.tau), min_size=6, max_size=6),
)
def test_the_velocity_of_a_sum_of_sines_is_exact_to_one_percent(
    first_hz: float, gaps_hz: list[float], velocities: list[float], phases: list[float]
) -> None:
    frequencies = first_hz + np.cumsum([0.0, *gaps_hz])
    samples = np.sum([acceleration(*each) for each in zip(frequencies, velocities, phases, strict=False)], axis=0)
    expected = math.sqrt(sum(each**2 for each in velocities[: frequencies.size]))
    assert velocity_rms(samples, RATE_HZ, "m/s^2") == pytest.approx(expected, rel=0.01)


@settings(max_examples=20, deadline=None)
@given(frequency_hz=st.floats(10.0, 14.0), phase=st.floats(0.0, math.tau))
def test_a_block_of_five_periods_is_enough(frequency_hz: float, phase: float) -> None:
    samples = acceleration(frequency_hz, 1.0, phase)[: round(0.5 * RATE_HZ)]
    assert velocity_rms(samples, RATE_HZ, "m/s^2") == pytest.approx(1.0, rel=0.01)


def test_what_lies_outside_the_band_does_not_count() -> None:
    inside = acceleration(200.0, 1.0, 0.3)
    outside = acceleration(5.3, 5.0, 0.1) + acceleration(2345.6, 50.0, 0.2)
    assert velocity_rms(inside + outside, RATE_HZ, "m/s^2") == pytest.approx(1.0, rel=0.01)
    assert velocity_rms(outside, RATE_HZ, "m/s^2", low_hz=5.0) > 4


def test_a_drift_as_slow_as_the_block_does_no_harm() -> None:
    drift = 5.0 * np.sin(math.tau * 0.4 * TIME_S)
    assert velocity_rms(acceleration(50.0, 1.0, 0.0) + drift, RATE_HZ, "m/s^2") == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize(
    ("unit", "scale"), [("m/s^2", 1.0), ("g", 1 / 9.80665), ("g_0", 1 / 9.80665), ("mm/s^2", 1000.0)]
)
def test_the_unit_of_acceleration_makes_no_difference(unit: str, scale: float) -> None:
    assert velocity_rms(acceleration(87.3, 3.0, 1.0) * scale, RATE_HZ, unit) == pytest.approx(3.0, rel=0.01)


def test_a_velocity_is_not_integrated_again() -> None:
    samples = 3.0 * math.sqrt(2) * np.sin(math.tau * 87.3 * TIME_S)
    assert velocity_rms(samples, RATE_HZ, "mm/s") == pytest.approx(3.0, rel=0.01)


@pytest.mark.parametrize(
    ("seconds", "rate_hz"), [(0.1, 25_600.0), (0.4, 25_600.0), (1.0, 1_900.0)], ids=["0.1 s", "0.4 s", "too slow"]
)
def test_a_band_that_a_block_cannot_resolve_has_no_velocity(seconds: float, rate_hz: float) -> None:
    samples = np.sin(np.arange(round(seconds * rate_hz)))
    assert math.isnan(velocity_rms(samples, rate_hz, "g"))


def test_acceleration_is_refused_where_velocity_is_needed_and_the_error_says_what_to_do() -> None:
    assert quantity_of("g") is Quantity.ACCELERATION
    assert quantity_of("in/s") is Quantity.VELOCITY
    with pytest.raises(ConfigurationError, match=r"acceleration, and velocity is needed here.*integrate"):
        in_si(np.ones(3), "g", Quantity.VELOCITY)
    with pytest.raises(ConfigurationError, match="'degC' is no unit of vibration"):
        velocity_rms(np.ones(100), 100.0, "degC")


def test_a_line_counts_whole_wherever_it_lies_between_two_bins() -> None:
    spectrum = PowerSpectrum(RATE_HZ, TIME_S.size)
    for frequency_hz in (50.0, 50.25, 50.5, 50.8):
        straight = spectrum.straighten(2.0 * np.sin(math.tau * frequency_hz * TIME_S + 0.4))
        power = spectrum.power(spectrum.transform(straight))
        assert spectrum.line_rms(power, np.array([frequency_hz]))[0] == pytest.approx(math.sqrt(2), rel=0.005)
    assert math.isnan(spectrum.line_rms(power, np.array([RATE_HZ]))[0])


@pytest.mark.parametrize("averaged", [1, 5])
def test_noise_over_its_background_is_exponential_with_mean_one(averaged: int) -> None:
    random = np.random.default_rng(3)
    power = random.exponential(7.0, (averaged, 4, 3000)).mean(axis=0)
    relative = Background(3000, 100).relative(power, averaged)
    assert relative.mean() == pytest.approx(1.0, abs=0.05)
    assert np.mean(relative > 3) == pytest.approx(math.exp(-3), rel=0.15)
