"""The registry of devices in a real database: who is there, whose clock is wrong, who is not listened to."""

import asyncio
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ingest import registration
from ingest.registration import DeviceSettings
from ingest.registry import (
    Birth,
    Death,
    Device,
    DeviceChange,
    DeviceKind,
    DeviceStatus,
    Sighting,
    TakenNameError,
    UnknownDeviceError,
    blocked,
)
from ingest.registry_store import load_devices, mark_silent, record_changes, record_sightings, sync_gateways
from ingest.sessions import MetricRow, NodeRow, load_sparkplug, save_metrics, save_nodes
from telemetry import database
from telemetry.batch import to_micros
from telemetry.errors import ConfigurationError
from telemetry.plant_store import plant_revision

T0 = datetime(2026, 11, 21, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)

PLANT = """
INSERT INTO site (name) VALUES ('mill');
INSERT INTO gateway (name, site_id, topic) VALUES ('gw-1', 1, 'mill/gw-1'), ('gw-2', 1, 'mill/gw-2');
INSERT INTO gateway (name, site_id, topic, retired_at) VALUES ('gw-old', 1, 'mill/gw-old', now());
"""


@pytest.fixture
async def plant(connection: asyncpg.Connection) -> asyncpg.Connection:
    await connection.execute(PLANT)
    await sync_gateways(connection)
    return connection


async def device(connection: asyncpg.Connection, name: str) -> Device:
    return await registration.find_device(connection, name)


async def row_version(connection: asyncpg.Connection, name: str) -> object:
    return await connection.fetchval("SELECT ctid::text || ' ' || xmin::text FROM device WHERE name = $1", name)


def heard(name: str, newest: datetime | None = None, source: str = "gw-1") -> Sighting:
    return Sighting(device=name, source=source, newest_us=None if newest is None else to_micros(newest))


def node(name: str, **facts: object) -> Birth:
    return Birth(name=name, kind=DeviceKind.NODE, source="gw-1", **facts)  # type: ignore[arg-type]  # passed on


def behind(name: str) -> Birth:
    return Birth(name=name, kind=DeviceKind.DEVICE, source="gw-1", parent=name.rpartition("/")[0])


async def test_gateways_of_the_plant_are_devices_by_themselves(plant: asyncpg.Connection) -> None:
    found = await load_devices(plant)
    assert [(each.name, each.kind, each.origin, each.status) for each in found] == [
        ("gw-1", DeviceKind.GATEWAY, "plant", DeviceStatus.OFFLINE),
        ("gw-2", DeviceKind.GATEWAY, "plant", DeviceStatus.OFFLINE),
    ]
    await sync_gateways(plant)
    assert await load_devices(plant) == found


async def test_a_gateway_that_left_the_plant_is_offline_and_still_known(plant: asyncpg.Connection) -> None:
    await record_sightings(plant, [heard("gw-1"), heard("gw-2")], T0)
    await plant.execute("UPDATE gateway SET retired_at = now() WHERE name = 'gw-2'")
    await sync_gateways(plant)
    assert {each.name: each.status for each in await load_devices(plant)} == {
        "gw-1": DeviceStatus.ONLINE,
        "gw-2": DeviceStatus.OFFLINE,
    }


async def test_a_device_that_is_heard_is_online_and_that_is_told_once(plant: asyncpg.Connection) -> None:
    assert (await record_sightings(plant, [heard("gw-1")], T0)).online == ("gw-1",)
    assert (await record_sightings(plant, [heard("gw-1")], T0 + SECOND)).online == ()
    found = await device(plant, "gw-1")
    assert (found.status, found.status_at, found.last_seen_at) == (DeviceStatus.ONLINE, T0, T0 + SECOND)


async def test_what_was_seen_within_a_second_is_not_written_again(plant: asyncpg.Connection) -> None:
    await record_sightings(plant, [heard("gw-1")], T0)
    before = await row_version(plant, "gw-1")
    await record_sightings(plant, [heard("gw-1", T0)], T0 + 0.9 * SECOND)
    assert await row_version(plant, "gw-1") == before
    await record_sightings(plant, [heard("gw-1", T0)], T0 + SECOND)
    assert await row_version(plant, "gw-1") != before


async def test_sightings_of_unknown_devices_and_odd_names_change_nothing(plant: asyncpg.Connection) -> None:
    before = await load_devices(plant)
    odd = ["nobody", "\0", "\ud800", "x" * 70_000, ""]
    assert (await record_sightings(plant, [heard(name) for name in odd], T0)).online == ()
    assert await load_devices(plant) == before


@pytest.mark.parametrize(
    ("samples", "expected_s"),
    [
        ([(0, -0.5), (10, -0.3), (20, -0.6)], -0.3),
        ([(0, 90.0), (10, 89.0)], 90.0),
        ([(0, -0.2), (10, -3600.0), (20, -3000.0), (30, -0.4)], -0.2),
        ([(0, -0.2), (301, -3600.0)], -0.2),
        ([(0, -0.2), *((minute * 60, -3600.0) for minute in range(1, 12))], -3600.0),
        ([(0, -0.2), (60, 120.0)], 120.0),
        ([(0, 120.0), *((minute * 60, -0.1) for minute in range(1, 12))], -0.1),
        ([(0, None), (10, -1.0), (20, None)], -1.0),
    ],
    ids=[
        "the quickest message tells most",
        "a clock that runs ahead",
        "readings that were buffered tell nothing",
        "what is known of a stretch outlives its end",
        "a clock that was set back",
        "a clock that was set ahead",
        "a clock that was set right",
        "batches without a time",
    ],
)
async def test_the_offset_of_a_clock(
    plant: asyncpg.Connection, samples: Sequence[tuple[float, float | None]], expected_s: float
) -> None:
    for after_s, ahead_s in samples:
        now = T0 + after_s * SECOND
        newest = None if ahead_s is None else now + ahead_s * SECOND
        await record_sightings(plant, [heard("gw-1", newest)], now)
    assert (await device(plant, "gw-1")).clock_offset_s == pytest.approx(expected_s)


async def test_of_several_sightings_of_a_device_the_newest_time_counts(plant: asyncpg.Connection) -> None:
    sightings = [heard("gw-1", T0 - MINUTE), heard("gw-1", T0 - SECOND), heard("gw-1"), heard("gw-1", T0 - 2 * SECOND)]
    await record_sightings(plant, sightings, T0)
    assert (await device(plant, "gw-1")).clock_offset_s == -1.0


async def test_silence_makes_stale_those_that_may_not_be_silent(plant: asyncpg.Connection) -> None:
    await registration.configure(plant, "gw-1", DeviceSettings(stale_after_s=30))
    await record_sightings(plant, [heard("gw-1"), heard("gw-2")], T0)
    assert await mark_silent(plant, T0 + 30 * SECOND) == ()
    assert await mark_silent(plant, T0 + 31 * SECOND) == ("gw-1",)
    assert await mark_silent(plant, T0 + 32 * SECOND) == ()
    assert (await device(plant, "gw-1")).status_at == T0 + 31 * SECOND
    assert (await record_sightings(plant, [heard("gw-1")], T0 + MINUTE)).online == ("gw-1",)


async def test_births_make_devices_known_with_what_they_say(plant: asyncpg.Connection) -> None:
    facts = {"Hardware": "PLC", "n": 3, "odd\0": "\ud800", "far": float("inf"), "big": 1 << 70, "none": None}
    changes: list[DeviceChange] = [
        node("works/edge", hardware="RPi 5", firmware="2.1", properties=facts, time_us=to_micros(T0 + MINUTE)),
        behind("works/edge/press"),
    ]
    recorded = await record_changes(plant, changes, T0)
    assert recorded.online == ("works/edge", "works/edge/press")
    edge, press = await device(plant, "works/edge"), await device(plant, "works/edge/press")
    assert (edge.kind, edge.hardware, edge.firmware, edge.source) == (DeviceKind.NODE, "RPi 5", "2.1", "gw-1")
    assert (edge.origin, edge.clock_offset_s, edge.last_seen_at) == ("birth", 60.0, T0)
    assert edge.properties == {
        "Hardware": "PLC",
        "n": 3,
        "odd\\x00": "\\ud800",
        "far": "inf",
        "big": str(1 << 70),
        "none": None,
    }
    assert (press.kind, press.parent) == (DeviceKind.DEVICE, "works/edge")


async def test_a_birth_that_says_nothing_new_writes_nothing(plant: asyncpg.Connection) -> None:
    birth = node("works/edge", firmware="2.1", properties={"a": 1})
    await record_changes(plant, [birth], T0)
    before = await row_version(plant, "works/edge")
    await record_changes(plant, [birth], T0 + 0.5 * SECOND)
    assert await row_version(plant, "works/edge") == before


async def test_what_a_birth_leaves_open_stays_as_a_person_set_it(plant: asyncpg.Connection) -> None:
    await registration.register(
        plant, "works/edge", DeviceKind.NODE, settings=DeviceSettings(title="Edge", hardware="box", firmware="1")
    )
    await record_changes(plant, [node("works/edge", firmware="2.1")], T0)
    found = await device(plant, "works/edge")
    assert (found.title, found.hardware, found.firmware, found.origin) == ("Edge", "box", "2.1", "person")


async def test_with_a_node_all_behind_it_is_gone(plant: asyncpg.Connection) -> None:
    born = [node("w/a"), behind("w/a/1"), behind("w/a/2"), node("w/b"), behind("w/b/1")]
    await record_changes(plant, born, T0)
    assert (await record_changes(plant, [Death(name="w/a")], T0 + SECOND)).offline == ("w/a", "w/a/1", "w/a/2")
    assert (await record_changes(plant, [Death(name="w/b/1")], T0 + SECOND)).offline == ("w/b/1",)
    assert (await device(plant, "w/b")).status is DeviceStatus.ONLINE
    assert (await record_changes(plant, [Death(name="w/a"), Death(name="nobody")], T0 + MINUTE)).offline == ()


NAMES = ["w/a", "w/a/1", "w/a/2", "w/b", "w/b/1"]
a_change = st.sampled_from(NAMES).flatmap(
    lambda name: st.sampled_from([Death(name=name), behind(name) if name.count("/") == 2 else node(name)])
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(a_change, max_size=12), cut=st.integers(0, 12))
async def test_births_and_deaths_end_alike_in_one_batch_and_one_by_one(
    changes: list[DeviceChange], cut: int, module_dsn: str
) -> None:
    # A device is never born before its node.
    nodes: list[DeviceChange] = [node("w/a"), node("w/b")]
    expected = {"w/a": True, "w/b": True}
    for change in changes:
        if isinstance(change, Birth):
            expected[change.name] = True
        else:
            dead = [name for name in expected if name == change.name or name.startswith(f"{change.name}/")]
            expected.update(dict.fromkeys(dead, False))
    connection = await database.connect(module_dsn)
    try:
        await connection.execute("TRUNCATE device, sparkplug_node, sparkplug_metric")
        for batch in (nodes, changes[:cut], changes[cut:]):
            await record_changes(connection, batch, T0)
        standing = {each.name: each.status is DeviceStatus.ONLINE for each in await load_devices(connection)}
    finally:
        await connection.close()
    assert standing == expected


async def test_a_decommissioned_device_that_speaks_again_is_quarantined_and_that_is_told(
    plant: asyncpg.Connection,
) -> None:
    await record_sightings(plant, [heard("gw-1"), heard("gw-2")], T0)
    gone = await registration.decommission(plant, "gw-1", T0 + SECOND)
    assert (gone.status, gone.decommissioned_at) == (DeviceStatus.OFFLINE, T0 + SECOND)
    assert blocked(await load_devices(plant)) == {"gw-1"}
    spoke = await record_sightings(plant, [heard("gw-1"), heard("gw-2")], T0 + MINUTE)
    assert (spoke.online, spoke.quarantined) == ((), ("gw-1",))
    again = await record_sightings(plant, [heard("gw-1")], T0 + 2 * MINUTE)
    assert (again.online, again.quarantined) == ((), ())
    found = await device(plant, "gw-1")
    assert (found.status, found.last_seen_at) == (DeviceStatus.QUARANTINED, T0 + 2 * MINUTE)


async def test_neither_birth_nor_death_nor_silence_takes_a_device_out_of_quarantine(plant: asyncpg.Connection) -> None:
    await record_changes(plant, [node("w/a"), behind("w/a/1")], T0)
    await registration.decommission(plant, "w/a", T0)
    await registration.configure(plant, "w/a", DeviceSettings(stale_after_s=1))
    recorded = await record_changes(plant, [node("w/a"), behind("w/a/1"), Death(name="w/a")], T0 + MINUTE)
    assert recorded.quarantined == ("w/a", "w/a/1")
    assert await mark_silent(plant, T0 + 10 * MINUTE) == ()
    assert [(await device(plant, name)).status for name in ("w/a", "w/a/1")] == [DeviceStatus.QUARANTINED] * 2


async def test_an_approved_device_is_listened_to_again(plant: asyncpg.Connection) -> None:
    await record_changes(plant, [node("w/a"), behind("w/a/1")], T0)
    await registration.decommission(plant, "w/a", T0)
    await record_sightings(plant, [heard("w/a"), heard("w/a/1")], T0 + SECOND)
    approved = await registration.approve(plant, "w/a", T0 + MINUTE)
    assert (approved.status, approved.decommissioned_at) == (DeviceStatus.OFFLINE, None)
    assert blocked(await load_devices(plant)) == frozenset()
    assert (await record_sightings(plant, [heard("w/a"), heard("w/a/1")], T0 + MINUTE)).online == ("w/a", "w/a/1")


async def test_an_engine_at_work_hears_of_who_is_blocked(plant: asyncpg.Connection) -> None:
    revision = await plant_revision(plant)
    await registration.decommission(plant, "gw-1", T0)
    await registration.approve(plant, "gw-1", T0)
    assert await plant_revision(plant) == revision + 2
    await registration.configure(plant, "gw-1", DeviceSettings(title="One"))
    assert await plant_revision(plant) == revision + 2


async def test_what_a_person_sets_is_kept_and_the_rest_stays(plant: asyncpg.Connection) -> None:
    made = await registration.register(
        plant,
        "w/a",
        DeviceKind.NODE,
        source="gw-1",
        settings=DeviceSettings(title="Edge", credentials="broker user edge-a", stale_after_s=60),
    )
    assert (made.origin, made.status, made.stale_after_s) == ("person", DeviceStatus.OFFLINE, 60)
    changed = await registration.configure(plant, "w/a", DeviceSettings(title="Edge A"))
    assert (changed.title, changed.credentials, changed.stale_after_s) == ("Edge A", "broker user edge-a", 60)
    assert (await registration.configure(plant, "w/a", DeviceSettings(stale_after_s=0))).stale_after_s is None
    child = await registration.register(plant, "w/a/1", DeviceKind.DEVICE, parent="w/a")
    assert child.parent == "w/a"


async def test_persons_hear_what_is_wrong_with_a_name(plant: asyncpg.Connection) -> None:
    with pytest.raises(TakenNameError, match="already"):
        await registration.register(plant, "gw-1", DeviceKind.GATEWAY)
    with pytest.raises(UnknownDeviceError, match="nobody"):
        await registration.register(plant, "w/a/1", DeviceKind.DEVICE, parent="nobody")
    with pytest.raises(ConfigurationError, match="cannot be the name"):
        await registration.register(plant, "a\0b", DeviceKind.DEVICE)
    for step in (registration.decommission, registration.approve):
        with pytest.raises(UnknownDeviceError, match="devices list"):
            await step(plant, "nobody", T0)
    assert len(await load_devices(plant)) == 2


async def test_sessions_that_record_the_same_devices_at_once_do_not_hinder_each_other(dsn: str) -> None:
    names = [f"w/n{number}" for number in range(40)]
    sessions = [await database.connect(dsn) for _ in range(4)]
    try:
        await record_changes(sessions[0], [node(name) for name in names], T0)

        async def work(session: int) -> None:
            connection = sessions[session]
            for step in range(1, 25):
                now = T0 + (2 * step + session) * SECOND
                ordered = names if session % 2 else names[::-1]
                await record_sightings(connection, [heard(name, now - SECOND) for name in ordered], now)
                await record_changes(connection, [Death(name=ordered[step]), node(ordered[-step])], now)
                await registration.approve(connection, ordered[step], now)
                await mark_silent(connection, now)

        async with asyncio.timeout(60):
            await asyncio.gather(*(work(session) for session in range(4)))
        found = await load_devices(sessions[0])
        assert {each.last_seen_at for each in found} == {T0 + (2 * 24 + 3) * SECOND}
        assert [each.name for each in found] == sorted(names)
    finally:
        for connection in sessions:
            await connection.close()


def metrics(count: int, **changes: object) -> list[MetricRow]:
    return [
        MetricRow(**{"name": f"m/{number}", "alias": number, "datatype": 10, "unit": "degC", **changes})  # type: ignore[arg-type]  # passed on
        for number in range(count)
    ]


async def test_sessions_of_nodes_come_back_as_they_were_saved(plant: asyncpg.Connection) -> None:
    await record_changes(plant, [node("w/a"), behind("w/a/1")], T0)
    rows = [
        NodeRow(device="w/a", bd_seq=7, seq=255, born_us=to_micros(T0)),
        NodeRow(device="nobody", bd_seq=1, seq=1, born_us=None),
    ]
    await save_nodes(plant, rows)
    given_metrics = [
        MetricRow(name="temp", alias=(1 << 64) - 1, datatype=10, unit="degC", low=-40, high=120.5),
        MetricRow(name="état\0", alias=None, datatype=12),
    ]
    await save_metrics(plant, "w/a/1", given_metrics)
    await save_metrics(plant, "nobody", given_metrics)
    found = await load_sparkplug(plant)
    assert found.nodes == (rows[0],)
    assert dict(found.metrics) == {
        "w/a/1": (given_metrics[0], MetricRow(name="état\\x00", alias=None, datatype=12)),
    }
    await save_nodes(plant, [NodeRow(device="w/a", bd_seq=8, seq=0, born_us=None)])
    assert (await load_sparkplug(plant)).nodes == (NodeRow(device="w/a", bd_seq=8, seq=0, born_us=None),)


async def test_numbers_no_node_may_send_are_not_known(plant: asyncpg.Connection) -> None:
    await record_changes(plant, [node("w/a")], T0)
    await save_nodes(plant, [NodeRow(device="w/a", bd_seq=1 << 63, seq=-1, born_us=1 << 62)])
    assert (await load_sparkplug(plant)).nodes == (NodeRow(device="w/a", bd_seq=None, seq=None, born_us=None),)
    odd = MetricRow(name="m", alias=1, datatype=10, low=float("-inf"), high=float("nan"))
    await save_metrics(plant, "w/a", [odd])
    assert (await load_sparkplug(plant)).metrics["w/a"] == (MetricRow(name="m", alias=1, datatype=10),)


a_metric = st.builds(
    MetricRow,
    name=st.sampled_from(["a", "b", "c", "d"]),
    alias=st.none() | st.integers(0, (1 << 64) - 1),
    datatype=st.integers(0, 34),
    unit=st.sampled_from(["", "bar"]),
    low=st.none() | st.floats(-1e6, 1e6),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(births=st.lists(st.lists(a_metric, max_size=6), min_size=1, max_size=4))
async def test_the_metrics_of_a_device_are_those_of_its_last_birth(
    births: list[list[MetricRow]], module_dsn: str
) -> None:
    connection = await database.connect(module_dsn)
    try:
        await record_changes(connection, [node("w/m")], T0)
        for rows in births:
            await save_metrics(connection, "w/m", rows)
        found = (await load_sparkplug(connection)).metrics.get("w/m", ())
    finally:
        await connection.close()
    assert {row.name: row for row in found} == {row.name: row for row in births[-1]}


async def test_the_metrics_of_a_birth_that_says_the_same_are_not_written_again(plant: asyncpg.Connection) -> None:
    await record_changes(plant, [node("w/a")], T0)
    await save_metrics(plant, "w/a", metrics(300))
    versions = "SELECT array_agg(DISTINCT xmin::text) FROM sparkplug_metric"
    before = await plant.fetchval(versions)
    await save_metrics(plant, "w/a", metrics(300))
    assert await plant.fetchval(versions) == before
    await save_metrics(plant, "w/a", metrics(200, unit="degF"))
    assert {row.unit for row in (await load_sparkplug(plant)).metrics["w/a"]} == {"degF"}
    assert await plant.fetchval("SELECT count(*) FROM sparkplug_metric") == 200


async def test_properties_are_json_the_database_takes_whatever_they_were(plant: asyncpg.Connection) -> None:
    nested = {"list": [1, 2], "bytes": b"\0\xff", "nan": float("nan"), "yes": True}
    await record_changes(plant, [node("w/a", properties=nested)], T0)
    stored = json.loads(await plant.fetchval("SELECT properties::text FROM device WHERE name = 'w/a'"))
    assert stored == {"list": "[1, 2]", "bytes": "b'\\x00\\xff'", "nan": "nan", "yes": True}
