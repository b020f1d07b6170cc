"""`precursor evaluate DATASET`, from a folder to figures, exit status and model card."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from precursor.assessment import datasets
from precursor.cli import group
from telemetry.errors import ConfigurationError, PrecursorError

HEAD = (
    "datetime;Accelerometer1RMS;Accelerometer2RMS;Current;Pressure;Temperature;Thermocouple;Voltage;Volume Flow RateRMS"
)


def typed(*words: str) -> Result:
    found = CliRunner().invoke(group, ["evaluate", *words])
    if found.exception is not None and not isinstance(found.exception, SystemExit | PrecursorError):
        raise found.exception
    return found


def write_runs(folder: Path, *, fall: float) -> Path:
    """Two runs of a pump like those of SKAB: in each the pressure is said to fall for two minutes."""
    (folder / "skab" / "valve1").mkdir(parents=True)
    generator = np.random.default_rng(7)
    start = np.datetime64("2020-03-09T10:00:00")
    usual, spread = [0.03, 0.04, 1.3, 0.4, 79, 26, 233, 32], [0.001, 0.001, 0.1, 0.1, 0.2, 0.02, 3, 0.1]
    for number in range(2):
        values = generator.normal(usual, spread, (700, 8))
        values[500:620, 3] -= fall
        lines = [f"{HEAD};anomaly;changepoint"]
        for row, readings in enumerate(values):
            moment = str(start + np.timedelta64(row, "s")).replace("T", " ")
            lines.append(";".join([moment, *map(str, readings), str(float(500 <= row < 620)), "0.0"]))
        (folder / "skab" / "valve1" / f"{number}.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs with anomalies that are plain to see."""
    return write_runs(tmp_path_factory.mktemp("data"), fall=5.0)


def test_a_folder_gives_figures_with_aims_and_baselines(data: Path, tmp_path: Path) -> None:
    found = typed("skab", "--data", str(data), "--json", "--card", str(tmp_path / "cards"))

    document: dict[str, Any] = json.loads(found.stdout)
    (assessment,) = document["assessments"]
    figures = {each["name"]: each for each in assessment["figures"]}
    assert (assessment["dataset"], document["seed"], document["left_out"]) == ("skab", 0, {})
    assert figures["events_detected"]["value"] == 2
    assert figures["events_detected"]["baselines"]["always_alarm"] == 0
    assert 0 < figures["events_detected"]["baselines"]["random"] < 1
    assert figures["auc_pr"]["value"] > 0.9
    assert figures["auc_pr"]["baselines"]["random"] == pytest.approx(120 / 300)
    assert "always alarm" in assessment["details"]["rows"]["warning"]
    card = (tmp_path / "cards" / "skab.md").read_text()
    pictures = sorted(path.name for path in (tmp_path / "cards").glob("*.png"))
    assert pictures
    assert all(f"]({name})" in card for name in pictures)
    assert all((tmp_path / "cards" / name).stat().st_size < 60_000 for name in pictures)
    assert "| events detected | 2 |" in card
    assert "precursor evaluate skab --seed 0" in card
    assert str(tmp_path) not in card


def test_a_missed_aim_fails_only_where_that_is_asked_for(tmp_path: Path) -> None:
    # Of an anomaly that is in the labels alone nothing can be seen.
    blind = write_runs(tmp_path, fall=0.0)

    told, strict = typed("skab", "--data", str(blind / "skab")), typed("skab", "--data", str(blind), "--strict")

    assert "MISSED" in told.stdout
    assert (told.exit_code, strict.exit_code) == (0, 1)


def test_data_that_is_not_there_is_told_with_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PRECURSOR_DATA", str(tmp_path / "nowhere"))

    found = typed("femto")

    assert isinstance(found.exception, ConfigurationError)
    for part in ("femto*", str(tmp_path / "nowhere"), "--data", "PRECURSOR_DATA"):
        assert part in str(found.exception)
    assert "there are skab, femto" in str(typed("skap").exception)


def test_all_leaves_out_what_is_not_there(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = {name: datasets.DATASETS[name] for name in ("skab", "azure")}
    monkeypatch.setattr(datasets, "DATASETS", some)

    document = json.loads(typed("all", "--data", str(data), "--json").stdout)

    assert [each["dataset"] for each in document["assessments"]] == ["skab"]
    assert "azure*" in document["left_out"]["azure"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a DATASET, or a time"),
        (["skab", "--from", "2026-01-01"], "for stored scores"),
        (["--from", "2026-01-02", "--to", "2026-01-01"], "is not before"),
    ],
    ids=["nothing", "both", "backwards"],
)
def test_what_makes_no_sense_together_is_refused(words: list[str], said: str) -> None:
    found = typed(*words)

    assert found.exit_code == 2
    assert said in found.output
