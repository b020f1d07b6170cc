"""Labelled data sets out of simulated runs: readings, waveforms, a plant file, and what was wrong when."""

import contextlib
import csv
import json
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from simulators.bearings import BEARING, TEETH
from simulators.conditions import generator
from simulators.faults import MachineKind
from simulators.machines import MACHINES
from simulators.runs import Run, Scenario, simulate
from simulators.waveforms import SAMPLE_RATE_HZ, waveform
from telemetry.arrow import ReadingEncoder
from telemetry.batch import ReadingBatch, to_datetime
from telemetry.catalogue import CatalogueSensor
from telemetry.errors import ConfigurationError
from telemetry.plant import AssetState, SensorKind

__all__ = ["Written", "check_folder", "write_dataset"]

SITE = "simulated"
_MADE_BY = "precursor simulate"
_STATE_EVERY_US = 3_600_000_000
_WAVEFORM = "vib_wave"
_ROWS_A_GROUP = 131_072


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a data set holds."""

    runs: int
    readings: int
    waveforms: int
    faults: int
    sensor_faults: int


def check_folder(folder: Path) -> None:
    """Refuse a folder that a data set cannot become, before any work.

    Raises:
        ConfigurationError: it is there already, or its parent is not.
    """
    with _told(folder):
        there, parent = folder.exists(), folder.absolute().parent.is_dir()
    if there:
        raise ConfigurationError(f"{str(folder)!r} is there already; name a folder that is not, it is made")
    if not parent:
        raise ConfigurationError(f"there is no folder {str(folder.absolute().parent)!r} to make {folder.name!r} in")


def write_dataset(
    folder: Path,
    scenarios: Sequence[Scenario],
    *,
    waveform_every_s: float,
    progress: Callable[[int], None] = lambda done: None,
) -> Written:
    """Simulate, and write all of it into a new folder, which is there whole or not at all.

    Args:
        scenarios: one asset each, of different names.
        waveform_every_s: s between waveforms of a machine at work; 0: none.
        progress: is told how many runs are done.

    Raises:
        ConfigurationError: the folder is there, or cannot be written (no space, no permission).
    """
    check_folder(folder)
    partial = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.partial")
    sensors = [_sensors(scenario, number) for number, scenario in enumerate(scenarios)]
    encoder = ReadingEncoder([sensor for some in sensors for sensor in some], made_by=_MADE_BY)
    readings = waveforms = 0
    labels = []
    with _told(folder), contextlib.ExitStack() as cleanup:
        partial.mkdir()
        cleanup.callback(shutil.rmtree, partial, ignore_errors=True)
        writer = pq.ParquetWriter(
            partial / "readings.parquet",
            encoder.schema,
            compression="zstd",
            use_dictionary=["sensor", "quality"],
            column_encoding={"time": "DELTA_BINARY_PACKED"},
        )
        with writer:
            for done, (scenario, own) in enumerate(zip(scenarios, sensors, strict=True), start=1):
                run = simulate(scenario)
                for batch in _batches(run, own):
                    writer.write_batch(encoder.encode(batch), row_group_size=_ROWS_A_GROUP)
                    readings += len(batch)
                if waveform_every_s > 0:
                    waveforms += _write_waveforms(partial, run, waveform_every_s)
                labels.append(_labels(run))
                progress(done)
        document = {"version": 1, "made_by": _MADE_BY, "runs": labels}
        (partial / "labels.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        _write_failures(partial / "failures.csv", scenarios)
        (partial / "plant.yaml").write_text(_plant(scenarios, sensors, waveform_every_s > 0), encoding="utf-8")
        partial.replace(folder)
        cleanup.pop_all()
    return Written(
        runs=len(scenarios),
        readings=readings,
        waveforms=waveforms,
        faults=sum(scenario.fault is not None for scenario in scenarios),
        sensor_faults=sum(len(scenario.sensor_faults) for scenario in scenarios),
    )


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        said = getattr(error, "strerror", None) or error
        raise ConfigurationError(
            f"{str(folder)!r} cannot be written: {said}; nothing of it was kept. Name another folder, or make room"
        ) from error


def _sensors(scenario: Scenario, number: int) -> list[CatalogueSensor]:
    """The state first, then the points of the machine."""
    base = number * 32
    described = [("state", SensorKind.STATE, "operating state", "")]
    described += [
        (point.name, SensorKind.MEASURED, point.quantity, point.unit) for point in MACHINES[scenario.machine].points
    ]
    return [
        CatalogueSensor(
            id=base + place,
            name=f"{scenario.asset}.{name}",
            kind=kind,
            quantity=quantity,
            unit=unit,
            assets=(scenario.asset,),
            site=SITE,
        )
        for place, (name, kind, quantity, unit) in enumerate(described)
    ]


def _batches(run: Run, sensors: Sequence[CatalogueSensor]) -> Iterator[ReadingBatch]:
    """A batch for each sensor, by time."""
    changed = np.diff(run.state, prepend=-1) != 0
    told = changed | ((run.time - run.time[0]) % _STATE_EVERY_US == 0)
    yield ReadingBatch.of(run.time[told], np.full(int(told.sum()), sensors[0].id), run.state[told])
    for sensor, value, quality in zip(sensors[1:], run.value, run.quality, strict=True):
        sent = np.isfinite(value)
        yield ReadingBatch.of(run.time[sent], np.full(int(sent.sum()), sensor.id), value[sent], quality[sent])


def _write_waveforms(folder: Path, run: Run, every_s: float) -> int:
    """Blocks of a machine at work as `precursor waveforms export` writes them, an array by its time."""
    scenario = run.scenario
    step = max(round(every_s / scenario.interval_s), 1)
    rng = generator(scenario.seed, "waveforms")
    vibration = next(row for row, point in enumerate(run.points) if point.name == "vib_de")
    healthy = (run.damage == 0) & (run.state == AssetState.RUNNING)
    usual = float(np.nanmedian(run.value[vibration][healthy])) if healthy.any() else 1.5
    blocks: dict[str, npt.NDArray[Any]] = {}
    times: list[int] = []
    for at in range(step - 1, run.time.size, step):
        if run.state[at] != AssetState.RUNNING:
            continue
        samples = waveform(
            machine=scenario.machine,
            bearing=BEARING,
            speed_hz=float(run.speed_hz[at]),
            velocity_mm_s=usual,
            fault=None if scenario.fault is None else scenario.fault.kind,
            damage=float(run.damage[at]),
            rng=rng,
        )
        blocks[f"{to_datetime(int(run.time[at])):%Y-%m-%dT%H:%M:%S.%fZ}"] = samples.astype(np.float32)
        times.append(int(run.time[at]))
    (folder / "waveforms").mkdir(exist_ok=True)
    np.savez(
        folder / "waveforms" / f"{scenario.asset}.{_WAVEFORM}.npz",
        allow_pickle=False,
        **blocks,
        time=np.array(times, "M8[us]"),
        sample_rate_hz=np.full(len(times), SAMPLE_RATE_HZ),
        unit=np.full(len(times), "g_0"),
    )
    return len(times)


def _labels(run: Run) -> dict[str, Any]:
    """What was true about a run; times are ISO 8601, UTC."""
    scenario, fault = run.scenario, run.scenario.fault
    return {
        "asset": scenario.asset,
        "machine": str(scenario.machine),
        "profile": str(scenario.profile),
        "seed": scenario.seed,
        "begin": scenario.start.isoformat(),
        "end": (scenario.start + timedelta(seconds=scenario.duration_s)).isoformat(),
        "interval_s": scenario.interval_s,
        "faults": []
        if fault is None
        else [
            {
                "kind": str(fault.kind),
                "component": fault.component,
                "law": str(fault.law),
                "onset_at": fault.onset_at.isoformat(),
                "functional_failure_at": fault.functional_failure_at.isoformat(),
                "repaired_at": None if fault.repaired_at is None else fault.repaired_at.isoformat(),
            }
        ],
        "sensor_faults": [
            {
                "sensor": f"{scenario.asset}.{each.point}",
                "kind": str(each.kind),
                "begins_at": each.begins_at.isoformat(),
                "ends_at": each.ends_at.isoformat(),
                "amount": each.amount,
            }
            for each in scenario.sensor_faults
        ],
        "states": [{"at": at.isoformat(), "state": state.name.lower()} for at, state in run.states],
    }


def _write_failures(path: Path, scenarios: Sequence[Scenario]) -> None:
    """Functional failures that lie inside the runs, as `precursor backtest --labels` takes them."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["asset", "failure_at", "began_at"])
        for scenario in scenarios:
            fault, end = scenario.fault, scenario.start + timedelta(seconds=scenario.duration_s)
            if fault is not None and fault.functional_failure_at < end:
                rows.writerow([scenario.asset, fault.functional_failure_at.isoformat(), fault.onset_at.isoformat()])


def _plant(scenarios: Sequence[Scenario], sensors: Sequence[Sequence[CatalogueSensor]], waveforms: bool) -> str:
    assets = [_asset(scenario, own, waveforms=waveforms) for scenario, own in zip(scenarios, sensors, strict=True)]
    document: dict[str, Any] = {
        "version": 1,
        "sites": [
            {
                "name": SITE,
                "title": "Simulated machines",
                "gateways": [{"name": "gw-1", "topic": f"{SITE}/gw-1/readings"}],
                "areas": [{"name": "hall", "assets": assets}],
            }
        ],
        "detectors": "auto",
        "rules": [
            {
                "name": "vibration-zones",
                "kind": "iso_20816",
                "sensors": ["*.vib_de", "*.vib_nde"],
                "deadband": "0.2 mm/s",
                "on_delay": "10 min",
                "priority": "medium",
            }
        ],
    }
    head = "# The plant of this data set: precursor apply plant.yaml, then precursor import readings.parquet\n"
    return head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)


def _asset(scenario: Scenario, sensors: Sequence[CatalogueSensor], *, waveforms: bool) -> Mapping[str, Any]:
    listed: list[dict[str, Any]] = [{"name": "state", "kind": "state"}]
    listed += [
        {"name": sensor.name.partition(".")[2], "quantity": sensor.quantity, "unit": sensor.unit}
        for sensor in sensors[1:]
    ]
    if waveforms:
        listed.append({"name": _WAVEFORM, "quantity": "acceleration", "unit": "g_0", "vibration": "on"})
    machine: dict[str, Any] = {"group": 2, "foundation": "rigid", "speed_sensor": "speed"}
    machine["bearings"] = [
        {
            "designation": BEARING.designation,
            "rollers": BEARING.rollers,
            "roller_diameter": f"{BEARING.roller_mm:g} mm",
            "pitch_diameter": f"{BEARING.pitch_mm:g} mm",
        }
    ]
    if scenario.machine is MachineKind.GEARBOX:
        machine["teeth"] = TEETH
    return {
        "name": scenario.asset,
        "title": f"Simulated {scenario.machine}",
        "class": str(scenario.machine),
        "machine": machine,
        "sensors": listed,
    }
