"""Devices and quarantine over HTTP, on a real database."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import asyncpg
import httpx
import pytest

from api.app import create_app
from ingest.limits import DoorLimits
from ingest.quarantine import HeldReading, hold
from ingest.registry import Birth, DeviceKind, Sighting
from ingest.registry_store import record_changes, record_sightings, sync_gateways
from precursor.release import releaser
from telemetry import database
from telemetry.batch import to_micros

T0 = datetime(2026, 10, 5, tzinfo=UTC)
PLANT = """
INSERT INTO site (name) VALUES ('mill');
INSERT INTO area (site_id, name) VALUES (1, 'hall');
INSERT INTO gateway (name, site_id, topic) VALUES ('gw', 1, 'mill/gw'), ('other', 1, 'mill/other');
INSERT INTO asset (name, area_id) VALUES ('P-1', 1);
INSERT INTO sensor (name, asset_id, unit) VALUES ('P-1.temp', 1, 'degC');
"""


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(dsn, min_size=1, max_size=4, server_settings=database.SESSION) as made:
        async with made.acquire() as connection:
            await connection.execute(PLANT)
            await sync_gateways(connection)
            births = [
                Birth(name="w/a", kind=DeviceKind.NODE, source="gw", firmware="2.1", properties={"Rack": 3}),
                Birth(name="w/a/press 1", kind=DeviceKind.DEVICE, source="gw", parent="w/a"),
            ]
            await record_changes(connection, births, T0)
            await hold(
                connection,
                [
                    HeldReading(source=source, name=name, time_us=to_micros(T0), value=212.0, quality=0, unit="degF")
                    for source in ("gw", "other")
                    for name in ("P-1.temp", "nobody")
                ],
            )
        yield made


def client_of(pool: Any, **options: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(pool, **options), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://precursor")


@pytest.fixture
async def client(pool: asyncpg.Pool) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(pool, release=releaser(DoorLimits())) as made:
        yield made


def taken(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()


def problem(answer: httpx.Response, status: int) -> Mapping[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json"
    found: Mapping[str, Any] = taken(answer, status)
    assert found["status"] == status
    return found


async def test_devices_are_listed_in_pages_and_by_what_they_are(client: httpx.AsyncClient) -> None:
    names = ["gw", "other", "w/a", "w/a/press 1"]
    assert [each["name"] for each in taken(await client.get("/devices"))["items"]] == names
    found: list[str] = []
    cursor = None
    for _ in range(2):
        page = taken(await client.get("/devices", params={"limit": 2, **({"cursor": cursor} if cursor else {})}))
        found += [each["name"] for each in page["items"]]
        cursor = page["next_cursor"]
    assert (found, cursor) == (names, None)
    for parameters, expected in (
        ({"status": "online"}, ["w/a", "w/a/press 1"]),
        ({"kind": "gateway"}, ["gw", "other"]),
        ({"status": "stale"}, []),
    ):
        answer = taken(await client.get("/devices", params=parameters))
        assert [each["name"] for each in answer["items"]] == expected
    problem(await client.get("/devices", params={"status": "asleep"}), 422)


async def test_a_device_is_found_by_its_name_with_slashes(client: httpx.AsyncClient) -> None:
    for path in ("/devices/w/a/press 1", "/devices/w%2Fa%2Fpress%201"):
        found = taken(await client.get(path))
        assert (found["name"], found["kind"], found["parent"]) == ("w/a/press 1", "device", "w/a")
    node = taken(await client.get("/devices/w/a"))
    assert (node["firmware"], node["properties"], node["origin"]) == ("2.1", {"Rack": 3}, "birth")


@pytest.mark.parametrize("name", ["nobody", "w/a/decommission", "w/", "%00", "%ED%A0%80"])
async def test_a_device_that_is_none_is_told(client: httpx.AsyncClient, name: str) -> None:
    assert "/devices lists them" in problem(await client.get(f"/devices/{name}"), 404)["detail"]
    problem(await client.patch(f"/devices/{name}", json={"title": "x"}), 404)
    for step in ("decommission", "approve"):
        problem(await client.post(f"/devices/{name}/{step}"), 404)


async def test_a_device_can_be_registered_before_its_first_word(client: httpx.AsyncClient) -> None:
    order = {"name": "w/b", "kind": "node", "title": "Edge B", "credentials": "broker user b", "stale_after_s": 30}
    made = taken(await client.post("/devices", json=order), 201)
    assert {key: made[key] for key in order} == order
    assert (made["status"], made["origin"], made["last_seen_at"]) == ("offline", "person", None)
    child = taken(await client.post("/devices", json={"name": "w/b/1", "kind": "device", "parent": "w/b"}), 201)
    assert child["parent"] == "w/b"
    assert "PATCH" in problem(await client.post("/devices", json=order), 409)["detail"]


@pytest.mark.parametrize(
    ("changes", "location"),
    [
        ({"name": ""}, "body.name"),
        ({"name": "  "}, "body.name"),
        ({"name": "a\0b"}, "body.name"),
        ({"kind": "toaster"}, "body.kind"),
        ({"parent": "nobody"}, "body.parent"),
        ({"stale_after_s": -1}, "body.stale_after_s"),
        ({"stale_after_s": 1e12}, "body.stale_after_s"),
    ],
)
async def test_a_device_that_cannot_be_is_refused(
    client: httpx.AsyncClient, changes: dict[str, Any], location: str
) -> None:
    answer = await client.post("/devices", json={"name": "w/c", "kind": "node", **changes})
    assert [each["location"] for each in problem(answer, 422)["errors"]] == [location]
    assert len(taken(await client.get("/devices"))["items"]) == 4


async def test_what_is_given_is_changed_and_the_rest_stays(client: httpx.AsyncClient) -> None:
    changed = taken(await client.patch("/devices/w/a", json={"title": "Edge A", "stale_after_s": 60}))
    assert (changed["title"], changed["stale_after_s"], changed["firmware"]) == ("Edge A", 60, "2.1")
    changed = taken(await client.patch("/devices/w/a", json={"stale_after_s": 0, "title": None}))
    assert (changed["title"], changed["stale_after_s"]) == ("Edge A", None)
    problem(await client.patch("/devices/w/a", json={"title": "NUL \0"}), 422)


async def test_a_decommissioned_device_is_quarantined_when_it_speaks_and_approved_by_a_person(
    client: httpx.AsyncClient, pool: asyncpg.Pool
) -> None:
    gone = taken(await client.post("/devices/w/a/decommission"))
    assert gone["status"] == "offline"
    assert gone["decommissioned_at"] is not None
    async with pool.acquire() as connection:
        await record_sightings(connection, [Sighting(device="w/a/press 1", source="gw")], datetime.now(UTC))
    listed = taken(await client.get("/devices", params={"status": "quarantined"}))
    assert [each["name"] for each in listed["items"]] == ["w/a/press 1"]
    approved = taken(await client.post("/devices/w/a/approve"))
    assert (approved["status"], approved["decommissioned_at"]) == ("offline", None)
    assert taken(await client.get("/devices/w/a/press 1"))["status"] == "offline"


async def test_what_is_kept_aside_is_listed_with_the_sensor_it_is_by_now(client: httpx.AsyncClient) -> None:
    found = taken(await client.get("/quarantine"))["items"]
    assert [(each["source"], each["name"], each["unit"], each["readings"], each["sensor"]) for each in found] == [
        ("gw", "P-1.temp", "degF", 1, "P-1.temp"),
        ("gw", "nobody", "degF", 1, None),
        ("other", "P-1.temp", "degF", 1, "P-1.temp"),
        ("other", "nobody", "degF", 1, None),
    ]
    page = taken(await client.get("/quarantine", params={"limit": 3}))
    rest = taken(await client.get("/quarantine", params={"limit": 3, "cursor": page["next_cursor"]}))
    assert page["items"] + rest["items"] == found
    assert rest["next_cursor"] is None
    only = taken(await client.get("/quarantine", params={"name": "nobody", "source": "other"}))["items"]
    assert only == found[3:]


async def test_a_name_is_released_into_history(client: httpx.AsyncClient) -> None:
    [outcome] = taken(await client.post("/quarantine/release", json={"name": "P-1.temp", "source": "gw"}))
    assert (outcome["stored"], outcome["sensor"], outcome["obstacle"]) == (1, "P-1.temp", None)
    outcomes = taken(await client.post("/quarantine/release", json={"name": "nobody", "sensor": "P-1.temp"}))
    assert [(each["source"], each["duplicate"]) for each in outcomes] == [("gw", 1), ("other", 1)]
    window = {"from": "2026-10-04T00:00:00Z"}
    [reading] = taken(await client.get("/sensors/P-1.temp/readings", params=window))["items"]
    assert reading["value"] == pytest.approx(100)
    lines = {each["source"]: each for each in taken(await client.get("/ledger"))["items"]}
    assert (lines["release:gw"]["received"], lines["release:gw"]["balanced"]) == (2, True)


async def test_what_cannot_be_released_is_told(client: httpx.AsyncClient) -> None:
    assert "quarantine lists" in problem(await client.post("/quarantine/release", json={"name": "x"}), 404)["detail"]
    refused = problem(await client.post("/quarantine/release", json={"name": "nobody"}), 422)
    assert [each["location"] for each in refused["errors"]] == ["body.sensor"]
    problem(await client.post("/quarantine/release", json={"name": "nobody", "sensor": "P-9"}), 422)
    problem(await client.post("/quarantine/release", json={"name": ""}), 422)
    outcomes = taken(
        await client.post("/quarantine/release", json={"name": "nobody", "sensor": "P-1.temp", "unit": "bar"})
    )
    assert ["'bar'" in each["obstacle"] for each in outcomes] == [True, True]
    assert len(taken(await client.get("/quarantine"))["items"]) == 4


async def test_what_is_thrown_away_is_gone(client: httpx.AsyncClient) -> None:
    assert taken(await client.delete("/quarantine", params={"name": "nobody", "source": "gw"})) == {"readings": 1}
    assert taken(await client.delete("/quarantine", params={"name": "nobody"})) == {"readings": 1}
    problem(await client.delete("/quarantine", params={"name": "nobody"}), 404)
    problem(await client.delete("/quarantine"), 422)


async def test_a_server_that_only_reads_says_how_else_to_release(pool: asyncpg.Pool) -> None:
    async with client_of(pool) as reading_only:
        answer = await reading_only.post("/quarantine/release", json={"name": "P-1.temp"})
        assert "precursor quarantine release" in problem(answer, 501)["detail"]
        assert len(taken(await reading_only.get("/quarantine"))["items"]) == 4


async def test_a_name_that_is_released_twice_at_once_is_stored_once(client: httpx.AsyncClient) -> None:
    order = {"name": "P-1.temp", "source": "gw"}
    answers = await asyncio.gather(*(client.post("/quarantine/release", json=order) for _ in range(4)))
    assert {answer.status_code for answer in answers} <= {200, 404}
    outcomes = [each for answer in answers if answer.status_code == 200 for each in answer.json()]
    assert sum(each["stored"] for each in outcomes) == 1
    assert sum(each["received"] for each in outcomes) == 1
