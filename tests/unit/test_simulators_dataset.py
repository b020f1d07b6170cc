"""Simulated data sets: what is written can be back-tested, applied and read, and sad paths are told."""

import json
import resource
from pathlib import Path

import click
import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from precursor.backtest.labels import read_failures
from precursor.cli.simulate import simulate as simulate_command
from precursor.plantfile.reader import open_plant_file
from simulators.conditions import Profile
from simulators.dataset import check_folder, write_dataset
from simulators.faults import FaultKind, MachineKind, SensorFaultKind
from simulators.runs import simulate
from simulators.suite import suite
from telemetry.errors import ConfigurationError
from telemetry.plant import AssetState
from telemetry.reading_files import ReadingFile

SCENARIOS = suite(
    3,
    seed=2,
    duration_s=4 * 86_400.0,
    interval_s=600.0,
    machines=[MachineKind.GEARBOX],
    faults=[FaultKind.BEARING_OUTER, SensorFaultKind.DROPOUT, None],
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("simulated") / "set"
    written = write_dataset(out, SCENARIOS, waveform_every_s=86_400.0)
    assert (written.runs, written.faults, written.sensor_faults) == (3, 1, 1)
    assert written.readings == pq.read_metadata(out / "readings.parquet").num_rows
    return out


def test_readings_are_those_of_the_runs_as_other_commands_read_them(folder: Path) -> None:
    source = ReadingFile(folder / "readings.parquet")
    frame = pq.read_table(folder / "readings.parquet").to_pandas()
    assert set(source.schema.names) == {"time", "sensor", "value", "quality"}
    for scenario in SCENARIOS:
        run = simulate(scenario)
        for point, values, quality in zip(run.points, run.value, run.quality, strict=True):
            mine = frame[frame.sensor == f"{scenario.asset}.{point.name}"]
            sent = np.isfinite(values)
            np.testing.assert_array_equal(mine.value, values[sent])
            np.testing.assert_array_equal(
                mine.time.dt.tz_localize(None).to_numpy().astype("M8[us]").astype(np.int64), run.time[sent]
            )
            assert (mine.quality == "bad").sum() == (quality[sent] == 2).sum()
    states = frame[frame.sensor == "M-000.state"]
    assert AssetState.FAILED in set(states.value.astype(int))
    # Each sensor's readings ascend: a backtest takes them as they come.
    assert frame.groupby("sensor", observed=True).time.is_monotonic_increasing.all()


def test_labels_say_what_was_wrong_and_when(folder: Path) -> None:
    labels = json.loads((folder / "labels.json").read_text())
    bearing, dropout, healthy = labels["runs"]
    plan = SCENARIOS[0].fault
    assert plan is not None
    assert bearing["faults"][0]["kind"] == "bearing_outer"
    assert bearing["faults"][0]["component"] == "drive-end bearing, outer race"
    assert bearing["faults"][0]["onset_at"] == plan.onset_at.isoformat()
    assert dropout["sensor_faults"][0]["sensor"].startswith("M-001.")
    assert (healthy["faults"], healthy["sensor_faults"]) == ([], [])
    assert {each["state"] for each in bearing["states"]} >= {"running", "failed"}
    [failure] = read_failures(folder / "failures.csv", {"M-000"})
    assert (failure.began_at, failure.failure_at) == (plan.onset_at, plan.functional_failure_at)


def test_the_plant_file_is_one(folder: Path) -> None:
    plant = open_plant_file(folder / "plant.yaml").definition()
    names = {sensor.name for sensor in plant.sensors}
    assert set(pq.read_table(folder / "readings.parquet")["sensor"].to_pylist()) <= names
    assert "M-000.vib_wave" in names


def test_waveforms_have_the_form_of_an_export(folder: Path) -> None:
    with np.load(folder / "waveforms" / "M-000.vib_wave.npz", allow_pickle=False) as blocks:
        assert blocks["time"].size == blocks["sample_rate_hz"].size == blocks["unit"].size == len(blocks.files) - 3
        name = f"{blocks['time'][0]}Z"
        assert blocks[name].shape == (25_600,)
        assert set(blocks["unit"]) == {"g_0"}


def test_a_folder_that_is_there_is_left_alone(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is there already"):
        write_dataset(folder, SCENARIOS, waveform_every_s=0)
    with pytest.raises(ConfigurationError, match="there is no folder"):
        check_folder(tmp_path / "nowhere" / "set")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        check_folder(tmp_path / ("long" * 100))


def test_without_room_nothing_is_left_behind(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(ConfigurationError, match="nothing of it was kept"):
            write_dataset(tmp_path / "set", SCENARIOS[:1], waveform_every_s=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(simulate_command, arguments)
    said = (
        result.output if result.exception is None or isinstance(result.exception, SystemExit) else str(result.exception)
    )
    return result.exit_code, said


def test_the_command_writes_the_same_set_for_the_same_seed(tmp_path: Path) -> None:
    given = (
        "--count",
        "2",
        "--duration",
        "86400",
        "--interval",
        "600",
        "--waveform-every",
        "0",
        "--fault",
        "overheating",
    )
    for name in ("one", "two"):
        code, said = run("--dataset", str(tmp_path / name), *given, "--machine", "fan", "--json")
        assert code == 0, said
        assert json.loads(said)["faults"] == 2
    one, two = (pq.read_table(tmp_path / name / "readings.parquet") for name in ("one", "two"))
    assert one.equals(two)
    assert not (tmp_path / "one" / "waveforms").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--dataset", "x", "--speed", "5"], "--speed is for readings that are sent"),
        (["--count", "3"], "--count is for data sets"),
        (["--dataset", "x", "--fault", "rust"], "'rust' is not one of"),
        (["--dataset", "x", "--count", "0"], "--count"),
        (["--dataset", "x", "--seed", "-1"], "--seed"),
        (["--dataset", "x", "--machine", "fan", "--fault", "gear_wear"], "gear_wear is no fault of a fan"),
        (["--dataset", "x", "--duration", "30"], "no two readings"),
    ],
)
def test_options_that_make_no_sense_are_told(arguments: list[str], said: str, tmp_path: Path) -> None:
    code, output = run(*[str(tmp_path / "set") if each == "x" else each for each in arguments])
    assert code != 0
    assert said in output
    assert list(tmp_path.iterdir()) == []


def test_the_options_offer_what_there_is() -> None:
    choices = {
        parameter.name: set(parameter.type.choices)
        for parameter in simulate_command.params
        if isinstance(parameter.type, click.Choice)
    }
    assert choices == {
        "machines": set(MachineKind),
        "scenario": set(Profile),
        "faults": {*FaultKind, "none"},
        "sensor_faults": {*SensorFaultKind, "none"},
    }
