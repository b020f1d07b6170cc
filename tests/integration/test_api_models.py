"""Condition, prognoses and models over HTTP, on a real database."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from api.app import create_app
from telemetry import database
from telemetry.batch import ReadingBatch, to_micros
from telemetry.editions import detect_async

T0 = datetime(2026, 11, 2, tzinfo=UTC)
MINUTE, HOUR, DAY_S = timedelta(minutes=1), timedelta(hours=1), 86_400.0
PLANT = """
INSERT INTO site (name) VALUES ('mill');
INSERT INTO area (site_id, name) VALUES (1, 'hall');
INSERT INTO asset (name, area_id, asset_class) VALUES ('P-101', 1, 'pump'), ('P-102', 1, 'pump');
INSERT INTO sensor (name, asset_id, kind, unit, computed, source_id, origin) VALUES
    ('P-101.vib', 1, 'measured', 'mm/s', '', NULL, 'plant'),
    ('P-101.temp', 1, 'measured', 'degC', '', NULL, 'plant'),
    ('P-101.flow', 1, 'measured', 'l/min', '', NULL, 'plant'),
    ('P-101.vib.score', 1, 'derived', '', 'score', 1, 'plant'),
    ('P-101.temp.score', 1, 'derived', '', 'score', 2, 'plant'),
    ('P-101.flow.score', 1, 'derived', '', 'score', 3, 'plant'),
    ('P-101.anomaly', 1, 'derived', '', 'anomaly', NULL, 'plant'),
    ('P-101.vib.contribution', 1, 'derived', '', 'contribution', 1, 'plant'),
    ('P-101.temp.contribution', 1, 'derived', '', 'contribution', 2, 'plant'),
    ('P-101.flow.contribution', 1, 'derived', '', 'contribution', 3, 'plant'),
    ('P-101.vib.sensor_fault', 1, 'derived', '', 'sensor_fault', 1, 'plant'),
    ('P-101.temp.sensor_fault', 1, 'derived', '', 'sensor_fault', 2, 'plant'),
    ('P-101.vib.remaining_life', 1, 'derived', 'd', 'remaining_life', 1, 'plant'),
    ('P-101.flow.remaining_life', 1, 'derived', 'd', 'remaining_life', 3, 'plant'),
    ('P-101.pumps', 1, 'derived', '', 'model', NULL, 'model'),
    ('P-101.fans', 1, 'derived', '', 'model', NULL, 'model'),
    ('P-101.old', 1, 'derived', '', 'score', 1, 'plant'),
    ('P-101.pf_interval', 1, 'derived', 'd', 'remaining_life', NULL, 'model');
UPDATE sensor SET retired_at = now() WHERE name = 'P-101.old';
INSERT INTO model (name, version, task, asset_class, state, artefact, sha256, metadata) VALUES
    ('pumps', 1, 'anomaly', 'pump', 'retired', '', sha256('1'), '{"assets": ["P-101"]}'),
    ('pumps', 2, 'anomaly', 'pump', 'active', '', sha256('2'), '{"assets": ["P-101"]}'),
    ('fans', 1, 'anomaly', 'fan', 'shadow', '', sha256('3'), '{"assets": []}');
INSERT INTO model_watch (model_id, begin_at, end_at, drift, performance) VALUES
    (2, '2026-10-01Z', '2026-10-31Z', '{"vib": 0.4}', '{"alarms_per_asset_month": 1}'),
    (2, '2026-10-02Z', '2026-11-01Z', '{"vib": 0.1}', '{"alarms_per_asset_month": 0.5}');
"""
READINGS = [
    # (sensor, hours, value, quality)
    (4, 0, 0.2, 0), (4, 5, 1.7, 0), (5, 4, 0.3, 0), (7, 4, 2.5, 0), (7, 5, 1.0, 0),
    (8, 3, 0.1, 0), (9, 3, 0.2, 0), (10, 3, 0.7, 0), (8, 4, 0.9, 0), (9, 4, 0.1, 0),
    (11, 1, 3.0, 0), (11, 2, 0.0, 0), (12, 2, 1.0, 0), (12, 3, 3.0, 0),
    (15, 5, 0.9, 0), (16, 5, 4.0, 0), (17, 5, 9.0, 0),
]  # fmt: skip
PROGNOSIS = """
INSERT INTO prognosis (asset_id, sensor_id, failure_mode, method, made_at, p10_s, p50_s, p90_s, reason, model_id,
                       limit_value, details, outcome, outcome_at)
VALUES ($1, $2, $3, $4, $5, $6::float8, $6 * 2, $6 * 3, $7, $8, $9, '{"onset": 1}', $10, $11)
"""
PROGNOSES: list[tuple[Any, ...]] = [
    (1, 1, "bearing_wear", "trend", T0, 9 * DAY_S, "", None, 7.1, None, None),
    (1, 1, "bearing_wear", "trend", T0 + HOUR, 5 * DAY_S, "", None, 7.1, None, None),
    (1, 1, "imbalance", "trend", T0, None, "no significant trend", None, 7.1, None, None),
    (1, 2, "bearing_wear", "model", T0, 4 * DAY_S, "", 2, None, None, None),
    (1, None, "", "age", T0, 3 * DAY_S, "", None, None, None, None),
    (1, None, "", "age", T0 + 2 * HOUR, 2 * DAY_S, "", None, None, None, None),
    (1, None, "seal_leak", "age", T0 + HOUR, 1 * DAY_S, "", None, None, "repaired", T0 + 3 * HOUR),
    (2, None, "", "age", T0 + HOUR, None, "fewer than 3 failures", None, None, None, None),
    (1, None, "bearing_wear", "pf_interval", T0 + HOUR, 1 * DAY_S, "", None, None, None, None),
]


@pytest.fixture
async def client(dsn: str) -> AsyncIterator[httpx.AsyncClient]:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=2, server_settings=database.SESSION) as pool:
        async with pool.acquire() as connection:
            await connection.execute(PLANT)
            times = [to_micros(T0 + hours * HOUR) for _, hours, _, _ in READINGS]
            batch = ReadingBatch.of(times, [row[0] for row in READINGS], [row[2] for row in READINGS])
            await (await detect_async(connection)).make_room(connection, batch.time)
            rows = [(T0 + hours * HOUR, sensor, value, quality) for sensor, hours, value, quality in READINGS]
            await connection.copy_records_to_table("reading", records=rows)
            await connection.executemany(PROGNOSIS, PROGNOSES)
        transport = httpx.ASGITransport(create_app(pool), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://precursor") as made:
            yield made


async def got(client: httpx.AsyncClient, path: str, **parameters: Any) -> Any:
    answer = await client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def iso(hours: float) -> str:
    return (T0 + hours * HOUR).isoformat().replace("+00:00", "Z")


async def test_a_machines_condition_is_what_was_said_of_it_last(client: httpx.AsyncClient) -> None:
    condition = await got(client, "/assets/P-101/condition")
    assert condition["asset"] == "P-101"
    assert condition["anomaly"] == {
        "score": 1.0,
        "time": iso(5),
        "anomalous": True,
        # Not that of flow, which is of an hour before.
        "shares": [{"sensor": "P-101.vib", "share": 0.9}, {"sensor": "P-101.temp", "share": 0.1}],
        "shares_at": iso(4),
    }
    assert condition["scores"] == [
        {"sensor": "P-101.vib", "score": 1.7, "time": iso(5), "anomalous": True},
        {"sensor": "P-101.temp", "score": 0.3, "time": iso(4), "anomalous": False},
    ]
    # Of fans no version is active.
    assert condition["models"] == [{"model": "pumps", "version": 2, "score": 0.9, "time": iso(5), "anomalous": False}]
    # That of vib is over.
    assert condition["sensor_faults"] == [{"sensor": "P-101.temp", "fault": "stuck", "since": iso(3)}]


async def test_remaining_life_is_the_last_word_of_each_sensor_mode_and_method_or_why_there_is_none(
    client: httpx.AsyncClient,
) -> None:
    lives = (await got(client, "/assets/P-101/condition"))["remaining_life"]
    told = [(each["sensor"], each["failure_mode"], each["method"], each["made_at"], each["p10_s"]) for each in lives]
    assert told == [
        (None, "bearing_wear", "pf_interval", iso(1), 1 * DAY_S),
        (None, "", "age", iso(2), 2 * DAY_S),
        ("P-101.temp", "bearing_wear", "model", iso(0), 4 * DAY_S),
        ("P-101.vib", "bearing_wear", "trend", iso(1), 5 * DAY_S),
        ("P-101.vib", "imbalance", "trend", iso(0), None),
        ("P-101.flow", "", "trend", None, None),
    ]
    assert [lives[1]["p50_s"], lives[1]["p90_s"], lives[1]["reason"]] == [4 * DAY_S, 6 * DAY_S, ""]
    assert lives[4]["reason"] == "no significant trend"
    assert "precursor analyse" in lives[5]["reason"]


async def test_an_asset_of_which_nothing_is_computed_has_an_empty_condition(client: httpx.AsyncClient) -> None:
    condition = await got(client, "/assets/P-102/condition")
    [life] = condition.pop("remaining_life")
    assert (life["p50_s"], life["reason"]) == (None, "fewer than 3 failures")
    assert condition == {"asset": "P-102", "anomaly": None, "scores": [], "models": [], "sensor_faults": []}


@pytest.mark.parametrize("path", ["/assets/P-1O1/condition", "/prognoses?asset=P-1O1"])
async def test_an_asset_that_is_none_is_answered_with_one_that_may_be_meant(
    client: httpx.AsyncClient, path: str
) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    assert answer.json()["detail"] == "there is no asset 'P-1O1'; did you mean 'P-101'?; /assets lists them"


async def test_prognoses_come_newest_first_in_pages(client: httpx.AsyncClient) -> None:
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await got(client, "/prognoses", limit=3, **cursor)
        assert len(page["items"]) <= 3
        found += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert [each["id"] for each in found] == [6, 9, 8, 7, 2, 5, 4, 3, 1]
    assert found[6] == {
        "id": 4,
        "asset": "P-101",
        "sensor": "P-101.temp",
        "unit": "degC",
        "failure_mode": "bearing_wear",
        "method": "model",
        "model": "pumps",
        "model_version": 2,
        "made_at": iso(0),
        "p10_s": 4 * DAY_S,
        "p50_s": 8 * DAY_S,
        "p90_s": 12 * DAY_S,
        "reason": "",
        "limit_value": None,
        "details": {"onset": 1},
        "outcome": None,
        "outcome_at": None,
    }


@pytest.mark.parametrize(
    ("parameters", "ids"),
    [
        ({"asset": "P-102"}, [8]),
        ({"settled": True}, [7]),
        ({"settled": False, "asset": "P-101", "from": iso(1)}, [6, 9, 2]),
        ({"from": iso(0), "to": iso(1)}, [5, 4, 3, 1]),
    ],
)
async def test_prognoses_are_narrowed_by_asset_end_and_window(
    client: httpx.AsyncClient, parameters: dict[str, Any], ids: list[int]
) -> None:
    page = await got(client, "/prognoses", **parameters)
    assert [each["id"] for each in page["items"]] == ids


async def test_models_come_newest_first_with_how_they_fared_last(client: httpx.AsyncClient) -> None:
    models: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await got(client, "/models", limit=2, **cursor)
        models += page["items"]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert [(each["name"], each["version"], each["state"]) for each in models] == [
        ("fans", 1, "shadow"),
        ("pumps", 2, "active"),
        ("pumps", 1, "retired"),
    ]
    assert models[1]["watched_until"] == "2026-11-01T00:00:00Z"
    assert models[1]["drift"] == {"vib": 0.1}
    assert models[1]["performance"] == {"alarms_per_asset_month": 0.5}
    assert models[1]["metadata"] == {"assets": ["P-101"]}
    assert models[1]["sha256"] == "d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35"
    assert (models[0]["watched_until"], models[0]["drift"]) == (None, {})
    narrowed = await got(client, "/models", state=["active", "retired"])
    assert [each["version"] for each in narrowed["items"]] == [2, 1]
