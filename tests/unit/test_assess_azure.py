"""Failures foretold from events: files as they come, alarms counted as they are said to be."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from precursor.assessment import azure
from precursor.assessment.azure import assess
from precursor.assessment.azure_events import instants_of, read_events
from telemetry.errors import ConfigurationError


def quiet(_: str) -> None:
    """Nobody watches."""


def sample(recorded_data: Path, folder: Path, machines: int) -> Path:
    """The events of the first machines only."""
    for path in (recorded_data / "azure_pdm_events").glob("*.csv.gz"):
        table = pd.read_csv(path)
        table[table["machineID"] <= machines].to_csv(folder / path.name.removesuffix(".gz"), index=False)
    return folder


def write(folder: Path) -> None:
    (folder / "PdM_errors.csv").write_text(
        "datetime,machineID,errorID\n2020-01-01 07:00:00,1,e1\n2020-01-02 06:00:00,2,e2\n2020-01-01 09:00:00,1,e1\n"
    )
    (folder / "PdM_failures.csv").write_text("datetime,machineID,failure\n2020-01-09 06:00:00,2,pump\n")
    (folder / "PdM_maint.csv").write_text("datetime,machineID,comp\n2019-12-31 23:00:00,1,pump\n")
    (folder / "PdM_machines.csv").write_text("machineID,model,age\n1,m4,3\n2,m2,7\n")


def test_events_become_hours_by_machine_and_kind(tmp_path: Path) -> None:
    write(tmp_path)
    events = read_events(tmp_path)
    assert (events.errors, events.components) == (("e1", "e2"), ("pump",))
    assert str(events.midnight) == "2020-01-01 00:00:00"
    assert events.end == 198
    assert events.cut == 120
    first, second = events.machines
    assert [each.tolist() for each in first.errors] == [[7.0, 9.0], []]
    assert [each.tolist() for each in first.replaced] == [[-1.0]]
    assert (first.traits, second.traits) == ((1.0, 3.0), (0.0, 7.0))
    assert events.failures[1][0].tolist() == [198.0]


def test_files_that_do_not_fit_are_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(ConfigurationError, match="too few events"):
        assess(tmp_path, seed=0, watch=quiet)
    (tmp_path / "PdM_maint.csv").write_text("when,machineID,comp\n")
    with pytest.raises(ConfigurationError, match=r"PdM_maint.*datetime"):
        read_events(tmp_path)
    (tmp_path / "PdM_maint.csv").unlink()
    with pytest.raises(ConfigurationError, match="no file of maint"):
        read_events(tmp_path)


def test_alarms_are_counted_by_instant_by_failure_and_by_episode(tmp_path: Path) -> None:
    write(tmp_path)
    events = read_events(tmp_path)
    asked = instants_of(events).between(144, np.inf)
    assert asked.time.tolist() == list(range(144, 175, 3))
    # Due from 24 h before the failure at 198 h on: the instants at 174 h only, on machine 2.
    assert np.argwhere(asked.due).tolist() == [[1, 10, 0]]
    alarm = np.zeros_like(asked.due)
    alarm[0, 2:4] = alarm[1, 8:11] = True
    verdict = azure._judge(events, asked, alarm)
    assert (verdict.failures, verdict.caught, verdict.leads.tolist()) == (1, 1, [24.0])
    assert (verdict.precision, verdict.recall) == (1 / 5, 1.0)
    # The right alarm began before the failure was due: as an episode it was false.
    assert (verdict.episodes, verdict.true_episodes) == (2, 0)


def test_a_sample_of_machines_is_foretold_in_time_and_the_component_named(recorded_data: Path, tmp_path: Path) -> None:
    assessment = assess(sample(recorded_data, tmp_path, 15), seed=0, watch=quiet, effort=0.4)
    figures = {figure.name: figure for figure in assessment.figures}
    assert figures["precision"].value > 0.7 > 2 * figures["precision"].baselines["last_error"]
    assert figures["recall"].value > 0.7 > figures["recall"].baselines["random"]
    assert figures["component_named_right"].value > 0.9
    assert figures["precision"].baselines["always"] == pytest.approx(assessment.details["prevalence"])
    told = sum(sum(row.values()) for row in assessment.details["confusion"].values())
    assert told == assessment.details["model"]["failures"]
    assert len(assessment.missed) == told - assessment.details["model"]["caught"]


@pytest.mark.slow
def test_failures_are_foretold_as_well_as_is_aimed_at_and_the_future_is_not_known(
    recorded_data: Path, tmp_path: Path
) -> None:
    whole = recorded_data / "azure_pdm_events"
    assessment = assess(whole, seed=1, watch=quiet)
    assert assessment.met, assessment.figures
    assert assessment.details["model"]["failures"] == 232

    # Failures of the judged time are told to nobody: without them, the model and its limit are the same.
    for path in whole.iterdir():
        shutil.copy(path, tmp_path / path.name)
    failures = pd.read_csv(tmp_path / "PdM_failures.csv.gz")
    failures[failures["datetime"] < "2015-10-01"].to_csv(tmp_path / "PdM_failures.csv.gz", index=False)
    again = assess(tmp_path, seed=1, watch=quiet)
    assert again.details["limit"] == assessment.details["limit"]
    assert again.details["model"]["episodes"] == assessment.details["model"]["episodes"]
