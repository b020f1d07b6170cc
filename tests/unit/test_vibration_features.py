"""What every block gets: all features, never a wrong number where the block cannot tell."""

import math

import numpy as np
import pytest

from models.vibration.analyser import Analyser, feature_units, features
from models.vibration.bearings import bearing
from models.vibration.machine import MachineSpec
from models.vibration.shaft import SpeedSource
from telemetry.errors import ConfigurationError

RATE_HZ, COUNT = 25_600.0, 25_600
TIME_S = np.arange(COUNT) / RATE_HZ
MACHINE = MachineSpec(speed_hz=24.6, bearings=(bearing("UER204 LDK"),), gear_teeth=(31,), blades=7)
NOISE = np.random.default_rng(11).standard_normal(COUNT)


def line(frequency_hz: float, rms: float = 1.0) -> np.ndarray:
    return rms * math.sqrt(2) * np.sin(math.tau * frequency_hz * TIME_S + frequency_hz)


def values(samples: np.ndarray, unit: str = "m/s^2", machine: MachineSpec = MACHINE) -> dict[str, float]:
    return {name: value for name, (value, _) in features(samples, RATE_HZ, unit, machine).items()}


def test_there_are_exactly_the_features_announced_in_their_units() -> None:
    found = features(NOISE, RATE_HZ, "g", MACHINE)
    assert {name: unit for name, (_, unit) in found.items()} == feature_units(MACHINE)
    assert {"velocity_rms", "kurtosis", "bpfo", "bsf_score", "gear_sidebands", "one_x", "shaft_speed"} <= set(found)
    assert found["velocity_rms"][1] == "mm/s"
    assert found["bpfi"][1] == "m/s^2"


def test_a_second_bearing_renames_nothing() -> None:
    two = MachineSpec(speed_hz=24.6, bearings=(*MACHINE.bearings, bearing("NICE MFPT")), gear_teeth=(31,), blades=7)
    more = set(feature_units(two)) - set(feature_units(MACHINE))
    assert more == {f"{name}{score}_2" for name in ("bpfo", "bpfi", "bsf", "ftf") for score in ("", "_score")}


def test_twice_as_loud_is_twice_as_much_and_looks_the_same() -> None:
    samples = NOISE + line(24.6) + line(31 * 24.6)
    once, twice = values(samples), values(-2 * samples)
    for name, unit in feature_units(MACHINE).items():
        expected = 2 * once[name] if unit in {"m/s^2", "mm/s"} else once[name]
        expected = -once[name] if name == "skewness" else expected
        assert twice[name] == pytest.approx(expected, rel=1e-4, nan_ok=True), name


@pytest.mark.parametrize("offset", [3.0, -1e5])
def test_an_offset_changes_nothing(offset: float) -> None:
    with_offset, without = values(NOISE + offset), values(NOISE)
    for name, value in without.items():
        assert with_offset[name] == pytest.approx(value, rel=1e-3, abs=1e-9, nan_ok=True), name


@pytest.mark.parametrize("level", [0.0, 9.81, -1e8], ids=str)
def test_silence_and_a_constant_have_no_vibration_and_no_shape(level: float) -> None:
    found = values(np.full(COUNT, level, np.float32), "g")
    assert found["acceleration_rms"] == found["velocity_rms"] == found["peak"] == found["bpfo"] == 0
    assert math.isnan(found["kurtosis"])
    assert math.isnan(found["crest_factor"])
    assert math.isnan(found["shaft_speed"])
    assert found["bpfo_score"] == 0


def test_modulated_noise_has_its_depth_in_the_envelope_and_no_lines_beside_it() -> None:
    depth = 0.4
    envelope = Analyser(RATE_HZ, COUNT, MACHINE).analyse(3 * NOISE * (1 + depth * np.cos(math.tau * 80 * TIME_S)), "g")
    # Of the whole band: |e|² is on average twice the mean square, times (1 + depth cos)².
    square = 2 * (3 * 9.80665) ** 2
    assert math.sqrt(envelope.envelope.power[0, 80]) == pytest.approx(square * 2 * depth, rel=0.1)
    assert envelope.envelope.relative[:, 1:5].max() < 20
    assert envelope.envelope.kurtosis[0] == pytest.approx(
        2 * ((1 + 3 * depth**2 + 3 / 8 * depth**4) / (1 + depth**2 / 2) ** 2 - 1), abs=0.15
    )


def test_samples_that_are_not_finite_are_refused() -> None:
    for wrong in (np.nan, np.inf):
        samples = NOISE.copy()
        samples[77] = wrong
        with pytest.raises(ValueError, match="not finite"):
            values(samples)


def test_another_length_is_refused_and_so_are_units_of_neither_quantity() -> None:
    analyser = Analyser(RATE_HZ, COUNT, MACHINE)
    with pytest.raises(ValueError, match="one row of 25600"):
        analyser.features(NOISE[:-1], "g")
    with pytest.raises(ConfigurationError, match="no unit of vibration"):
        analyser.features(NOISE, "bar")
    with pytest.raises(ValueError, match="16 samples at least"):
        Analyser(RATE_HZ, 15, MACHINE)


@pytest.mark.parametrize("count", [16, 100, 2560])
def test_a_tenth_of_a_second_and_less_has_no_number_for_what_it_cannot_resolve(count: int) -> None:
    samples = NOISE[:count]
    found = {name: value for name, (value, _) in features(samples, RATE_HZ, "g", MACHINE).items()}
    unresolved = {"velocity_rms", "one_x", "half_x", "gear_mesh", "bpfo", "bpfi_score", "shaft_speed", "blade_pass"}
    assert all(math.isnan(found[name]) for name in unresolved)
    assert found["acceleration_rms"] == pytest.approx(9.80665 * samples.std(), rel=0.05)
    assert found["kurtosis"] > 1


def test_scalars_are_those_of_the_books() -> None:
    sine = values(line(100.3))
    assert sine["crest_factor"] == pytest.approx(math.sqrt(2), rel=0.01)
    assert sine["kurtosis"] == pytest.approx(1.5, rel=0.01)
    noise = values(NOISE)
    assert noise["kurtosis"] == pytest.approx(3.0, abs=0.15)
    assert noise["skewness"] == pytest.approx(0.0, abs=0.06)
    assert noise["acceleration_rms"] == pytest.approx(1.0, abs=0.02)
    assert noise["band_1000_5000hz"] == pytest.approx(math.sqrt(4000 / 12_800), rel=0.05)
    assert noise["peak_to_peak"] == pytest.approx(np.ptp(NOISE), rel=0.01)


def test_clipping_is_told() -> None:
    assert values(NOISE.astype(np.float32))["clipping"] == 0
    clipped = values(np.clip(NOISE, -1.5, 1.5))
    assert clipped["clipping"] == pytest.approx(np.mean(np.abs(NOISE) >= 1.5), abs=0.001)
    assert all(
        math.isfinite(value) or name.startswith("band_10000") for name, value in clipped.items() if "shaft" not in name
    )


def test_lines_of_the_shaft_and_of_gears_are_measured_to_one_percent() -> None:
    speed_hz = 24.71
    samples = line(speed_hz, 0.4) + line(2 * speed_hz, 0.3) + line(31 * speed_hz, 2.0) + line(32 * speed_hz, 0.5)
    found = values(samples + 0.001 * NOISE)
    assert found["shaft_speed"] == pytest.approx(speed_hz, abs=0.02)
    assert found["one_x"] == pytest.approx(0.4 / (math.tau * speed_hz) * 1000, rel=0.01)
    assert found["two_x"] == pytest.approx(0.3 / (math.tau * 2 * speed_hz) * 1000, rel=0.01)
    assert found["gear_mesh"] == pytest.approx(2.0, rel=0.01)
    assert found["gear_sidebands"] == pytest.approx(0.5, rel=0.02)


def test_the_speed_is_found_within_its_uncertainty_and_range() -> None:
    machine = MachineSpec(speed_range_hz=(10.0, 60.0))
    analyser = Analyser(RATE_HZ, COUNT, machine)
    for speed_hz in (12.3, 24.65, 41.07, 58.9):
        lines = line(speed_hz) + line(2 * speed_hz, 0.5) + line(3 * speed_hz, 0.3)
        found = analyser.analyse(lines + NOISE, "g").speed
        assert found is not None
        assert found.source is SpeedSource.FOUND
        assert abs(found.hz - speed_hz) <= 2 * found.uncertainty_hz < 0.4


def test_no_speed_is_made_up_from_noise() -> None:
    random = np.random.default_rng(5)
    machine = MachineSpec(speed_range_hz=(10.0, 60.0))
    analyser = Analyser(RATE_HZ, COUNT, machine)
    assert all(analyser.analyse(random.standard_normal(COUNT), "g").speed is None for _ in range(20))
    assumed = Analyser(RATE_HZ, COUNT, MACHINE).analyse(NOISE, "g")
    assert assumed.speed is not None
    assert assumed.speed.source is SpeedSource.ASSUMED
    assert math.isnan(assumed.features["shaft_speed"][0])


def test_a_measured_speed_is_taken_as_it_is() -> None:
    found = Analyser(RATE_HZ, COUNT, MACHINE).analyse(NOISE, "g", speed_hz=31.4)
    assert found.speed is not None
    assert (found.speed.hz, found.speed.source) == (31.4, SpeedSource.MEASURED)
    assert found.features["shaft_speed"] == (31.4, "Hz")


def test_a_velocity_sensor_has_velocities_and_no_peaks_of_acceleration() -> None:
    found = values(line(100.3, 2.0), "mm/s")
    assert found["velocity_rms"] == pytest.approx(2.0, rel=0.01)
    assert math.isnan(found["peak"])
    assert found["crest_factor"] == pytest.approx(math.sqrt(2), rel=0.01)
    assert found["band_10_1000hz"] == pytest.approx(2e-3 * math.tau * 100.3, rel=0.01)
