"""The HTTP API's series, last values and tables over a real database."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import numpy as np
import pytest

from api.app import create_app
from telemetry import rollups
from telemetry.batch import ReadingBatch, to_micros
from telemetry.editions import detect_async
from telemetry.store import ReadingStore

T0 = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
READINGS = 3_000

PLANT = """
INSERT INTO site (name) VALUES ('north');
INSERT INTO area (site_id, name) VALUES (1, 'boiler-house');
INSERT INTO asset (name, area_id) VALUES ('pump-1', 1), ('fan-2', 1);
INSERT INTO sensor (name, asset_id, kind, quantity, unit) VALUES
    ('pump-1.temperature', 1, 'measured', 'temperature', 'degC'),
    ('pump-1.state', 1, 'state', 'state', ''),
    ('fan-2.vibration', 2, 'measured', 'velocity_rms', 'mm/s'),
    ('fan-2.pressure', 2, 'measured', 'pressure', 'bar');
INSERT INTO sensor (name, asset_id, retired_at) VALUES ('fan-2.old', 2, now());
"""


def plant_readings() -> ReadingBatch:
    """A reading a minute of the temperature, none from minute 600 to 660, bad ones from 1000 to 1010; some others."""
    minutes = np.array([minute for minute in range(READINGS) if not 600 <= minute < 660])
    states = {0: 1.0, 360: 2.0, 480: 1.0, 2_000: 0.0}
    return ReadingBatch.concat(
        [
            ReadingBatch.of(
                to_micros(T0) + minutes * 60_000_000,
                np.full(minutes.size, 1),
                60 + minutes / 100,
                np.where((minutes >= 1000) & (minutes < 1010), 2, 0),
            ),
            ReadingBatch.of([to_micros(T0 + minute * MINUTE) for minute in states], [2] * 4, list(states.values())),
            ReadingBatch.of([to_micros(T0 + step * MINUTE) for step in range(10)], [3] * 10, range(10), [0] * 9 + [3]),
        ]
    )


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool over a database with a small plant and two days of history."""
    async with asyncpg.create_pool(dsn, min_size=1, max_size=2) as opened:
        async with opened.acquire() as connection:
            await connection.execute(PLANT)
            edition = await detect_async(connection)
            writer = ReadingStore(edition)
            batch = plant_readings()
            await writer.make_room(connection, batch)
            async with connection.transaction():
                await writer.write(connection, batch)
            while not (await rollups.advance(connection, edition, T0 + 10 * DAY)).complete:
                pass
        yield opened


@pytest.fixture
async def client(pool: asyncpg.Pool) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(pool), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://precursor") as made:
        yield made


def window(begin: datetime, end: datetime) -> dict[str, str]:
    return {"from": begin.isoformat(), "to": end.isoformat()}


async def found(client: httpx.AsyncClient, path: str, parameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
    answer = await client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def refused(client: httpx.AsyncClient, path: str, parameters: Mapping[str, Any], status: int = 422) -> str:
    answer = await client.get(path, params=parameters)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    detail: str = answer.json()["detail"]
    return detail


async def test_a_short_series_has_every_reading_and_breaks_at_gaps(client: httpx.AsyncClient) -> None:
    series = await found(client, "/sensors/pump-1.temperature/series", window(T0 + 590 * MINUTE, T0 + 670 * MINUTE))
    assert (series["sensor"], series["unit"]) == ("pump-1.temperature", "degC")
    assert (series["resolution"], series["step_s"], series["interval_s"]) == ("raw", None, 60)
    assert series["points"][0] == {
        "time": "2026-03-02T09:50:00Z", "value": 65.9, "min": 65.9, "max": 65.9, "count": 1
    }  # fmt: skip
    assert [point["time"] for point in series["points"] if point["value"] is None] == ["2026-03-02T10:29:30Z"]
    assert len(series["points"]) == 21
    assert series["gaps"] == [
        {"begin": "2026-03-02T09:59:00Z", "end": "2026-03-02T11:00:00Z", "seconds": 3660, "reason": "silent"}
    ]


async def test_a_long_series_says_which_buckets_it_is_made_of(client: httpx.AsyncClient) -> None:
    series = await found(
        client, "/sensors/pump-1.temperature/series", window(T0 + MINUTE, T0 + 2 * DAY) | {"points": "100"}
    )
    assert (series["resolution"], series["step_s"]) == ("1m", 1800)
    assert (series["begin"], series["end"]) == ("2026-03-02T00:00:00Z", "2026-03-04T00:00:00Z")
    assert len(series["points"]) <= 100
    first = series["points"][0]
    assert (first["time"], first["min"], first["max"], first["count"]) == ("2026-03-02T00:00:00Z", 60, 60.29, 30)
    assert first["value"] == pytest.approx(60.145)
    assert [(gap["reason"], gap["seconds"]) for gap in series["gaps"]] == [("silent", 3600), ("unusable", 600)]
    assert (series["silent_s"], series["unusable_s"]) == (3600, 600)


async def test_a_series_defaults_to_the_last_day_of_the_data(client: httpx.AsyncClient) -> None:
    series = await found(client, "/sensors/pump-1.temperature/series", {"points": "10000"})
    assert len(series["points"]) == 24 * 60
    assert series["gaps"] == []


async def test_raw_values_are_thinned_out_and_keep_the_extremes(client: httpx.AsyncClient) -> None:
    series = await found(
        client,
        "/sensors/pump-1.temperature/series",
        window(T0, T0 + 3 * DAY) | {"points": "50", "resolution": "raw"},
    )
    values = [point["value"] for point in series["points"] if point["value"] is not None]
    assert len(series["points"]) <= 50
    assert (min(values), max(values)) == (60, 60 + (READINGS - 1) / 100)
    assert series["resolution"] == "raw"


async def test_hours_are_hours_where_they_are_asked_for(client: httpx.AsyncClient) -> None:
    series = await found(client, "/sensors/pump-1.temperature/series", window(T0, T0 + 6 * HOUR) | {"resolution": "1h"})
    assert (series["resolution"], series["step_s"], len(series["points"])) == ("1h", 3600, 6)


async def test_a_state_that_does_not_change_is_no_gap(client: httpx.AsyncClient) -> None:
    series = await found(client, "/sensors/pump-1.state/series", window(T0, T0 + DAY))
    assert [point["value"] for point in series["points"]] == [1, 2, 1]
    assert series["gaps"] == []


async def test_a_sensor_without_readings_has_an_empty_series_and_a_gap_if_a_window_is_given(
    client: httpx.AsyncClient,
) -> None:
    series = await found(client, "/sensors/fan-2.pressure/series")
    assert (series["points"], series["gaps"], series["begin"]) == ([], [], None)
    series = await found(client, "/sensors/fan-2.pressure/series", window(T0, T0 + DAY))
    assert [(gap["reason"], gap["seconds"]) for gap in series["gaps"]] == [("silent", 86400)]


async def test_the_usual_interval_can_be_given(client: httpx.AsyncClient) -> None:
    parameters = window(T0, T0 + DAY) | {"interval_s": "1300"}
    series = await found(client, "/sensors/pump-1.temperature/series", parameters)
    assert [gap["reason"] for gap in series["gaps"]] == ["unusable"]


SERIES_REFUSED = {
    "empty window": ({"from": "2026-03-02T00:00:00Z", "to": "2026-03-02T00:00:00Z"}, "query.to"),
    "too few points": ({"points": "9"}, "query.points"),
    "too many points": ({"points": "10001"}, "query.points"),
    "a resolution there is not": ({"resolution": "5m"}, "query.resolution"),
    "after the data": ({"from": "2026-04-02T00:00:00Z"}, "query.from"),
    "no interval": ({"interval_s": "0"}, "query.interval_s"),
}


@pytest.mark.parametrize("case", SERIES_REFUSED.values(), ids=SERIES_REFUSED.keys())
async def test_a_series_that_cannot_be_says_which_parameter(
    client: httpx.AsyncClient, case: tuple[dict[str, str], str]
) -> None:
    parameters, location = case
    assert location in await refused(client, "/sensors/pump-1.temperature/series", parameters)


async def test_a_raw_series_of_too_many_readings_is_refused(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telemetry.trend.MOST_READINGS", 1000)
    parameters = window(T0, T0 + 3 * DAY) | {"resolution": "raw"}
    assert "shorter range" in await refused(client, "/sensors/pump-1.temperature/series", parameters)


async def test_an_unknown_sensor_is_not_found(client: httpx.AsyncClient) -> None:
    assert "'x.y'" in await refused(client, "/sensors/x.y/series", {}, 404)
    assert "'x.y'" in await refused(client, "/table", {"sensor": ["pump-1.state", "x.y"]}, 404)
    assert "'x.y'" in await refused(client, "/last-values", {"sensor": "x.y"}, 404)


async def test_last_values_of_all_sensors_in_use(client: httpx.AsyncClient) -> None:
    answer = await found(client, "/last-values")
    assert [item["sensor"] for item in answer["items"]] == [
        "pump-1.temperature",
        "pump-1.state",
        "fan-2.vibration",
        "fan-2.pressure",
    ]
    temperature, _, vibration, pressure = answer["items"]
    newest = {"time": "2026-03-04T01:59:00Z", "value": 60 + (READINGS - 1) / 100, "quality": "good"}
    assert temperature == {
        "sensor": "pump-1.temperature", "asset": "pump-1", "unit": "degC", "newest": newest, "usable": newest
    }  # fmt: skip
    assert vibration["newest"] == {"time": "2026-03-02T00:09:00Z", "value": 9, "quality": "stale"}
    assert vibration["usable"] == {"time": "2026-03-02T00:08:00Z", "value": 8, "quality": "good"}
    assert (pressure["newest"], pressure["usable"]) == (None, None)


async def test_last_values_by_asset_by_name_and_in_pages(client: httpx.AsyncClient) -> None:
    fan = await found(client, "/last-values", {"asset": "fan-2"})
    assert [item["sensor"] for item in fan["items"]] == ["fan-2.vibration", "fan-2.pressure"]
    named = await found(client, "/last-values", {"sensor": ["fan-2.pressure", "pump-1.state"]})
    assert [item["sensor"] for item in named["items"]] == ["pump-1.state", "fan-2.pressure"]
    page = await found(client, "/last-values", {"limit": "3"})
    rest = await found(client, "/last-values", {"limit": "3", "cursor": page["next_cursor"]})
    assert [item["sensor"] for item in rest["items"]] == ["fan-2.pressure"]
    assert rest["next_cursor"] is None


async def test_a_table_has_a_column_a_sensor_and_null_where_nothing_is_known(client: httpx.AsyncClient) -> None:
    table = await found(
        client,
        "/table",
        window(T0 + 350 * MINUTE, T0 + 370 * MINUTE)
        | {"sensor": ["pump-1.state", "pump-1.temperature", "fan-2.vibration"], "step_s": "600", "manner": "last"},
    )
    assert table["columns"] == [
        {"sensor": "pump-1.state", "unit": ""},
        {"sensor": "pump-1.temperature", "unit": "degC"},
        {"sensor": "fan-2.vibration", "unit": "mm/s"},
    ]
    assert (table["step_s"], table["manner"]) == (600, "last")
    assert table["rows"] == [
        {"time": "2026-03-02T05:50:00Z", "values": [1, 63.5, None]},
        {"time": "2026-03-02T06:00:00Z", "values": [2, 63.6, None]},
    ]


async def test_a_table_of_means_defaults_to_the_last_day_in_steps_one_can_read(client: httpx.AsyncClient) -> None:
    table = await found(client, "/table", {"sensor": ["pump-1.temperature", "fan-2.vibration"]})
    assert (table["manner"], table["step_s"], len(table["rows"])) == ("mean", 300, 288)
    assert table["end"] == "2026-03-04T01:59:00.000001Z"
    assert all(row["values"][1] is None for row in table["rows"])


async def test_a_table_of_lines(client: httpx.AsyncClient) -> None:
    parameters = window(T0 + 30 * timedelta(seconds=1), T0 + 2 * MINUTE) | {
        "sensor": "fan-2.vibration", "step_s": "30", "manner": "linear"
    }  # fmt: skip
    table = await found(client, "/table", parameters)
    assert [row["values"] for row in table["rows"]] == [[0.5], [1.0], [1.5]]


async def test_a_table_without_any_reading_is_empty(client: httpx.AsyncClient) -> None:
    table = await found(client, "/table", {"sensor": "fan-2.pressure"})
    assert (table["rows"], table["begin"]) == ([], None)


TABLES_REFUSED = {
    "no sensor": ({}, "query.sensor"),
    "too many values": (
        {"sensor": "pump-1.state", "step_s": "0.01", "from": "2026-03-02T00:00:00Z", "to": "2026-03-03T00:00:00Z"},
        "query.step_s",
    ),
    "no step": ({"sensor": "pump-1.state", "step_s": "0"}, "query.step_s"),
    "another manner": ({"sensor": "pump-1.state", "manner": "median"}, "query.manner"),
}


@pytest.mark.parametrize("case", TABLES_REFUSED.values(), ids=TABLES_REFUSED.keys())
async def test_a_table_that_cannot_be_says_which_parameter(
    client: httpx.AsyncClient, case: tuple[dict[str, str], str]
) -> None:
    parameters, location = case
    assert location in await refused(client, "/table", parameters)


async def test_a_table_of_too_many_readings_is_refused_unless_rollups_have_it(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.values.MOST_READINGS", 1000)
    parameters = window(T0, T0 + 3 * DAY) | {"sensor": "pump-1.temperature", "step_s": "3600"}
    assert len((await found(client, "/table", parameters))["rows"]) == 72
    assert "shorter range" in await refused(client, "/table", parameters | {"manner": "last"})
