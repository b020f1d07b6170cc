"""`precursor evaluate --replay`: detectors over stored readings before anybody switched them on."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import numpy as np
import pytest
from click.testing import CliRunner, Result

from precursor.apply import apply
from precursor.assessment.planned_plant import planned_plant
from precursor.assessment.score_replay import replay_scores
from precursor.assessment.stored import score_rule
from precursor.cli import group
from precursor.plantfile.reader import read_plant_text
from precursor.requests import request_rebaseline
from precursor.scoring import Scoring
from precursor.settings import EvaluationSettings
from telemetry import rollups
from telemetry.batch import ReadingBatch, to_micros
from telemetry.editions import detect_async
from telemetry.errors import PrecursorError
from telemetry.plant_store import load_plant
from telemetry.ranges import read_readings
from telemetry.store import ReadingStore

T0 = datetime(2024, 9, 1, tzinfo=UTC)
END = T0 + timedelta(days=12)
RANGE = ("--from", "2024-09-01", "--to", "2024-09-13")
PLANT = """
version: 1
DETECTORS
sites:
  - name: mill
    subscribe: ["mill/#"]
    areas:
      - name: hall
        assets:
          - name: P-1
            class: pump
            sensors:
              - {name: vib, quantity: vibration velocity RMS, unit: mm/s, topic: mill/P-1/vib}
              - {name: temp, quantity: temperature, unit: degC, topic: mill/P-1/temp}
              - {name: state, kind: state, topic: mill/P-1/state}
          - name: P-2
            class: pump
            sensors:
              - {name: vib, quantity: vibration velocity RMS, unit: mm/s, topic: mill/P-2/vib}
              - {name: temp, quantity: temperature, unit: degC, topic: mill/P-2/temp}
"""
BARE = PLANT.replace("DETECTORS\n", "")
WATCHED = (
    PLANT.replace("DETECTORS", "detectors: auto")
    .replace("/vib}", "/vib, detector: {kind: auto, warmup: 400}}")
    .replace("/temp}", "/temp, detector: {kind: auto, warmup: 400}}")
    .replace("class: pump", "class: pump\n            detector: {sensors: [vib, temp], warmup: 400}")
)


@pytest.fixture
async def ids(dsn: str, connection: asyncpg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sensor ids by name: a plant without any detector, and twelve days of readings every five minutes.

    P-1 is at rest until day 1, drifts up from day 7 on, and fails on day 10.
    """
    await asyncio.to_thread(apply, dsn, written(tmp_path, BARE))
    monkeypatch.setenv("PRECURSOR_DATABASE__DSN", dsn)
    known = {row["name"]: row["id"] for row in await connection.fetch("SELECT id, name FROM sensor")}
    rng = np.random.default_rng(6)
    minutes = np.arange(0, 12 * 1440, 5)
    days = minutes / 1440
    parts = []
    for machine in ("P-1", "P-2"):
        load = np.sin(2 * np.pi * days) + rng.normal(0, 0.3, days.size)
        drift = np.where((machine == "P-1") & (days > 7) & (days < 10), days - 7, 0.0)
        rests = (machine == "P-1") & (days < 1)
        for point, level in (("vib", 2 + 0.2 * load + drift), ("temp", 50 + 3 * load)):
            values = np.where(rests, 0.0, level + rng.normal(0, 0.1, days.size))
            parts.append(batch_of(known[f"{machine}.{point}"], minutes, values))
    states = np.array([-1440, 1440, 10 * 1440, 10 * 1440 + 300])
    parts.append(batch_of(known["P-1.state"], states, np.array([0, 1, 2, 1])))
    readings = ReadingBatch.concat(parts).sorted()
    writer = ReadingStore(await detect_async(connection))
    await writer.make_room(connection, readings)
    async with connection.transaction():
        stored = await writer.write(connection, readings)
        await rollups.touch(connection, readings.take(stored.stored))
    return known


def batch_of(sensor: int, minutes: Any, values: Any) -> ReadingBatch:
    return ReadingBatch.of(to_micros(T0) + minutes * 60_000_000, np.full(minutes.size, sensor), values)


def written(folder: Path, text: str) -> Path:
    file = folder / "plant.yaml"
    file.write_text(text)
    return file


async def typed(*words: str, over: tuple[str, ...] = RANGE) -> Result:
    found = await asyncio.to_thread(CliRunner().invoke, group, ["evaluate", *over, *words])
    if found.exception is not None and not isinstance(found.exception, SystemExit | PrecursorError):
        raise found.exception
    return found


async def contents(connection: asyncpg.Connection) -> dict[str, list[str]]:
    """Every row of every table."""
    names = await connection.fetch(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
    )
    return {
        row["name"]: sorted(str(each) for each in await connection.fetch(f"SELECT * FROM {row['name']}"))
        for row in names
    }


async def test_a_drift_is_found_by_detectors_that_nobody_has_switched_on(
    connection: asyncpg.Connection, ids: Any, tmp_path: Path
) -> None:
    before = await contents(connection)

    found = await typed("--replay", "--plant", str(written(tmp_path, WATCHED)), "--horizon", "3", "--json")

    assert found.exception is None, (found.output, found.exception)
    (assessment,) = json.loads(found.stdout)["assessments"]
    value = {each["name"]: each["value"] for each in assessment["figures"]}
    assert assessment["dataset"] == "replayed"
    assert value["failures_warned"] == 1
    beside = {each["name"]: each["baselines"] for each in assessment["figures"]}
    assert value["median_lead"] > 24 > beside["median_lead"]["plain_limits"] > 0
    assert value["false_alarms_per_asset_month"] == 0
    assert {each["score"].split(".")[0] for each in assessment["details"]["scores"]} == {"P-1"}
    # It was known before that P-1 is at rest on the first day: its detectors begin to learn a day later.
    first = assessment["details"]["replay"]["first_scores"]
    begun = {name: (datetime.fromisoformat(at) - T0) / timedelta(days=1) for name, at in first.items()}
    assert begun["P-1.vib.score"] == pytest.approx(begun["P-2.vib.score"] + 1, abs=0.2)
    assert await contents(connection) == before


async def test_scores_are_bit_by_bit_those_of_the_engine_once_the_file_is_applied(
    dsn: str, connection: asyncpg.Connection, ids: Any, tmp_path: Path
) -> None:
    anew = T0 + timedelta(days=8.9)
    await request_rebaseline(connection, "P-1", at=anew, actor="test")
    planned = planned_plant(read_plant_text(WATCHED, file="plant.yaml"), sensor_ids=ids)
    names = {sensor.id: sensor.name for sensor in planned.sensors}
    rules = [score_rule(1, planned.sensor_by_name["P-1.anomaly"], planned)]
    settings = EvaluationSettings(lateness_s=60, score_every_s=900)
    told: list[ReadingBatch] = []

    made, seen = await replay_scores(connection, planned, rules, T0, END, evaluation=settings, take=told.append)

    await asyncio.to_thread(apply, dsn, written(tmp_path, WATCHED))
    applied = await load_plant(connection)
    engine = Scoring(applied, lateness_s=60, align_s=settings.align_s, report_s=900, settle_s=settings.settle_s)
    stored = await read_readings(connection, engine.sensor_ids.tolist(), T0 - timedelta(days=2), END)
    is_state = stored.sensor_id == ids["P-1.state"]
    stored = stored.take(np.lexsort((stored.sensor_id, ~is_state, stored.time)))
    expected = [engine.fold(part) for part in cut(stored.take(stored.time < to_micros(anew)), 20)]
    engine.rebaseline(np.array([applied.sensor_by_name["P-1.vib"].asset_id], np.int32))
    expected += [engine.fold(part) for part in cut(stored.take(stored.time >= to_micros(anew)), 20)]
    # The state before the range was told, and is no reading of the range.
    assert seen.readings == len(stored) - 1
    assert len(told) > 3
    found, wanted = rows(told, names), rows(expected, {sensor.id: sensor.name for sensor in applied.sensors})
    assert {name.rpartition(".")[2] for name, _, _ in found} >= {"score", "anomaly", "contribution"}
    assert found == wanted
    # What stood is over when everything is learned anew.
    assert [each.ended_at for each in made.finish(END) if each.began_at < anew][-1] == anew


async def test_what_cannot_be_replayed_is_said(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await asyncio.to_thread(apply, dsn, written(tmp_path, BARE))
    monkeypatch.setenv("PRECURSOR_DATABASE__DSN", dsn)
    watched, rules = tmp_path / "watched.yaml", tmp_path / "rules.yaml"
    watched.write_text(WATCHED)
    rules.write_text("version: 1\nrules: []\n")

    async def said(*words: str, over: tuple[str, ...] = RANGE) -> str:
        found = await typed(*words, over=over)
        assert found.exit_code != 0
        return found.output + str(found.exception)

    assert "no detector is asked for" in await said("--replay")
    assert "has a stored reading between 2024-09-01" in await said("--replay", "--plant", str(watched))
    assert "none of the 6 scores fits" in await said("--replay", "--plant", str(watched), "--asset", "P-3")
    assert "rules.yaml has no sites" in await said("--replay", "--plant", str(rules))
    future = ("--from", "2199-01-01", "--to", "2199-02-01")
    assert "lies in the future" in await said("--replay", over=future)
    assert "give --replay too" in await said("--plant", str(watched))
    assert "skab is recorded data" in await said("skab", "--replay", over=())


def cut(batch: ReadingBatch, count: int) -> list[ReadingBatch]:
    return [batch.take(part) for part in np.array_split(np.arange(len(batch)), count)]


def rows(batches: list[ReadingBatch], names: dict[int, str]) -> list[tuple[str, int, float]]:
    """What the detectors said but of faults of sensors, which are not judged."""
    every = ReadingBatch.concat(batches)
    told = zip(every.sensor_id.tolist(), every.time.tolist(), every.value.tolist(), strict=True)
    return sorted((names[sensor], at, value) for sensor, at, value in told if not names[sensor].endswith("fault"))
