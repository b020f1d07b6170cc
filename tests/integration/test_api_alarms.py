"""What people do about alarms, through the API: acknowledge, comment, reset, shelve, out of service, windows."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from api.app import create_app

NOW = datetime.now(UTC)
PLANT = """
INSERT INTO site (name) VALUES ('north');
INSERT INTO area (site_id, name) VALUES (1, 'water');
INSERT INTO asset (name, area_id, parent_id) VALUES ('pump', 1, NULL), ('motor', 1, 1), ('fan', 1, NULL);
INSERT INTO sensor (name, asset_id, unit) VALUES ('pump.vib', 1, 'mm/s'), ('motor.temp', 2, 'degC');
INSERT INTO rule (name, subject, asset_id, sensor_id, kind, unit, high, low, priority, latching)
VALUES ('severe', 'pump.vib', 1, 1, 'limit', 'mm/s', 7, 1, 3, false),
       ('hot', 'motor.temp', 2, 2, 'limit', 'degC', 80, NULL, 2, true),
       ('silent', 'fan', 3, NULL, 'no_data', '', NULL, NULL, 1, false),
       ('worn', 'fan', 3, NULL, 'usage', 'h', 8000, NULL, 1, false);
INSERT INTO alarm (key, rule_id, rule_name, sensor_id, asset_id, side, category, limit_value, unit, priority, latching,
                   began_at, ended_at, annunciated_at, value, peak_value, peak_at)
SELECT 'a' || place, rule_id, r.name, r.sensor_id, r.asset_id, alarm.side, alarm.category, 1, r.unit, r.priority,
       r.latching, now() - age, now() - age + lasted, CASE WHEN told THEN now() - age END, 1, 2, now()
FROM rule r
JOIN (VALUES (1, 1, 'high', 'machine', interval '5 hours', NULL::interval, true),
             (2, 2, 'high', 'machine', interval '4 hours', interval '1 hour', true),
             (3, 3, 'condition', 'sensor', interval '3 hours', NULL, true),
             (4, 1, 'low', 'machine', interval '2 hours', interval '1 hour', false),
             (5, 1, 'low', 'machine', interval '1 hour', interval '1 minute', true),
             (6, 4, 'high', 'machine', interval '1 minute', NULL, true))
    AS alarm (place, rule_id, side, category, age, lasted, told) ON alarm.rule_id = r.id
ORDER BY place;
INSERT INTO alarm_event (alarm_id, rule_id, kind, at) SELECT id, rule_id, 'raised', began_at FROM alarm;
"""
JO = {"actor": "jo", "note": "seen"}


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=4) as opened:
        await opened.execute(PLANT)
        yield opened


@pytest.fixture
async def client(pool: asyncpg.Pool) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(pool), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://precursor") as made:
        yield made


def taken(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


def problem(answer: httpx.Response, status: int) -> Mapping[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    found: Mapping[str, Any] = taken(answer, status)
    return found


async def listed(client: httpx.AsyncClient, **parameters: Any) -> dict[int, str]:
    page = taken(await client.get("/alarms", params=parameters))
    return {each["id"]: each["state"] for each in page["items"]}


async def test_alarms_are_listed_with_their_state_and_filtered_by_it(client: httpx.AsyncClient) -> None:
    every = {
        6: "unacknowledged",
        5: "returned_unacknowledged",
        4: "normal",
        3: "unacknowledged",
        2: "latched_unacknowledged",
        1: "unacknowledged",
    }
    found = await listed(client)
    assert list(found.items()) == list(every.items())
    for state in set(every.values()):
        assert await listed(client, state=state) == {number: each for number, each in every.items() if each == state}
    assert set(await listed(client, state=["normal", "returned_unacknowledged"])) == {4, 5}
    assert set(await listed(client, category="sensor")) == {3}
    assert set(await listed(client, priority=["low", "medium"])) == {2, 3, 6}
    assert set(await listed(client, state="unacknowledged", priority="high", asset="pump")) == {1}
    problem(await client.get("/alarms", params={"state": "asleep"}), 422)


@pytest.mark.parametrize("state", [None, "unacknowledged"])
async def test_pages_hold_each_alarm_once(client: httpx.AsyncClient, state: str | None) -> None:
    wanted = {} if state is None else {"state": state}
    whole, parts, cursor = list(await listed(client, **wanted)), [], None
    for _ in range(10):
        answer = await client.get("/alarms", params={"limit": 2, **wanted, **({"cursor": cursor} if cursor else {})})
        page = taken(answer)
        parts += [each["id"] for each in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert parts == whole


async def test_an_alarm_of_an_asset_as_a_whole_has_no_sensor(client: httpx.AsyncClient) -> None:
    found = taken(await client.get("/alarms/3"))
    assert (found["sensor"], found["asset"], found["side"], found["category"]) == (None, "fan", "condition", "sensor")


async def test_acknowledging_says_who_and_why(client: httpx.AsyncClient) -> None:
    found = taken(await client.post("/alarms/1/acknowledge", json=JO))
    assert (found["state"], found["acknowledged_by"]) == ("acknowledged", "jo")
    assert [(e["kind"], e["actor"], e["note"]) for e in found["events"]][-1] == ("acknowledged", "jo", "seen")
    again = problem(await client.post("/alarms/1/acknowledge", json={"actor": "kim"}), 409)
    assert "acknowledged already, by jo at" in again["detail"]


@pytest.mark.parametrize(
    ("path", "body", "status", "says"),
    [
        ("4/acknowledge", JO, 409, "nothing to acknowledge"),
        ("99/acknowledge", JO, 404, "no alarm 99"),
        ("1/acknowledge", {"actor": ""}, 422, "actor"),
        ("1/acknowledge", {"actor": "  "}, 422, "say who"),
        ("1/acknowledge", {}, 422, "actor"),
        ("1/comments", {"actor": "jo", "text": "  "}, 422, "empty"),
        ("1/reset", JO, 409, "not latching"),
        ("2/reset", JO, 409, "acknowledge it first"),
        ("acknowledge", JO, 422, "say which"),
        ("acknowledge", {**JO, "rule": "nothing"}, 409, "no such alarm waits"),
        ("acknowledge", {**JO, "asset": "nothing"}, 404, "no asset"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_the_reason(
    client: httpx.AsyncClient, path: str, body: Mapping[str, str], status: int, says: str
) -> None:
    assert says in problem(await client.post(f"/alarms/{path}", json=body), status)["detail"]
    assert (await listed(client))[1] == "unacknowledged"


async def test_two_people_at_once_one_acknowledges_and_the_other_is_told_who_did(client: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(
        *(client.post("/alarms/1/acknowledge", json={"actor": name}) for name in ("jo", "kim", "sam"))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    [winner] = {answer.json()["acknowledged_by"] for answer in answers if answer.status_code == 200}
    assert all(winner in answer.json()["detail"] for answer in answers if answer.status_code == 409)


async def test_all_alarms_of_a_rule_or_of_an_asset_and_below_are_acknowledged_at_once(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.post("/alarms/acknowledge", json={**JO, "asset": "pump"})
    assert taken(answer) == {"ids": [1, 2, 5]}
    assert await listed(client, asset="pump") == {5: "normal", 4: "normal", 1: "acknowledged"}
    answer = await client.post("/alarms/acknowledge", json={**JO, "rule": "silent", "subject": "fan"})
    assert taken(answer) == {"ids": [3]}


async def test_a_latched_alarm_is_acknowledged_and_then_reset(client: httpx.AsyncClient) -> None:
    assert taken(await client.post("/alarms/2/acknowledge", json=JO))["state"] == "latched_acknowledged"
    assert taken(await client.post("/alarms/2/reset", json=JO))["state"] == "normal"
    assert "nothing to reset" in problem(await client.post("/alarms/2/reset", json=JO), 409)["detail"]


async def test_a_reset_of_a_rule_of_usage_is_asked_of_the_engine(client: httpx.AsyncClient, pool: asyncpg.Pool) -> None:
    assert taken(await client.post("/alarms/6/reset", json=JO))["state"] == "unacknowledged"
    row = await pool.fetchrow("SELECT kind, rule_id, actor, note, done_at FROM evaluation_request")
    assert tuple(row) == ("reset", 4, "jo", "seen", None)


async def test_comments_are_kept_whatever_the_state(client: httpx.AsyncClient) -> None:
    for number in (1, 4):
        found = taken(await client.post(f"/alarms/{number}/comments", json={"actor": "jo", "text": " smells of oil "}))
        assert [(e["kind"], e["note"]) for e in found["events"]][-1] == ("comment", "smells of oil")


SHELF = {**JO, "rule": "severe", "subject": "pump.vib", "for_s": 3600}


async def test_shelving_keeps_alarms_silent_until_somebody_ends_it(client: httpx.AsyncClient) -> None:
    made = taken(await client.post("/alarms/shelves", json={**SHELF, "side": "high"}), 201)
    assert datetime.fromisoformat(made["end_at"]) - datetime.fromisoformat(made["begin_at"]) == timedelta(hours=1)
    assert taken(await client.get("/alarms/shelves")) == [made]
    found = taken(await client.get("/alarms/1"))
    assert (found["state"], found["silent_until"]) == ("shelved", made["end_at"])
    assert found["events"][-1]["kind"] == "shelved"
    assert found["events"][-1]["note"].startswith("(high) until ")
    assert (await listed(client))[5] == "returned_unacknowledged"
    assert (await client.post(f"/alarms/shelves/{made['id']}/end", json=JO)).status_code == 204
    assert (await listed(client))[1] == "unacknowledged"
    assert taken(await client.get("/alarms/shelves")) == []
    late = problem(await client.post(f"/alarms/shelves/{made['id']}/end", json={"actor": "kim"}), 409)
    assert "jo ended it" in late["detail"]


@pytest.mark.parametrize(
    ("changes", "status", "says"),
    [
        ({"for_s": None}, 422, "needs an end"),
        ({"for_s": 604_801}, 422, "604800"),
        ({"for_s": -1}, 422, "for_s"),
        ({"rule": "nothing"}, 404, "no rule 'nothing' on 'pump.vib'"),
        ({"side": "high_high"}, 422, "it has high, low"),
        ({"side": "low", "for_s": None, "one_shot": True}, 409, "no alarm of severe on pump.vib (low) stands"),
        ({"actor": " "}, 422, "say who"),
    ],
)
async def test_a_shelf_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, changes: Mapping[str, Any], status: int, says: str
) -> None:
    assert says in problem(await client.post("/alarms/shelves", json={**SHELF, **changes}), status)["detail"]
    assert taken(await client.get("/alarms/shelves")) == []


async def test_what_is_shelved_is_not_shelved_twice_and_a_shelf_that_is_over_is_no_obstacle(
    client: httpx.AsyncClient, pool: asyncpg.Pool
) -> None:
    answers = await asyncio.gather(
        *(client.post("/alarms/shelves", json={**SHELF, "actor": name}) for name in ("jo", "kim"))
    )
    assert sorted(answer.status_code for answer in answers) == [201, 409]
    [refused] = [answer for answer in answers if answer.status_code == 409]
    assert "is shelved already, by " in refused.json()["detail"]
    assert (
        "end that first" in problem(await client.post("/alarms/shelves", json={**SHELF, "side": "low"}), 409)["detail"]
    )
    await pool.execute(
        "UPDATE alarm_suppression SET begin_at = begin_at - interval '2 hours', end_at = end_at - interval '2 hours'"
    )
    assert taken(await client.get("/alarms/shelves")) == []
    taken(await client.post("/alarms/shelves", json=SHELF), 201)


async def test_a_shelf_for_one_time_has_no_end(client: httpx.AsyncClient) -> None:
    made = taken(await client.post("/alarms/shelves", json={**SHELF, "for_s": None, "one_shot": True}), 201)
    assert (made["end_at"], made["one_shot"]) == (None, True)


async def test_a_rule_goes_out_of_service_and_back(client: httpx.AsyncClient) -> None:
    order = {**JO, "rule": "silent", "subject": "fan", "side": "condition"}
    made = taken(await client.post("/alarms/out-of-service", json=order), 201)
    assert (await listed(client))[3] == "out_of_service"
    assert taken(await client.get("/alarms/out-of-service")) == [made]
    assert (
        "is out of service already, by jo"
        in problem(await client.post("/alarms/out-of-service", json=order), 409)["detail"]
    )
    problem(await client.post(f"/alarms/shelves/{made['id']}/end", json=JO), 404)
    assert (await client.post(f"/alarms/out-of-service/{made['id']}/end", json=JO)).status_code == 204
    assert (await listed(client))[3] == "unacknowledged"


async def test_a_maintenance_window_covers_what_is_below_and_is_cancelled_once(client: httpx.AsyncClient) -> None:
    order = {
        **JO,
        "asset": "pump",
        "begin_at": (NOW - timedelta(hours=1)).isoformat(),
        "end_at": (NOW + timedelta(hours=8)).isoformat(),
    }
    made = taken(await client.post("/maintenance-windows", json=order), 201)
    found = await listed(client)
    assert (found[1], found[2], found[3]) == ("maintenance", "maintenance", "unacknowledged")
    assert taken(await client.get("/maintenance-windows"))["items"] == [made]
    cancelled = taken(await client.post(f"/maintenance-windows/{made['id']}/cancel", json={"actor": "kim"}))
    assert cancelled["cancelled_by"] == "kim"
    assert (await listed(client))[1] == "unacknowledged"
    again = problem(await client.post(f"/maintenance-windows/{made['id']}/cancel", json=JO), 409)
    assert "cancelled already, by kim" in again["detail"]
    assert taken(await client.get("/maintenance-windows"))["items"] == []
    assert taken(await client.get("/maintenance-windows", params={"all": True, "asset": "pump"}))["items"] == [
        cancelled
    ]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"asset": "nothing"}, 404),
        ({"end_at": "2026-03-02T06:00:00Z"}, 422),
        ({"end_at": "2028-03-02T06:00:00Z"}, 422),
        ({"begin_at": "1800-01-01T00:00:00Z"}, 422),
        ({"begin_at": "2026-03-02T06:00:00"}, 422),
    ],
    ids=["asset", "empty", "too long", "too early", "no time zone"],
)
async def test_a_window_that_makes_no_sense_is_refused(
    client: httpx.AsyncClient, changes: Mapping[str, str], status: int
) -> None:
    order = {**JO, "asset": "pump", "begin_at": "2026-03-02T06:00:00Z", "end_at": "2026-03-02T14:00:00Z", **changes}
    problem(await client.post("/maintenance-windows", json=order), status)
    problem(await client.post("/maintenance-windows/7/cancel", json=JO), 404)


async def test_performance_stands_beside_its_targets(client: httpx.AsyncClient) -> None:
    found = taken(await client.get("/alarms/performance"))
    assert [each["figure"] for each in found][:2] == [
        "alarms per operator and day",
        "alarms per operator and 10 minutes",
    ]
    assert found[0]["value"] == pytest.approx(5 / 30)
    assert {each["verdict"] for each in found} == {"good"}
    problem(await client.get("/alarms/performance", params={"from": "2026-03-02T06:00:00"}), 422)


async def test_proposals_say_what_to_do_and_why(client: httpx.AsyncClient, pool: asyncpg.Pool) -> None:
    assert taken(await client.get("/alarms/proposals")) == []
    await pool.execute("UPDATE alarm SET began_at = began_at - interval '3 days' WHERE id = 1")
    [found] = taken(await client.get("/alarms/proposals"))
    assert (found["kind"], found["rule"], found["subject"], found["side"]) == ("stale", "severe", "pump.vib", "high")
    assert (found["shelve_s"], found["priority"]) == (None, "high")
    assert ", 77 h" in found["why"]
    taken(await client.post("/alarms/shelves", json={**SHELF, "for_s": None, "one_shot": True}), 201)
    assert taken(await client.get("/alarms/proposals")) == []
