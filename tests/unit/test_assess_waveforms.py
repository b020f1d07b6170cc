"""Recordings of bearings, as they come, judged from geometry and speed; and the zones of ISO 20816."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.io

from models.vibration.bearings import bearing
from precursor.assessment import waveforms
from precursor.assessment.recordings import read_recordings
from precursor.assessment.synthetic_vibration import bearing_signal
from precursor.assessment.waveforms import assess, iso_zone
from precursor.bench.waveform import measure_waveform
from rules.iso_20816 import ZONES, Foundation
from telemetry.errors import ConfigurationError


def signal(part: str | None, designation: str, speed_hz: float, rate_hz: float, seed: int = 0) -> np.ndarray:
    return bearing_signal(
        np.random.default_rng(seed),
        part,
        bearing(designation),
        speed_hz=speed_hz,
        sample_rate_hz=rate_hz,
        seconds=3.0,
        snr_db=0.0,
    )


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fewer synthetic blocks, and no recording four times over: those figures are not looked at here."""
    monkeypatch.setattr(waveforms, "_SNRS_DB", (0.0,))
    monkeypatch.setattr(waveforms, "_SYNTHETIC", 1)
    monkeypatch.setattr(waveforms, "_SYNTHETIC_HEALTHY", 2)
    monkeypatch.setattr(waveforms, "_robustness", lambda *_: {})


@pytest.mark.usefixtures("quick")
def test_the_recorded_bearings_are_named_from_geometry_and_speed(recorded_data: Path) -> None:
    steps: list[str] = []
    assessment = assess(recorded_data / "waveforms", seed=1, watch=steps.append)
    figures = {figure.name: figure for figure in assessment.figures}
    for kind in ("healthy", "inner", "outer", "ball"):
        assert figures[f"named_{kind}"].value == 1, assessment.missed
        assert set(figures[f"named_{kind}"].baselines) == {"always_outer", "random", "kurtosis"}
    assert figures["iso_zone_error"].value <= 0.01
    assert assessment.met
    grown = assessment.details["snapshots"]["femto_bearing1_1_25k6"]
    assert min(grown.values()) > 1.5
    assert steps
    json.dumps(assessment.as_json(), allow_nan=False)


@pytest.mark.usefixtures("quick")
def test_the_original_files_of_both_rigs_are_read_and_named(tmp_path: Path) -> None:
    (tmp_path / "48k").mkdir()
    cases = {"105": "inner", "IR014_1": "inner", "OR021@6_2": "outer", "B007_0": "ball", "Normal_0": None}
    for seed, (name, part) in enumerate(cases.items()):
        rate_hz = 48_000.0 if part is None else 12_000.0
        samples = signal(part, "6205-2RS JEM SKF", 29.5, rate_hz, seed)
        content = {"X105_DE_time": samples[:, None], "X105_FE_time": np.ones((9, 1)), "X105RPM": [[1770]]}
        scipy.io.savemat(tmp_path / f"{name}.mat", content)
    scipy.io.savemat(tmp_path / "48k" / "135.mat", {"X135_DE_time": signal("outer", "6205-2RS JEM SKF", 29.95, 48e3)})
    samples = signal("inner", "NICE MFPT", 25.0, 48_828.0)
    content = {"gs": samples[:, None], "sr": 48_828, "rate": 25, "load": 100}
    scipy.io.savemat(tmp_path / "InnerRaceFault_vload_2.mat", {"bearing": content})
    scipy.io.savemat(tmp_path / "something else.mat", {"x": 1})

    read = {each.name: each for each in read_recordings(tmp_path)}
    assert read["105"].machine.speed_hz == pytest.approx(29.5)
    assert read["135"].sample_rate_hz == read["Normal_0"].sample_rate_hz == 48_000
    assert read["B007_0"].sample_rate_hz == 12_000
    assert "something else" not in read
    assessment = assess(tmp_path, seed=1, watch=lambda _: None)
    assert assessment.details["confusion"] == {
        "inner": {"inner": 3},
        "outer": {"outer": 2},
        "ball": {"ball": 1},
        "healthy": {"healthy": 1},
    }


@pytest.mark.usefixtures("quick")
def test_archives_of_other_speeds_ends_and_rates_are_read(tmp_path: Path) -> None:
    faults = {"normal": None, "ball_014": "ball", "unnamed": "outer"}
    columns = {name: signal(part, "6203-2RS JEM SKF", 1730 / 60, 12e3) for name, part in faults.items()}
    np.savez(
        tmp_path / "cwru_fan_end_12k_1730rpm.npz",
        normal=columns["normal"],
        ball_014=columns["ball_014"],
        unnamed=columns["unnamed"],
    )
    np.savez(
        tmp_path / "mfpt_baseline_1.npz",
        acceleration_g=signal(None, "NICE MFPT", 25.0, 97_656.0),
        sample_rate_hz=97_656,
        shaft_hz=25,
        load_lbf="270",
    )
    read = {each.name: each for each in read_recordings(tmp_path)}
    assert read["cwru_fan_end_12k_1730rpm/ball_014"].machine.bearings == (bearing("6203-2RS JEM SKF"),)
    assert read["mfpt_baseline_1"].truth == "healthy"
    assessment = assess(tmp_path, seed=1, watch=lambda _: None)
    assert assessment.details["not_judged"] == ["cwru_fan_end_12k_1730rpm/unnamed"]
    assert assessment.details["confusion"] == {"healthy": {"healthy": 2}, "ball": {"ball": 1}}


def test_a_folder_without_recordings_is_refused_with_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cwru_drive_end_12k_1797rpm\.npz"):
        assess(tmp_path, seed=1, watch=lambda _: None)


@pytest.mark.parametrize("key", sorted(ZONES, key=str), ids=str)
def test_zones_change_at_the_limits_of_the_table(key: tuple[int, Foundation]) -> None:
    zones = ZONES[key]
    for limit, below, above in ((zones.a_b, "A", "B"), (zones.b_c, "B", "C"), (zones.c_d, "C", "D")):
        assert iso_zone(limit, "mm/s", zones) == below
        assert iso_zone(limit * 1.01, "mm/s", zones) == above
        assert iso_zone(limit * 0.99 / 25.4, "in/s", zones) == below


def test_an_acceleration_has_no_zone() -> None:
    for unit in ("g_0", "m/s^2", "g"):
        with pytest.raises(ConfigurationError, match="zones of ISO 20816 are RMS velocities in mm/s"):
            iso_zone(1.0, unit, ZONES[2, Foundation.RIGID])


async def test_the_bench_finds_the_shaft_it_put_in() -> None:
    steps: list[str] = []
    (result,) = await measure_waveform(rounds=1, watch=steps.append)
    assert result.name == "detect.waveform"
    assert result.limit is not None
    assert 0 < result.limit < result.value
    assert len(steps) == 1
