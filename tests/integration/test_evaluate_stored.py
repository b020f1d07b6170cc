"""`precursor evaluate --from --to`: stored scores against failures that are known, on whatever server there is."""

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
from precursor.cli import group
from telemetry import rollups
from telemetry.batch import ReadingBatch, to_micros
from telemetry.editions import detect_async
from telemetry.errors import PrecursorError
from telemetry.store import ReadingStore

T0 = datetime(2026, 9, 1, tzinfo=UTC)
DAY = timedelta(days=1)
RANGE = ("--from", "2026-09-01", "--to", "2026-09-21")
PLANT = """
version: 1
sites:
  - name: mill
    subscribe: ["mill/#"]
    areas:
      - name: hall
        assets:
          - name: P-1
            class: pump
            sensors:
              - {name: vib, quantity: vibration velocity RMS, unit: mm/s, topic: mill/P-1/vib, detector: {kind: ewma}}
              - {name: state, kind: state, topic: mill/P-1/state}
          - name: F-1
            class: fan
            sensors:
              - {name: vib, quantity: vibration velocity RMS, unit: mm/s, topic: mill/f/vib, detector: half_space_trees}
"""


@pytest.fixture
async def ids(dsn: str, connection: asyncpg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sensor ids by name, of a plant in the database that the command line is told of."""
    file = tmp_path / "plant.yaml"
    file.write_text(PLANT)
    await asyncio.to_thread(apply, dsn, file)
    monkeypatch.setenv("PRECURSOR_DATABASE__DSN", dsn)
    return {row["name"]: row["id"] for row in await connection.fetch("SELECT id, name FROM sensor")}


async def store(connection: asyncpg.Connection, sensor: int, points: list[tuple[float, float]]) -> None:
    """(days after T0, value) of a sensor."""
    days, values = np.array(points).T
    time = to_micros(T0) + np.round(days * 86_400e6).astype(np.int64)
    batch = ReadingBatch.of(time, np.full(time.size, sensor), values, np.zeros(time.size))
    writer = ReadingStore(await detect_async(connection))
    await writer.make_room(connection, batch)
    async with connection.transaction():
        written = await writer.write(connection, batch)
        await rollups.touch(connection, batch.take(written.stored))


async def evaluated(*words: str) -> dict[str, Any]:
    found = await typed(*words, "--json")
    assert found.exception is None, (found.output, found.exception)
    document: dict[str, Any] = json.loads(found.stdout)
    (assessment,) = document["assessments"]
    return {
        **assessment,
        "value": {each["name"]: each["value"] for each in assessment["figures"]},
        "beside": {each["name"]: each["baselines"] for each in assessment["figures"]},
    }


async def typed(*words: str) -> Result:
    found = await asyncio.to_thread(CliRunner().invoke, group, ["evaluate", *RANGE, *words])
    if found.exception is not None and not isinstance(found.exception, SystemExit | PrecursorError):
        raise found.exception
    return found


async def fill(connection: asyncpg.Connection, ids: dict[str, int]) -> None:
    """The pump fails on days 10 and 18, warned of two days before the first; the fan's score cries three times."""
    every_hour = [(hour / 24, 2.0 + 0.1 * (hour % 3)) for hour in range(480)]
    await store(connection, ids["P-1.vib"], [(day, value + 50 * (9.5 < day < 10)) for day, value in every_hour])
    await store(connection, ids["F-1.vib"], every_hour)
    await store(connection, ids["P-1.state"], [(0, 1), (9, 1), (10, 2), (10.5, 1), (15, 1), (18, 2), (19, 1)])
    await store(connection, ids["P-1.vib.score"], [(0.5, 0.2), (8, 1.0), (9, 1.6), (10, 0.3), (12, 0.999), (19.9, 0.5)])
    second = 1 / 86_400
    await store(
        connection,
        ids["F-1.vib.score"],
        [(0.5, 0.1), (2, 3.0), (3, 0.2), (3 + 20 * second, 2.0), (3 + 30 * second, 0.1), (7, 1.2), (8, 0.1)],
    )


async def test_scores_are_held_against_states_that_say_failed(connection: asyncpg.Connection, ids: Any) -> None:
    await fill(connection, ids)

    found = await evaluated("--horizon", "5")

    assert found["value"]["failures_warned"] == 1
    assert found["value"]["median_lead"] == 48.0
    assert found["missed"] == ["P-1, 2026-09-19 00:00"]
    # Of the fan: days 2 to 3 with a dip of 20 s, and 7 to 8. Its month is not over: two alarms in 20 + 10 days.
    assert found["value"]["false_alarms_per_asset_month"] == pytest.approx(2 / ((20 + 10) / 30))
    assert found["value"]["alarms_per_asset_month"] == pytest.approx(3 / (40 / 30))
    assert found["value"]["alarm_share_of_normal"] == pytest.approx(2 / 30, abs=1e-4)
    # One alarm of the pump falls at random into one window of 5 of 20 days, or the other.
    assert found["beside"]["failures_warned"] == {
        "always_alarm": 0.0,
        "random": pytest.approx(2 * 0.25),
        "plain_limits": 1.0,
    }
    assert found["beside"]["median_lead"]["plain_limits"] == pytest.approx(11.0, abs=0.1)
    alone = [found["value"][f"{kind}_failures_warned"] for kind in ("ewma", "half_space_trees")]
    assert alone == [1, 0]
    assert found["value"]["ewma_false_alarms_per_asset_month"] == 0
    assert found["details"]["detectors"]["half_space_trees"]["false_alarms"] == 2


async def test_labels_count_instead_of_states_and_patterns_narrow_down(
    connection: asyncpg.Connection, ids: Any, tmp_path: Path
) -> None:
    await fill(connection, ids)
    labels = tmp_path / "failures.csv"
    labels.write_text("asset,failure_at,began_at\nF-1,2026-09-09T00:00:00Z,2026-09-07T12:00:00Z\n")

    both = await evaluated("--labels", str(labels))
    pump = await evaluated("--labels", str(labels), "--class", "pump", "--asset", "P-*")

    assert both["value"]["failures_warned"] == 1
    assert both["details"]["failures"][0]["delay_s"] == 43_200
    assert [each["false_alarms"] for each in both["details"]["detectors"].values()] == [1, 1]
    assert "failures_warned" not in pump["value"]
    assert "no asset that is scored failed" in pump["notes"][0]
    refused = await typed("--sensor", "nothing*")
    assert "none of the 2 scores fits" in str(refused.exception)


async def test_without_failures_only_the_load_of_alarms_is_told(connection: asyncpg.Connection, ids: Any) -> None:
    await store(connection, ids["F-1.vib.score"], [(0.5, 0.1), (5, 2.0), (6, 0.1)])

    found = await evaluated("--asset", "F-1")

    assert found["value"] == {"alarms_per_asset_month": 1.5, "alarm_share": pytest.approx(0.05, abs=1e-4)}
    assert "no failures are known" in found["notes"][0]


async def test_prognoses_are_held_against_when_the_asset_failed(connection: asyncpg.Connection, ids: Any) -> None:
    await fill(connection, ids)
    asset = await connection.fetchval("SELECT id FROM asset WHERE name = 'P-1'")
    # Made on days 8 and 17, true 48 h and 24 h; the last is after the last failure, one has no answer.
    for day, hours in ((8, (20, 45, 60)), (17, (30, 32, 40)), (19, (1, 2, 3)), (5, (None, None, None))):
        await connection.execute(
            "INSERT INTO prognosis (asset_id, method, made_at, p10_s, p50_s, p90_s)"
            " VALUES ($1, 'trend', $2, $3, $4, $5)",
            asset,
            T0 + day * DAY,
            *(None if hour is None else hour * 3600.0 for hour in hours),
        )

    found = await evaluated()

    assert found["value"]["remaining_life_rmse"] == pytest.approx(np.sqrt((3**2 + 8**2) / 2))
    assert found["value"]["remaining_life_p10_p90_share"] == 0.5
    assert found["details"]["prognoses"] == {
        "made": 4,
        "judged": 3,
        "answered": 2,
        "by_method": {"trend": {"cases": 3, "rmse_h": found["value"]["remaining_life_rmse"]}},
    }
