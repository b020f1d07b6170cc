"""From lives in the store to a model in use: `precursor train --remaining-life`, what it foretells, what came of it."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cbm import state_rollup
from precursor.analysis.ages import OutcomeTask
from precursor.analysis.trained_life import TrainedLives
from precursor.apply import apply
from precursor.cli import group
from precursor.computed import find_computed
from precursor.training.watching import watch_models
from telemetry import database, rollups
from telemetry.batch import ReadingBatch, to_micros
from telemetry.editions import detect_async
from telemetry.errors import PrecursorError
from telemetry.plant_store import load_plant
from telemetry.store import ReadingStore

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
PLANT = "version: 1\nsites:\n  - name: works\n    gateways: [{name: g, topic: works/g}]\n    areas:\n" + (
    "      - name: hall\n        assets:\n"
    + "".join(
        f"          - {{name: T-{number}, class: turbofan, machine: {{speed_sensor: speed}}, sensors:"
        " [{name: vib, unit: mm/s}, {name: temp, unit: degC}, {name: speed, unit: rpm}, {name: state, kind: state}]}\n"
        for number in (1, 2, 3)
    )
)
LIVES_H = {"T-1": (130, 100, 120), "T-2": (110, 140)}
DOWN_H = 12

Typed = Callable[..., Result]


async def store(dsn: str, asset: str, begin: datetime, lengths: Sequence[int], *, seen: int | None = None) -> datetime:
    """Lives from a renewal at `begin` on, each ended by a failure; of the last one `seen` hours. The time after all."""
    connection = await database.connect(dsn)
    try:
        plant = await load_plant(connection)
        random = np.random.default_rng(len(asset) + lengths[0])
        ids = {name: plant.sensor_by_name[f"{asset}.{name}"].id for name in ("vib", "temp", "speed", "state")}
        at, parts = begin, []
        for place, length in enumerate(lengths):
            hours = np.arange(seen if seen is not None and place == len(lengths) - 1 else length)
            time = to_micros(at) + hours * 3_600_000_000 + 1_800_000_000
            wear = np.expm1(3 * hours / length) / np.expm1(3)
            for name, level, grown in (("vib", 2.0, 6.0), ("temp", 50.0, 20.0), ("speed", 3000.0, 0.0)):
                value = level + grown * wear + (random.normal(0, 0.02 * level, hours.size) if grown else 0.0)
                parts.append(ReadingBatch.of(time, np.full(hours.size, ids[name]), value))
            ends = [(at, 1.0), (at + hours.size * HOUR, 2.0 if hours.size == length else 1.0)]
            parts.append(ReadingBatch.of([to_micros(t) for t, _ in ends], [ids["state"]] * 2, [v for _, v in ends]))
            at += hours.size * HOUR + DOWN_H * HOUR
        batch = ReadingBatch.concat(parts).sorted()
        edition = await detect_async(connection)
        readings = ReadingStore(edition)
        await readings.make_room(connection, batch)
        async with connection.transaction():
            written = await readings.write(connection, batch)
            await state_rollup.touch(connection, batch.take(written.stored & (batch.sensor_id == ids["state"])))
            await rollups.touch(connection, batch.take(written.stored))
        await state_rollup.refresh(connection, edition)
        return at
    finally:
        await connection.close()


@pytest.fixture
def typed(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Runs a command line on a plant of turbofans; two of them failed a day after they were first heard of."""
    file = tmp_path / "plant.yaml"
    file.write_text(PLANT)
    apply(dsn, file)
    for asset in LIVES_H:
        asyncio.run(store(dsn, asset, BEGIN, [24]))
    monkeypatch.setenv("PRECURSOR_DATABASE__DSN", dsn)

    def run(*words: str) -> Result:
        found = CliRunner().invoke(group, words)
        if found.exception is not None and not isinstance(found.exception, SystemExit | PrecursorError):
            raise found.exception
        return found

    return run


TRAIN = ("train", "--class", "turbofan", "--remaining-life", "--effort", "0.05")


def test_from_lives_that_ended_to_what_is_left_of_one_that_goes_on(typed: Typed, dsn: str) -> None:
    begin = BEGIN + (24 + DOWN_H) * HOUR
    after = asyncio.run(store(dsn, "T-1", begin, LIVES_H["T-1"]))
    asyncio.run(store(dsn, "T-2", begin, LIVES_H["T-2"][:1]))
    asyncio.run(store(dsn, "T-3", BEGIN, (500,), seen=400))
    few = str(typed(*TRAIN).exception)
    assert "4 lives that began with a renewal and ended in failure; training takes 5" in few
    assert "T-2: 1 its begin is not known; T-3: 1 its begin is not known" in few
    assert "--budget is not for remaining life" in typed(*TRAIN, "--budget", "2").output

    again = asyncio.run(store(dsn, "T-2", begin + (LIVES_H["T-2"][0] + DOWN_H) * HOUR, LIVES_H["T-2"][1:]))
    asyncio.run(store(dsn, "T-2", again, [120], seen=30))
    trained = json.loads(typed(*TRAIN, "--json").stdout)
    assert (trained["name"], trained["version"]) == ("turbofan-life", 1)
    assert (trained["features"], trained["settings"]) == (["temp", "vib", "speed"], ["speed"])
    assert {each["asset"]: each["lives"] for each in trained["assets"]} == {"T-1": 3, "T-2": 2, "T-3": 0}
    assert trained["assets"][1]["left_out"] == {"its begin is not known": 1, "it did not end in failure": 1}
    metrics = trained["metrics"]
    assert (metrics["lives"], metrics["validation_lives"], metrics["validation_by_asset"]) == (5, 2, 0)
    assert metrics["rmse_d"] < 0.8 * metrics["rmse_of_mean_life_d"]
    for state in ("in shadow", "active"):
        assert f"is {state}" in typed("models", "promote", "turbofan-life", "1", "--by", "anna").output

    # T-1 goes on until three quarters of its fourth life are over: a day is left of four and a half.
    asyncio.run(store(dsn, "T-1", after, [108], seen=84))
    until = after + 84 * HOUR

    async def foretold(asset: str) -> list[dict[str, Any]]:
        connection = await database.connect(dsn)
        try:
            plant = await load_plant(connection)
            task = TrainedLives(plant)
            while await task.work(connection):
                pass
            await OutcomeTask(plant).work(connection)
            rows = await connection.fetch(
                "SELECT p.* FROM prognosis p JOIN asset ON asset.id = p.asset_id WHERE asset.name = $1",
                asset,
            )
            return [dict(row) for row in rows]
        finally:
            await connection.close()

    assert [each["made_at"] for each in asyncio.run(foretold("T-2"))] == [again + 30 * HOUR]
    (silent,) = asyncio.run(foretold("T-3"))
    assert "the age is not known" in silent["reason"]
    (made,) = asyncio.run(foretold("T-1"))
    assert (made["method"], made["made_at"], made["outcome"]) == ("model", until, None)
    assert made["p50_s"] == pytest.approx(DAY.total_seconds(), rel=0.4)

    async def computed() -> dict[str, float]:
        connection = await database.connect(dsn)
        try:
            plant, found = await load_plant(connection), await find_computed(connection)
            assert found is not None
            return {
                plant.sensor_by_id[sensor].name: value
                for sensor, value in zip(found.batch.sensor_id.tolist(), found.batch.value.tolist(), strict=True)
            }
        finally:
            await connection.close()

    found = asyncio.run(computed())
    assert found.keys() == {"T-1.turbofan-life", "T-1.turbofan-life_p10", "T-1.turbofan-life_p90"}
    assert found["T-1.turbofan-life"] * 86_400 == made["p50_s"]

    # It fails a day later: what was said is held against that, and the model against its life.
    asyncio.run(store(dsn, "T-1", until, [24]))
    (made,) = asyncio.run(foretold("T-1"))
    assert (made["outcome"], made["outcome_at"]) == ("failed", until + DAY)

    async def watch() -> None:
        connection = await database.connect(dsn)
        try:
            await watch_models(connection, await load_plant(connection), until + 3 * DAY)
        finally:
            await connection.close()

    asyncio.run(watch())
    assert json.loads(typed("models", "list", "--json").output)[0]["performance"]["lives"] == 1
