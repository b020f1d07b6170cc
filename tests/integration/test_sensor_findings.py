"""What the checks at the door find is counted once and shown by `precursor doctor --sensors`."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import numpy as np
import psycopg
import pytest
from click.testing import CliRunner

from ingest.door_checks import DoorCheckState, Finding, Findings, record_findings
from precursor.apply import apply
from precursor.cli.plant import doctor
from precursor.sensor_findings import SensorFindings, read_sensor_findings
from telemetry.batch import ReadingBatch, to_micros
from telemetry.editions import detect_async
from telemetry.plant import Plant
from telemetry.plant_store import load_plant
from telemetry.quality import Quality
from telemetry.store import ReadingStore

SECOND = 1_000_000
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PLANT = """\
version: 1
sites:
  - name: works
    areas:
      - name: hall
        assets:
          - name: P-1
            sensors:
              - {name: temp, unit: degC, topic: works/temp, range: [-40, 200], spike: 50, rate: 1 s}
              - {name: flow, unit: m^3/h, topic: works/flow, flat_line: 10 s}
              - {name: level, unit: m, topic: works/level}
"""


@pytest.fixture
def plant(dsn: str, tmp_path: Path) -> Plant:
    file = tmp_path / "plant.yaml"
    file.write_text(PLANT)
    apply(dsn, file)

    async def load() -> Plant:
        connection = await asyncpg.connect(dsn)
        try:
            return await load_plant(connection)
        finally:
            await connection.close()

    return asyncio.run(load())


async def found(connection: asyncpg.Connection) -> dict[str, dict[str, int]]:
    return {
        sensor.sensor: {count.finding: count.readings for count in sensor.counts}
        for sensor in await read_sensor_findings(connection)
    }


class Engine:
    """As much of the engine as counts findings."""

    def __init__(self, connection: asyncpg.Connection, state: DoorCheckState, store: ReadingStore) -> None:
        self._connection, self._state, self._store = connection, state, store

    async def deliver(self, batch: ReadingBatch) -> None:
        await self._store.make_room(self._connection, batch)
        async with self._connection.transaction():
            judged = self._state.judge(batch)
            written = await self._store.write(self._connection, judged.batch)
            self._state.fold(judged.batch.take(written.stored))
            await record_findings(self._connection, judged.findings(written), datetime.now(UTC))


def batch(plant: Plant, name: str, begin: datetime, *values: float) -> ReadingBatch:
    """Readings of a sensor, a second apart."""
    times = to_micros(begin) + np.arange(len(values)) * SECOND
    return ReadingBatch.of(times, [plant.sensor_by_name[name].id] * len(values), values)


async def test_findings_are_counted_with_the_readings_and_not_again_when_they_come_again(
    plant: Plant, connection: asyncpg.Connection
) -> None:
    engine = Engine(connection, DoorCheckState(plant.sensors), ReadingStore(await detect_async(connection)))
    batches = [
        batch(plant, "P-1.temp", NOW, 20, 20, 500, 21, 100, 21),
        batch(plant, "P-1.flow", NOW, *([3.0] * 13)),
        batch(plant, "P-1.level", NOW, *([3.0] * 100)),
        batch(plant, "P-1.temp", NOW + timedelta(seconds=3), 77),
    ]
    for each in batches:
        await engine.deliver(each)
    expected = {
        "P-1.flow": {"flat_line": 2},
        "P-1.temp": {"out_of_range": 1, "spike": 1, "repeated_time": 1},
    }
    assert await found(connection) == expected
    for each in batches[:3]:
        await engine.deliver(each)
    assert await found(connection) == expected
    stored = await connection.fetch(
        "SELECT quality, count(*) FROM reading JOIN sensor ON sensor.id = sensor_id WHERE name = 'P-1.temp' GROUP BY 1"
    )
    assert {Quality(row[0]): row[1] for row in stored} == {Quality.GOOD: 4, Quality.UNCERTAIN: 1, Quality.BAD: 1}


async def test_counts_add_up_and_keep_their_first_time(plant: Plant, connection: asyncpg.Connection) -> None:
    temp, flow = plant.sensor_by_name["P-1.temp"].id, plant.sensor_by_name["P-1.flow"].id
    await record_findings(connection, Findings(), NOW)
    await record_findings(connection, Findings({(temp, Finding.SPIKE): 2}), NOW)
    later = NOW + timedelta(hours=1)
    await record_findings(
        connection, Findings({(temp, Finding.SPIKE): 3, (temp, Finding.FUTURE): 9, (flow, Finding.SPIKE): 1}), later
    )
    worst, other = await read_sensor_findings(connection)
    assert (worst.sensor, worst.readings, other.sensor) == ("P-1.temp", 14, "P-1.flow")
    assert [(count.finding, count.readings, count.first_at, count.last_at) for count in worst.counts] == [
        ("future", 9, later, later),
        ("spike", 5, NOW, later),
    ]
    assert worst.newest is None


async def test_a_retired_sensor_is_not_shown(plant: Plant, connection: asyncpg.Connection) -> None:
    await record_findings(connection, Findings({(plant.sensor_by_name["P-1.temp"].id, Finding.SPIKE): 2}), NOW)
    await connection.execute("UPDATE sensor SET retired_at = now() WHERE name = 'P-1.temp'")
    assert await read_sensor_findings(connection) == []


@pytest.fixture
def cli(dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CliRunner:
    monkeypatch.setenv("PRECURSOR_DATABASE__DSN", dsn)
    monkeypatch.setenv("PRECURSOR_DATA_DIR", str(tmp_path))
    return CliRunner()


def test_doctor_says_that_nothing_was_found(plant: Plant, cli: CliRunner) -> None:
    assert "found nothing" in cli.invoke(doctor, ["--sensors"], catch_exceptions=False).output
    assert json.loads(cli.invoke(doctor, ["--sensors", "--json"], catch_exceptions=False).output) == []


def test_doctor_shows_sensors_with_findings_the_worst_first(plant: Plant, cli: CliRunner, dsn: str) -> None:
    now = datetime.now(UTC)

    async def fill() -> None:
        connection = await asyncpg.connect(dsn)
        try:
            engine = Engine(connection, DoorCheckState(plant.sensors), ReadingStore(await detect_async(connection)))
            await engine.deliver(batch(plant, "P-1.temp", now - timedelta(minutes=10.1), 20, 999))
            await engine.deliver(batch(plant, "P-1.flow", now - timedelta(hours=3.1), *([3.0] * 13)))
            level = plant.sensor_by_name["P-1.level"].id
            await record_findings(connection, Findings({(level, Finding.FUTURE): 5_000}), now)
        finally:
            await connection.close()

    asyncio.run(fill())
    lines = cli.invoke(doctor, ["--sensors"], catch_exceptions=False).output.splitlines()
    assert [line.split()[0] for line in lines] == ["sensor", "P-1.level", "P-1.flow", "P-1.temp"]
    assert "future" in lines[1]
    assert "5,000" in lines[1]
    assert "never" in lines[1]
    assert "flat line" in lines[2]
    assert lines[2].endswith("3 h ago  uncertain")
    assert lines[3].endswith("10 min ago        bad")
    document = json.loads(cli.invoke(doctor, ["--sensors", "--json"], catch_exceptions=False).output)
    assert [(sensor["sensor"], sensor["readings"]) for sensor in document] == [
        ("P-1.level", 5_000), ("P-1.flow", 2), ("P-1.temp", 1),
    ]  # fmt: skip
    assert document[2]["findings"][0]["finding"] == "out_of_range"
    assert document[2]["newest"]["quality"] == "bad"
    assert document[2]["newest"]["age_s"] >= 605
    assert document[0]["newest"] is None


def test_a_sensor_with_several_findings_is_named_once(plant: Plant, dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "INSERT INTO sensor_finding (sensor_id, finding, readings, first_at, last_at)"
            " SELECT id, unnest(ARRAY['spike', 'future']), unnest(ARRAY[1, 2]), now(), now() FROM sensor"
            " WHERE name = 'P-1.temp'"
        )

    async def read() -> list[SensorFindings]:
        connection = await asyncpg.connect(dsn)
        try:
            return list(await read_sensor_findings(connection))
        finally:
            await connection.close()

    (sensor,) = asyncio.run(read())
    assert [row[:3] for row in sensor.cells(datetime.now(UTC))] == [("P-1.temp", "future", 2), ("", "spike", 1)]
