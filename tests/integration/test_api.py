"""The HTTP API over a real database."""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from api.app import create_app
from api.queries import SQL
from cbm.state_rollup import refresh, touch
from telemetry.batch import ReadingBatch, to_datetime, to_micros
from telemetry.editions import detect_async

T0 = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
READINGS = 2_000

PLANT = """
INSERT INTO site (name) VALUES ('north');
INSERT INTO area (site_id, name) VALUES (1, 'boiler-house');
INSERT INTO asset (name, title, area_id, parent_id, asset_class, criticality) VALUES
    ('pump-1', 'Feed water pump 1', 1, NULL, 'pump', 4),
    ('motor-1', 'Its motor', 1, 1, 'motor', 3),
    ('fan-2', '', 1, NULL, 'fan', 2);
INSERT INTO asset (name, area_id, retired_at) VALUES ('old-3', 1, '2026-01-01Z');
INSERT INTO sensor (name, asset_id, kind, quantity, unit, topic) VALUES
    ('pump-1.temperature', 1, 'measured', 'temperature', 'degC', 'north/pump-1/temperature'),
    ('pump-1.state', 1, 'state', 'state', '', 'north/pump-1/state'),
    ('fan-2.state', 3, 'state', 'state', '', 'north/fan-2/state');
INSERT INTO sensor (name, asset_id, kind, computed, unit, source_id)
VALUES ('pump-1.temperature.score', 1, 'derived', 'score', '', 1);
INSERT INTO rule (name, subject, asset_id, sensor_id, unit, high, priority, failure_mode)
VALUES ('hot', 'pump-1.temperature', 1, 1, 'degC', 80, 3, 'bearing_wear');
INSERT INTO work_order (asset_id, failure_mode, status, priority, title, opened_at, due_at, first_seen_at, last_seen_at,
                        evidence, job_plan)
VALUES (1, 'bearing_wear', 'new', 2, 'pump-1: bearing wear suspected', '2026-03-02T01:00Z', '2026-03-04Z',
        '2026-03-02T01:00Z', '2026-03-02T02:00Z', '[{"rule": "hot", "value": 81.5, "limit": 80, "unit": "degC"}]',
        '{"name": "bearing", "tasks": ["Replace the bearing"]}'),
       (3, 'imbalance', 'closed', 3, 'fan-2: imbalance suspected', '2026-03-01Z', '2026-03-04Z', '2026-03-01Z',
        '2026-03-01Z', '[]', NULL);
INSERT INTO work_order_event (work_order_id, to_status, at, actor) VALUES (1, 'new', '2026-03-02T01:00Z', 'engine');
INSERT INTO alarm (key, rule_id, rule_name, sensor_id, asset_id, side, limit_value, unit, priority, failure_mode,
                   began_at, ended_at, value, peak_value, peak_at, work_order_id)
SELECT 'hot/' || n, 1, 'hot', 1, 1, 'high', 80, 'degC', 3, 'bearing_wear',
       '2026-03-02Z'::timestamptz + n * interval '1 hour',
       CASE WHEN n < 5 THEN '2026-03-02Z'::timestamptz + n * interval '1 hour' + interval '10 minutes' END,
       80.5, 84, '2026-03-02Z'::timestamptz + n * interval '1 hour', 1
FROM generate_series(1, 5) AS n;
INSERT INTO alarm_event (alarm_id, rule_id, kind, at, value) VALUES
    (1, 1, 'cleared', '2026-03-02T01:10Z', 77), (1, 1, 'raised', '2026-03-02T01:00Z', 80.5);
INSERT INTO ledger_entry (source, outcome, reason, readings) VALUES
    ('mqtt', 'received', '', 10), ('mqtt', 'stored', '', 6), ('mqtt', 'duplicate', '', 1),
    ('mqtt', 'rejected', 'unknown_sensor', 2), ('mqtt', 'rejected', 'not_json', 1);
INSERT INTO rejected (digest, source, topic, reason, detail, payload, payload_bytes, readings, first_at, last_at)
VALUES
    ('a', 'mqtt', 'north/x', 'unknown_sensor', 'no x', '{"value": 1}', 12, 2, '2026-03-02Z', '2026-03-02T03:00Z'),
    ('b', 'mqtt', 'north/y', 'not_json', 'byte 0', '\\xff00fe', 3, 1, '2026-03-02Z', '2026-03-02T04:00Z');
"""


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    """A pool over a database with a small plant and a day of history."""
    async with asyncpg.create_pool(dsn, min_size=1, max_size=4) as opened:
        async with opened.acquire() as connection:
            await connection.execute(PLANT)
            edition = await detect_async(connection)
            weeks = [to_micros(T0 + timedelta(weeks=week)) for week in range(-4, 5)]
            await edition.make_room(connection, ReadingBatch.of(weeks, [1] * 9, [0] * 9).time)
            await connection.copy_records_to_table(
                "reading",
                records=[(T0 + step * MINUTE, 1, 60 + step / 100, step % 4) for step in range(READINGS)],
            )
            states = [(0, 1), (6, 2), (8, 1), (24, 1)]
            await connection.copy_records_to_table(
                "reading", records=[(T0 + hour * HOUR, 2, float(state), 0) for hour, state in states]
            )
            await touch(
                connection,
                ReadingBatch.of([to_micros(T0 + hour * HOUR) for hour, _ in states], [2] * 4, [0] * 4),
            )
            await refresh(connection, edition)
        yield opened


@pytest.fixture
async def client(pool: asyncpg.Pool) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(pool) as made:
        yield made


def client_of(pool: Any, **options: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(pool, **options), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://precursor")


async def items(client: httpx.AsyncClient, path: str, **parameters: Any) -> list[dict[str, Any]]:
    answer = await client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def all_pages(client: httpx.AsyncClient, path: str, **parameters: Any) -> list[list[dict[str, Any]]]:
    pages = []
    while True:
        answer = (await client.get(path, params=parameters)).json()
        pages.append(answer["items"])
        if answer["next_cursor"] is None:
            return pages
        parameters["cursor"] = answer["next_cursor"]


def assert_problem(answer: httpx.Response, status: int) -> Mapping[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["instance"] == answer.request.url.path
    return body


async def test_assets_in_use_are_listed_and_a_retired_one_is_still_found(client: httpx.AsyncClient) -> None:
    assert [asset["name"] for asset in await items(client, "/assets")] == ["pump-1", "motor-1", "fan-2"]
    pump = (await client.get("/assets/pump-1")).json()
    assert pump == {
        "name": "pump-1",
        "title": "Feed water pump 1",
        "site": "north",
        "area": "boiler-house",
        "parent": None,
        "asset_class": "pump",
        "criticality": 4,
        "retired_at": None,
        "children": ["motor-1"],
        "sensors": ["pump-1.state", "pump-1.temperature", "pump-1.temperature.score"],
        "active_alarms": 1,
        "open_work_orders": 1,
    }
    assert (await client.get("/assets/old-3")).json()["retired_at"] == "2026-01-01T00:00:00Z"


async def test_sensors_are_found_by_asset_and_kind(client: httpx.AsyncClient) -> None:
    names = [sensor["name"] for sensor in await items(client, "/sensors", asset="pump-1", kind="derived")]
    assert names == ["pump-1.temperature.score"]
    score = (await client.get("/sensors/pump-1.temperature.score")).json()
    assert score["computed_from"] == "pump-1.temperature"
    assert score["newest"] is None
    temperature = (await client.get("/sensors/pump-1.temperature")).json()
    assert temperature["newest"] == {"time": "2026-03-03T09:19:00Z", "value": 79.99, "quality": "stale"}


async def test_readings_default_to_the_last_day_of_the_data(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/sensors/pump-1.temperature/readings", params={"limit": 100_000})).json()
    assert (answer["sensor"], answer["unit"], answer["next_cursor"]) == ("pump-1.temperature", "degC", None)
    times = [datetime.fromisoformat(item["time"]) for item in answer["items"]]
    assert times[-1] == T0 + (READINGS - 1) * MINUTE
    assert len(times) == 24 * 60
    assert {item["quality"] for item in answer["items"]} == {"good", "uncertain", "bad", "stale"}


async def test_a_window_holds_its_begin_and_not_its_end(client: httpx.AsyncClient) -> None:
    found = await items(
        client,
        "/sensors/pump-1.temperature/readings",
        **{"from": "2026-03-02T01:00:00+01:00", "to": "2026-03-02T00:02:00Z"},
    )
    assert [item["time"] for item in found] == ["2026-03-02T00:00:00Z", "2026-03-02T00:01:00Z"]


@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize(
    "window", [{}, {"from": "2026-03-02T00:00:00Z", "to": "2026-03-02T10:00:00Z"}], ids=["default", "given"]
)
async def test_pages_of_readings_join_without_gap_or_overlap(
    client: httpx.AsyncClient, order: str, window: dict[str, str]
) -> None:
    path = "/sensors/pump-1.temperature/readings"
    whole = await items(client, path, order=order, limit=100_000, **window)
    pages = await all_pages(client, path, order=order, limit=97, **window)
    assert [item for page in pages for item in page] == whole
    assert len(pages) > 5
    times = [item["time"] for item in whole]
    assert times == sorted(times, reverse=order == "newest")


async def test_readings_that_arrive_between_pages_do_not_cut_the_window(
    client: httpx.AsyncClient, pool: asyncpg.Pool
) -> None:
    path = "/sensors/pump-1.temperature/readings"
    whole = await items(client, path, order="newest", limit=100_000)
    first = (await client.get(path, params={"order": "newest", "limit": 10})).json()
    await pool.execute("INSERT INTO reading VALUES ($1, 1, 61, 0)", T0 + 60 * HOUR)
    rest = await items(client, path, order="newest", limit=100_000, cursor=first["next_cursor"])
    assert first["items"] + rest == whole


async def test_a_sensor_without_readings_has_an_empty_list(client: httpx.AsyncClient) -> None:
    assert await items(client, "/sensors/fan-2.state/readings") == []


@pytest.mark.parametrize("order", ["oldest", "newest"])
async def test_readings_of_a_window_use_the_primary_key_and_only_its_partition(pool: asyncpg.Pool, order: str) -> None:
    async with pool.acquire() as connection:
        await connection.execute("ANALYZE reading")
        statement = await connection.prepare(SQL[f"readings_{order}_first"])
        plan = json.dumps(await statement.explain(1, T0, T0 + 120 * HOUR, 101))
    # TimescaleDB names the hypertable, too, and its chunks and their indexes in its own way.
    relations = set(re.findall(r'"Relation Name": "(\w+)"', plan)) - {"reading"}
    indexes = set(re.findall(r'"Index Name": "(\w+)"', plan))
    assert len(relations) == 1
    assert len(indexes) == 1
    assert indexes.pop().endswith("_pkey")
    assert "Seq Scan" not in plan
    assert '"Sort"' not in plan, "a page must not cost what its whole window costs"


async def test_alarms_are_filtered_by_what_stood_in_the_window(client: httpx.AsyncClient) -> None:
    assert [alarm["id"] for alarm in await items(client, "/alarms")] == [5, 4, 3, 2, 1]
    assert [alarm["id"] for alarm in await items(client, "/alarms", active=True)] == [5]
    assert [alarm["id"] for alarm in await items(client, "/alarms", active=False, asset="pump-1")] == [4, 3, 2, 1]
    assert await items(client, "/alarms", asset="fan-2") == []
    window = {"from": "2026-03-02T02:05:00Z", "to": "2026-03-02T03:00:00Z"}
    assert [alarm["id"] for alarm in await items(client, "/alarms", **window)] == [2]
    assert [len(page) for page in await all_pages(client, "/alarms", limit=2)] == [2, 2, 1]


async def test_an_alarm_tells_its_history_oldest_first(client: httpx.AsyncClient) -> None:
    alarm = (await client.get("/alarms/1")).json()
    assert (alarm["priority"], alarm["active"], alarm["limit_value"], alarm["unit"]) == ("high", False, 80.0, "degC")
    assert [event["kind"] for event in alarm["events"]] == ["raised", "cleared"]


async def test_work_orders_are_filtered_and_tell_evidence_and_plan(client: httpx.AsyncClient) -> None:
    assert [order["id"] for order in await items(client, "/work-orders")] == [1, 2]
    assert [order["id"] for order in await items(client, "/work-orders", status=["new", "assigned"])] == [1]
    assert [order["id"] for order in await items(client, "/work-orders", asset="fan-2")] == [2]
    assert [[order["id"] for order in page] for page in await all_pages(client, "/work-orders", limit=1)] == [[1], [2]]
    order = (await client.get("/work-orders/1")).json()
    assert order["evidence"][0]["limit"] == 80
    assert order["job_plan"]["tasks"] == ["Replace the bearing"]
    assert order["next_statuses"] == ["assigned", "cancelled"]
    assert [event["to_status"] for event in order["events"]] == ["new"]


async def test_a_planner_takes_an_order_through_its_steps(client: httpx.AsyncClient, pool: asyncpg.Pool) -> None:
    path = "/work-orders/1/status"
    step = {"status": "assigned", "actor": "jo", "note": "tomorrow", "assignee": "sam"}
    answer = await client.post(path, json=step)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["status"], answer.json()["assignee"]) == ("assigned", "sam")
    assert [event["actor"] for event in answer.json()["events"]] == ["engine", "jo"]
    assert (await client.post(path, json={"status": "in_progress", "actor": "sam"})).status_code == 200
    assert await pool.fetchval("SELECT count(*) FROM outbox WHERE work_order_id = 1") == 2


async def test_an_impossible_step_is_a_conflict_that_says_what_is_possible(
    client: httpx.AsyncClient, pool: asyncpg.Pool
) -> None:
    problem = assert_problem(await client.post("/work-orders/1/status", json={"status": "closed", "actor": "jo"}), 409)
    assert problem["allowed"] == ["assigned", "cancelled"]
    assert await pool.fetchval("SELECT status FROM work_order WHERE id = 1") == "new"


async def test_a_step_without_what_it_needs_names_the_field(client: httpx.AsyncClient) -> None:
    problem = assert_problem(
        await client.post("/work-orders/1/status", json={"status": "cancelled", "actor": "jo"}), 422
    )
    assert [field["location"] for field in problem["errors"]] == ["body.note"]
    problem = assert_problem(await client.post("/work-orders/1/status", json={"status": "lost"}), 422)
    assert [field["location"] for field in problem["errors"]] == ["body.status", "body.actor"]


async def test_kpis_tell_the_window_and_each_day(client: httpx.AsyncClient) -> None:
    window = {"from": "2026-03-02T00:00:00Z", "to": "2026-03-03T00:00:00Z"}
    [pump] = await items(client, "/kpis", asset="pump-1", **window)
    assert (pump["operating_s"], pump["downtime_s"], pump["failures"]) == (22 * 3600, 2 * 3600, 1)
    assert pump["availability"] == pytest.approx(22 / 24)
    assert (pump["mtbf_h"], pump["mttr_h"]) == (22, 2)
    assert (pump["state_at_begin"], pump["state_at_end"]) == ("running", "running")
    fan, pump = await items(client, "/kpis", **window)
    assert (fan["asset"], fan["availability"], fan["unknown_s"]) == ("fan-2", None, 86400)
    days = await items(client, "/kpis", by="day", asset="pump-1")
    assert [day["begin"] for day in days] == ["2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"]
    # Minute 1,998 is the last one that is not stale.
    assert days[1]["end"] == "2026-03-03T09:18:00Z"
    assert days[1]["unknown_s"] == 0


async def test_the_ledger_adds_up(client: httpx.AsyncClient, pool: asyncpg.Pool) -> None:
    ledger = (await client.get("/ledger")).json()
    assert ledger == {
        "items": [
            {
                "source": "mqtt",
                "received": 10,
                "stored": 6,
                "duplicate": 1,
                "rejected": 3,
                "rejected_by_reason": {"unknown_sensor": 2, "not_json": 1},
                "balanced": True,
            }
        ],
        "balanced": True,
    }
    await pool.execute("UPDATE ledger_entry SET readings = 5 WHERE outcome = 'stored'")
    assert (await client.get("/ledger")).json()["balanced"] is False


async def test_rejected_payloads_are_kept_byte_for_byte(client: httpx.AsyncClient) -> None:
    found = await items(client, "/rejected")
    assert [item["reason"] for item in found] == ["not_json", "unknown_sensor"]
    assert base64.b64decode(found[0]["payload_base64"]) == b"\xff\x00\xfe"
    assert found[0]["payload_text"] == "\ufffd\x00\ufffd"
    assert found[1]["payload_text"] == '{"value": 1}'
    assert [item["topic"] for item in await items(client, "/rejected", reason="not_json")] == ["north/y"]
    assert len(await all_pages(client, "/rejected", limit=1)) == 2


@pytest.mark.parametrize(
    "path",
    [
        "/assets/none",
        "/sensors/none",
        "/sensors/none/readings",
        "/alarms/99",
        "/work-orders/99",
        "/kpis?asset=none",
        "/none",
    ],
)
async def test_what_is_not_there_is_a_404_problem(client: httpx.AsyncClient, path: str) -> None:
    assert_problem(await client.get(path), 404)


async def test_a_step_of_an_unknown_order_is_a_404_problem(client: httpx.AsyncClient) -> None:
    assert_problem(await client.post("/work-orders/99/status", json={"status": "assigned", "actor": "jo"}), 404)


@pytest.mark.parametrize(
    ("path", "location"),
    [
        pytest.param("/assets?limit=0", "query.limit", id="limit too small"),
        pytest.param("/sensors/pump-1.state/readings?limit=100001", "query.limit", id="limit too large"),
        pytest.param("/sensors/pump-1.state/readings?from=yesterday", "query.from", id="no time"),
        pytest.param("/alarms?from=2026-03-02T00:00:00", "query.from", id="no time zone"),
        pytest.param("/alarms?from=2026-03-02T00:00:00Z&to=2026-03-02T00:00:00Z", "query.to", id="empty window"),
        pytest.param("/alarms?from=0001-01-01T00:00:00%2B14:00", "query.from", id="before all time"),
        pytest.param("/alarms?to=9999-12-31T23:59:59-14:00", "query.to", id="after all time"),
        pytest.param("/alarms?cursor=nonsense", "query.cursor", id="no cursor"),
        pytest.param("/alarms?cursor=W10=", "query.cursor", id="empty cursor"),
        pytest.param("/alarms?cursor=WzFlOTksIDFd", "query.cursor", id="cursor of other types"),
        pytest.param("/alarms?cursor=WzkyMjMzNzIwMzY4NTQ3NzU4MDcsIDFd", "query.cursor", id="cursor out of time"),
        pytest.param("/alarms/99999999999999999999", "path.id", id="number too large"),
        pytest.param("/work-orders?status=lost", "query.status.0", id="unknown status"),
        pytest.param("/kpis?from=2000-01-01T00:00:00Z&to=2020-01-01T00:00:00Z", "query.from", id="window too long"),
        pytest.param("/kpis?from=2100-01-01T00:00:00Z", "query.from", id="window after the data"),
    ],
)  # fmt: skip
async def test_a_wrong_request_is_a_422_problem_that_names_the_place(
    client: httpx.AsyncClient, path: str, location: str
) -> None:
    problem = assert_problem(await client.get(path), 422)
    assert [field["location"] for field in problem["errors"]] == [location]


async def test_a_text_that_no_database_can_hold_is_a_422_problem(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/assets/a%00b"), 422)


async def test_a_wrong_method_is_a_405_problem(client: httpx.AsyncClient) -> None:
    assert "GET" in (await client.delete("/assets")).headers["allow"]
    assert_problem(await client.delete("/assets"), 405)


async def test_unknown_parameters_are_ignored(client: httpx.AsyncClient) -> None:
    assert len(await items(client, "/assets", colour="red")) == 3


async def test_a_mistake_of_ours_is_a_500_problem_without_details(
    client: httpx.AsyncClient, pool: asyncpg.Pool
) -> None:
    await pool.execute("ALTER TABLE asset RENAME COLUMN criticality TO secret_name")
    problem = assert_problem(await client.get("/assets"), 500)
    assert "secret_name" not in json.dumps(problem)
    assert "criticality" not in json.dumps(problem)


async def test_a_database_that_is_gone_is_a_503_with_retry_after(pool: asyncpg.Pool) -> None:
    await pool.close()
    async with client_of(pool) as client:
        for path in ("/assets", "/health/ready"):
            answer = await client.get(path)
            assert_problem(answer, 503)
            assert int(answer.headers["retry-after"]) > 0
        assert (await client.get("/health/live")).json() == {"status": "alive"}


async def test_a_connection_that_breaks_in_a_request_is_a_503_and_the_next_request_works(
    dsn: str, pool: asyncpg.Pool
) -> None:
    async with client_of(pool) as client, asyncpg.create_pool(dsn, min_size=1, max_size=1) as other:
        async with pool.acquire() as blocker, blocker.transaction():
            await blocker.execute("LOCK TABLE ledger_entry")
            waiting = asyncio.create_task(client.get("/ledger"), name="request")
            ended = 0
            while not ended:  # until the request waits for the lock, there is nothing to end
                ended = await other.fetchval("SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE NOT granted")
            answer = await waiting
        assert_problem(answer, 503)
        assert (await client.get("/ledger")).status_code == 200


async def test_ready_needs_database_schema_and_engine(pool: asyncpg.Pool) -> None:
    async with client_of(lambda: pool, engine_status=lambda: {"broker": True}) as client:
        answer = await client.get("/health/ready")
        assert answer.json() == {"status": "ready", "checks": {"database": True, "schema": True, "broker": True}}
    async with client_of(pool, engine_status=lambda: {"broker": False}) as client:
        problem = assert_problem(await client.get("/health/ready"), 503)
        assert problem["checks"] == {"database": True, "schema": True, "broker": False}
        assert "broker" in problem["detail"]
    async with client_of(pool, newest_revision="9999") as client:
        assert assert_problem(await client.get("/health/ready"), 503)["checks"]["schema"] is False
    await pool.execute("DROP TABLE alembic_version")
    async with client_of(pool) as client:
        assert assert_problem(await client.get("/health/ready"), 503)["checks"] == {"database": True, "schema": False}


async def test_times_in_cursors_are_exact_to_the_microsecond(client: httpx.AsyncClient, pool: asyncpg.Pool) -> None:
    moments = [to_datetime(to_micros(T0 + 50 * HOUR) + step) for step in range(7)]
    await pool.executemany("INSERT INTO reading VALUES ($1, 3, 1, 0)", [(moment,) for moment in moments])
    pages = await all_pages(client, "/sensors/fan-2.state/readings", limit=2)
    assert [datetime.fromisoformat(item["time"]) for page in pages for item in page] == moments
