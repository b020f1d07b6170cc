"""The assessment on runs in the layout of SKAB: made ones, and the recorded ones where they are."""

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from precursor.assessment.report import Assessment
from precursor.assessment.skab import assess
from telemetry.errors import ConfigurationError

SENSORS = ("Pressure", "Flow", "Current")


def write(path: Path, values: npt.NDArray[np.float64], label: npt.NDArray[np.bool_] | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    time = np.datetime64("2020-03-09T10:00:00") + np.arange(len(values)).astype("timedelta64[s]")
    head = ["datetime", *SENSORS[: values.shape[1]]] + ([] if label is None else ["anomaly", "changepoint"])
    lines = [";".join(head)]
    for number, (moment, row) in enumerate(zip(time, values, strict=True)):
        cells = [str(moment).replace("T", " "), *(f"{value:.5f}" for value in row)]
        lines.append(";".join(cells + ([] if label is None else [f"{float(label[number])}", "0.0"])))
    path.write_text("\n".join(lines) + "\n")


def run(seed: int, *, rows: int = 620, shift: float = 8.0) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    values = np.random.default_rng(seed).normal(10.0, 1.0, (rows, 3))
    label = np.zeros(rows, np.bool_)
    label[500:600] = True
    values[label, seed % 3] += shift
    return values, label


def figures(found: Assessment) -> dict[str, float]:
    return {figure.name: figure.value for figure in found.figures}


def quietly(_step: str) -> None:
    pass


def test_made_runs_of_any_number_and_names_are_judged(tmp_path: Path) -> None:
    for number in range(3):
        write(tmp_path / "pump" / f"{number}.csv", *run(number))
    write(tmp_path / "more" / "deep" / "quiet.csv", np.random.default_rng(9).normal(5.0, 1.0, (1200, 3)), None)
    found = assess(tmp_path, seed=1, watch=quietly)
    assert figures(found)["events_detected"] == 3
    assert figures(found)["false_alarms_per_h"] == 0
    assert figures(found)["auc_pr"] > 0.95
    assert found.figures[0].aim == ">= 2.57"
    assert set(found.figures[0].baselines) >= {"always_alarm", "random", "plain_ewma", "pca"}
    assert found.missed == ()
    assert found.details["normal_recordings"]["pieces"] == 1
    assert found.details["normal_recordings"]["false_alarms"] == 0
    json.dumps(found.as_json(), allow_nan=False)


def test_what_comes_later_changes_no_score_before(tmp_path: Path) -> None:
    values, label = run(1)
    write(tmp_path / "short" / "1.csv", values, label)
    write(
        tmp_path / "long" / "1.csv", np.vstack((values, values[:100] * 50)), np.append(label, np.zeros(100, np.bool_))
    )
    short, long_ = (assess(tmp_path / name, seed=1, watch=quietly).details["events"] for name in ("short", "long"))
    assert short[0] == long_[0]


def test_events_that_are_not_to_be_seen_are_named_as_missed(tmp_path: Path) -> None:
    write(tmp_path / "a" / "1.csv", *run(1))
    write(tmp_path / "a" / "2.csv", *run(2, shift=0.0))
    found = assess(tmp_path, seed=1, watch=quietly)
    assert found.missed == ("a/2",)
    assert not found.met


@pytest.mark.parametrize(
    ("rows", "columns", "label", "message"),
    [
        pytest.param(300, 3, True, "has 300 rows; the first 400 are to learn from", id="short"),
        pytest.param(700, 1, True, "has 1 sensors; two or more", id="one sensor"),
        pytest.param(700, 3, False, "with a column anomaly", id="nothing labelled"),
    ],
)
def test_a_file_of_another_layout_is_refused_by_name(
    rows: int, columns: int, label: bool, message: str, tmp_path: Path
) -> None:
    values, labels = run(1, rows=max(rows, 620))
    write(tmp_path / "1.csv", values[:rows, :columns], labels[:rows] if label else None)
    with pytest.raises(ConfigurationError, match=message):
        assess(tmp_path, seed=1, watch=quietly)


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="with a column anomaly"):
        assess(tmp_path, seed=1, watch=quietly)


@pytest.mark.slow
def test_the_recorded_runs_meet_every_aim(recorded_data: Path) -> None:
    found = assess(recorded_data / "skab", seed=1, watch=quietly)
    assert found.met, found.as_json()["figures"]
    plain = {figure.name: figure.baselines.get("plain_ewma") for figure in found.figures}
    assert plain["events_detected"] == 17
    assert plain["false_alarms_per_h"] == pytest.approx(4.0, abs=0.05)
