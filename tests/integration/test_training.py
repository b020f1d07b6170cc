"""From readings in the store to a model in use: `precursor train`, `precursor models`, scores by the active one."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from precursor.analysis.trained import TrainedScores
from precursor.apply import apply
from precursor.cli import group
from precursor.computed import find_computed
from precursor.training.retraining import retrain_models
from precursor.training.watching import watch_models
from telemetry import database
from telemetry.batch import ReadingBatch, to_micros
from telemetry.editions import detect_async
from telemetry.errors import PrecursorError
from telemetry.plant_store import load_plant
from telemetry.store import ReadingStore

BEGIN = datetime(2026, 6, 1, tzinfo=UTC)
DAYS = 5
STOPPED = (1000, 1200)
"""minutes in which P-1 stood still"""
PLANT = """\
version: 1
sites:
  - name: works
    gateways: [{name: g, topic: works/g}]
    areas:
      - name: hall
        assets:
          - name: P-1
            class: pump
            sensors:
              - {name: vib, unit: mm/s}
              - {name: temp, unit: degC}
              - {name: own, unit: bar}
              - {name: state, kind: state}
          - name: P-2
            class: pump
            sensors: [{name: vib, unit: mm/s}, {name: temp, unit: degC}]
          - {name: F-1, class: fan}
"""

Typed = Callable[..., Result]


async def fill(
    dsn: str, *, begin: datetime, minutes: int, warmer: float = 0.0, stopped: tuple[int, int] = (0, 0)
) -> None:
    connection = await database.connect(dsn)
    try:
        plant = await load_plant(connection)
        random = np.random.default_rng(int(begin.timestamp()))
        time = to_micros(begin) + np.arange(minutes) * 60_000_000
        parts = []
        for name, level, sigma in (("P-1.vib", 2.0, 0.1), ("P-1.temp", 50.0, 1.0), ("P-1.own", 3.0, 0.1),
                                   ("P-2.vib", 3.0, 0.1), ("P-2.temp", 55.0, 1.0)):  # fmt: skip
            value = random.normal(level + (warmer if name == "P-1.temp" else 0.0), sigma, minutes)
            parts.append(ReadingBatch.of(time, np.full(minutes, plant.sensor_by_name[name].id), value))
        changes = [0, *stopped] if stopped[1] else [0]
        state = plant.sensor_by_name["P-1.state"].id
        parts.append(ReadingBatch.of(time[changes], np.full(len(changes), state), [1.0, 0.0, 1.0][: len(changes)]))
        store = ReadingStore(await detect_async(connection))
        batch = ReadingBatch.concat(parts).sorted()
        await store.make_room(connection, batch)
        async with connection.transaction():
            await store.write(connection, batch)
    finally:
        await connection.close()


@pytest.fixture
def typed(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Runs a command line on a plant with some days of history."""
    file = tmp_path / "plant.yaml"
    file.write_text(PLANT)
    apply(dsn, file)
    asyncio.run(fill(dsn, begin=BEGIN, minutes=DAYS * 1440, stopped=STOPPED))
    monkeypatch.setenv("PRECURSOR_DATABASE__DSN", dsn)

    def run(*words: str) -> Result:
        found = CliRunner().invoke(group, words)
        if found.exception is not None and not isinstance(found.exception, SystemExit | PrecursorError):
            raise found.exception
        return found

    return run


RANGE = ("--from", "2026-06-01", "--to", "2026-06-06")


def test_from_history_to_scores_of_the_active_model(typed: Typed, dsn: str, tmp_path: Path) -> None:
    trained = json.loads(typed("train", "--class", "pump", *RANGE, "--by", "anna", "--json").output)
    assert (trained["name"], trained["version"], trained["features"]) == ("pump-anomaly", 1, ["temp", "vib"])
    shares = {share["asset"]: share for share in trained["assets"]}
    assert shares["P-2"]["left_out"] == {}
    assert shares["P-1"]["left_out"].keys() == {"it did not run", "it had just started"}
    assert shares["P-1"]["left_out"]["it did not run"] == pytest.approx(200, abs=2)
    assert trained["metrics"]["validation_alarms_per_asset_month"] < 2

    assert "is in shadow" in typed("models", "promote", "pump-anomaly", "1", "--by", "anna").output
    assert "is active" in typed("models", "promote", "pump-anomaly", "1", "--by", "anna").output
    listed = json.loads(typed("models", "list", "--json").output)
    assert [(row["name"], row["version"], row["state"]) for row in listed] == [("pump-anomaly", 1, "active")]

    begin = BEGIN + timedelta(days=DAYS)
    asyncio.run(fill(dsn, begin=begin, minutes=600, warmer=9.0))

    async def scored() -> dict[str, ReadingBatch]:
        connection = await database.connect(dsn)
        try:
            plant = await load_plant(connection)
            task = TrainedScores(plant)
            while await task.work(connection):
                pass
            found = await find_computed(connection)
            assert found is not None
            await watch_models(connection, plant, begin + timedelta(hours=10), span=timedelta(hours=10))
            names = {id_: plant.sensor_by_id[int(id_)].name for id_ in np.unique(found.batch.sensor_id)}
            return {name: found.batch.take(found.batch.sensor_id == id_) for id_, name in names.items()}
        finally:
            await connection.close()

    scores = asyncio.run(scored())
    assert scores.keys() == {"P-1.pump-anomaly", "P-2.pump-anomaly"}
    warm = scores["P-1.pump-anomaly"]
    assert np.median(warm.value[warm.time > to_micros(begin) + 600_000_000]) > 1.0
    assert np.mean(scores["P-2.pump-anomaly"].value >= 1.0) < 0.01

    model = json.loads(typed("models", "list", "--json").output)[0]
    assert model["drift"]["temp"] > 0.25 > model["drift"]["vib"]
    assert model["performance"]["share_of_time_anomalous"] > 0.3
    assert "train anew (temp" in typed("models", "list").output

    file = tmp_path / "pumps.model"
    said = typed("models", "export", "pump-anomaly", "1", str(file)).output
    sha256 = said.split("SHA-256 ")[1].strip()
    imported = typed("models", "import", str(file), "--sha256", sha256, "--name", "others", "--by", "ben")
    assert "others version 1 is a candidate" in imported.output
    file.write_bytes(file.read_bytes().replace(b"pump", b"pomp"))
    refused = typed("models", "import", str(file), "--sha256", sha256, "--name", "others", "--by", "ben")
    assert "was changed since it was written" in str(refused.exception)


def test_a_class_that_is_not_there_and_too_little_time_are_told(typed: Typed) -> None:
    assert "no asset is of class 'pomp' (did you mean 'pump'?)" in str(
        typed("train", "--class", "pomp", *RANGE).exception
    )
    short = typed("train", "--class", "pump", "--from", "2026-06-01", "--to", "2026-06-01T05:00")
    assert "minutes of good time" in str(short.exception)
    assert "give it a longer range" in str(short.exception)
    assert "no measuring point in common" in str(typed("train", "--class", "fan", *RANGE).exception)
    assert "is not before" in typed("train", "--class", "pump", "--from", "2026-06-05", "--to", "2026-06-01").output


def test_a_dry_run_keeps_nothing(typed: Typed) -> None:
    assert "nothing is kept" in typed("train", "--class", "pump", *RANGE, "--dry-run").output
    assert "there are no models" in typed("models", "list", "--all").output


def test_a_rebaseline_is_asked_for_by_name(typed: Typed) -> None:
    assert "to be learned anew" in typed("models", "rebaseline", "P-1", "--by", "anna", "--note", "new impeller").output
    assert "no asset 'P-9'" in str(typed("models", "rebaseline", "P-9", "--by", "anna").exception)


def test_retraining_puts_a_new_version_into_shadow_and_leaves_the_old_one_in_use(typed: Typed, dsn: str) -> None:
    typed("train", "--class", "pump", *RANGE)
    for _ in range(2):
        typed("models", "promote", "pump-anomaly", "1", "--by", "anna")
    now = BEGIN + timedelta(days=DAYS)

    async def retrain() -> list[str]:
        connection = await database.connect(dsn)
        try:
            plant = await load_plant(connection)
            done = await retrain_models(connection, plant, now, span=timedelta(days=DAYS))
            # One waits in shadow: there is nothing to do until somebody decides on it.
            done = [*done, *await retrain_models(connection, plant, now, span=timedelta(days=DAYS))]
            return [each.said for each in done]
        finally:
            await connection.close()

    assert asyncio.run(retrain()) == ["version 2 is in shadow"]
    rows = json.loads(typed("models", "list", "--json").output)
    assert {row["version"]: row["state"] for row in rows} == {1: "active", 2: "shadow"}
    assert "version 2 is active; version 1 is retired" in typed(
        "models", "promote", "pump-anomaly", "2", "--by", "ben"
    ).output.replace("pump-anomaly ", "")
    assert "version 1 is active again; version 2 is retired" in typed(
        "models", "rollback", "pump-anomaly", "--by", "ben"
    ).output.replace("pump-anomaly ", "")
