"""The assessment of bearings run to failure: on bearings made up, and on recorded ones."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from precursor.assessment.femto import assess
from precursor.assessment.femto_life import BearingLife, foretell
from precursor.assessment.report import Assessment
from telemetry.errors import ConfigurationError

BANDS = ("b0_1k", "b1_3k", "b3_6k", "b6_12.8k")


def _write(folder: Path, name: str, *, rows: int, onset: int, seed: int, bands: int = 4) -> None:
    """A bearing whose bands double every 20 minutes from an onset on."""
    generator = np.random.default_rng(seed)
    growth = 2 ** (np.maximum(np.arange(rows) - onset, 0) / 120)
    columns: dict[str, object] = {"bearing": name, "t_s": 10 * np.arange(rows), "rul_s": 10 * np.arange(rows)[::-1]}
    for axis in "hv":
        for place, band in enumerate(BANDS):
            scatter = np.exp(generator.normal(0, 0.1, rows))
            columns[f"{axis}_{band}"] = 0.1 * scatter * (growth if place < bands else 1.0)
        columns[f"{axis}_kurt"] = 3 * np.exp(generator.normal(0, 0.05, rows))
        columns[f"{axis}_rms"] = 0.2 * growth * np.exp(generator.normal(0, 0.05, rows))
        columns[f"{axis}_peak"] = growth * np.exp(generator.normal(0, 0.1, rows))
    pd.DataFrame(columns).to_csv(folder / f"{name}.csv", index=False)


def _assess(folder: Path) -> Assessment:
    return assess(folder, seed=1, watch=lambda _: None)


def _values(assessment: Assessment) -> dict[str, float]:
    return {figure.name: figure.value for figure in assessment.figures}


def test_bearings_that_wear_out_are_noticed_in_time_and_foretold(tmp_path: Path) -> None:
    for place in range(4):
        _write(tmp_path, f"Bearing9_{place}", rows=600, onset=400, seed=place)

    found = _assess(tmp_path)

    values = _values(found)
    assert found.met
    assert values["bearings_detected"] == 4
    assert values["alarms_before_half_life"] == 0
    assert 17 < values["median_lead"] < 33
    assert values["trend_answered"] > 0.7
    assert values["pf_interval_mean_absolute_error"] < 5
    assert found.missed == ()
    assert found.as_json()["details"]["bearings"][0]["name"] == "Bearing9_0"


def test_what_goes_wrong_is_told_by_name(tmp_path: Path) -> None:
    _write(tmp_path, "Bearing9_0", rows=500, onset=2000, seed=0)
    _write(tmp_path, "Bearing9_1", rows=1000, onset=360, seed=1)

    found = _assess(tmp_path)

    assert found.missed == ("Bearing9_0: never detected", "Bearing9_1: alarm before half of life")
    assert not found.met
    # Neither is a lead.
    assert _values(found)["median_lead"] == 0
    assert _values(found)["false_alarms_per_h"] > 0


def test_a_single_bearing_is_assessed_and_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no Bearing\*\.csv"):
        _assess(tmp_path)

    _write(tmp_path, "Bearing9_0", rows=500, onset=350, seed=0)
    found = _assess(tmp_path)

    assert _values(found)["bearings_detected"] == 1
    assert np.isnan(_values(found)["age_mean_absolute_error"])


def test_a_file_without_a_column_names_it(tmp_path: Path) -> None:
    _write(tmp_path, "Bearing9_0", rows=50, onset=20, seed=0)
    path = tmp_path / "Bearing9_0.csv"
    pd.read_csv(path).drop(columns="v_kurt").to_csv(path, index=False)

    with pytest.raises(ConfigurationError, match="v_kurt"):
        _assess(tmp_path)


def test_what_a_bearing_is_foretold_does_not_come_from_its_own_end() -> None:
    def bearings(end_s: float) -> list[BearingLife]:
        others = [
            BearingLife(name=str(life), age_s=np.array([0.0, life]), peak_g=np.ones(2), alarm_age_s=0.8 * life)
            for life in (4000.0, 5000.0, 7000.0, 9000.0)
        ]
        own = BearingLife(name="own", age_s=np.array([0.0, end_s]), peak_g=np.ones(2), alarm_age_s=5000.0)
        return [*others, own]

    def first_errors(end_s: float) -> list[float]:
        own = [each for each in bearings(end_s) if each.name == "own"]
        rest = [each for each in bearings(end_s) if each.name != "own"]
        # Without an alarm the others give no prognoses, but their lives are there to learn from.
        quiet = [BearingLife(name=each.name, age_s=each.age_s, peak_g=each.peak_g, alarm_age_s=None) for each in rest]
        found = foretell([*quiet, *own], run_in_s=3600.0, watch=lambda _: None)
        error = found["age"]["prognoses"].mean_error_s
        assert error is not None
        return [error + end_s - 5000.0]

    # One prognosis each (the next would come after the end): the same P50, whenever it ended.
    assert first_errors(5100.0) == pytest.approx(first_errors(5200.0))


def test_recorded_bearings_that_fail_abruptly_are_noticed_in_the_second_half(
    recorded_data: Path, tmp_path: Path
) -> None:
    for name in ("Bearing2_2", "Bearing3_1"):
        (tmp_path / f"{name}.csv").symlink_to(recorded_data / "femto_learning" / f"{name}.csv")

    found = _assess(tmp_path)

    by_name = {each["name"]: each for each in found.details["bearings"]}
    assert 0.3 < by_name["Bearing2_2"]["lead_share"] < 0.5
    assert 0.03 < by_name["Bearing3_1"]["lead_share"] < 0.06
    # What the data README prints for the plain chart, minutes before failure.
    assert by_name["Bearing2_2"]["plain_ewma_lead_min"] == pytest.approx(93, abs=6)
    assert by_name["Bearing3_1"]["plain_ewma_lead_min"] == pytest.approx(2.8, abs=1)


@pytest.mark.slow
def test_all_recorded_bearings(recorded_data: Path) -> None:
    found = _assess(recorded_data / "femto_learning")

    assert found.met
    assert _values(found)["pf_interval_mean_absolute_error"] < 0.7 * next(
        figure.baselines["mean_life"] for figure in found.figures if figure.name == "pf_interval_mean_absolute_error"
    )
