"""`precursor evaluate detectors`: every kind there is, on the same made series."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from models.kinds import DETECTORS
from precursor.cli import group


@pytest.mark.slow
def test_every_kind_of_detector_has_its_figures_and_its_card(tmp_path: Path) -> None:
    found = CliRunner().invoke(group, ["evaluate", "detectors", "--json", "--card", str(tmp_path)])

    assert found.exception is None, (found.output, found.exception)
    (assessment,) = json.loads(found.stdout)["assessments"]
    kinds = {f"detector_{kind}" for kind in DETECTORS}
    assert {each["dataset"] for each in assessment["parts"]} == kinds
    assert {path.stem for path in tmp_path.glob("*.md")} == {"detectors", *kinds}
    auto = next(each for each in assessment["parts"] if each["dataset"] == "detector_auto")
    figures = {each["name"]: each for each in auto["figures"]}
    # A ramp of half a standard deviation a day on plain noise is found, not learned; and noise alone is no alarm.
    assert not any(name.startswith("white, drift") for name in auto["missed"])
    assert figures["events_detected"]["value"] > figures["events_detected"]["baselines"]["random"]
    assert figures["white_false_alarms_per_sensor_month"]["value"] == 0
