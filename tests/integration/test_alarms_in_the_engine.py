"""Rules of several kinds, what people do about their alarms, and the work orders that come of it: a running engine."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ingest.mqtt import MqttOptions, MqttSource
from precursor.apply import apply
from precursor.engine import Engine, EngineOptions
from precursor.session import SessionOptions
from rules.alarm_actions import acknowledge
from rules.alarm_silence import SilenceKind, end_silence, shelve
from simulators import gateway
from simulators.publisher import publish
from workorder_bridge.lifecycle import WorkOrderStatus, change_status

PLANT = """
version: 1
sensor_quality: off
sites:
  - name: works
    areas:
      - name: hall
        assets:
          - name: M-1
            class: motor
            sensors:
              - {name: temp, quantity: temperature, unit: degC, topic: works/temp}
              - {name: load, unit: kW, topic: works/load}
              - {name: hours, unit: h, topic: works/hours}
              - {name: state, kind: state, topic: works/state}
rules:
  - {name: hot, sensors: [M-1.temp], high: 80, priority: high, failure_mode: overheating}
  - {name: greasing, kind: usage, sensors: [M-1.hours], every: 100 h, priority: low, failure_mode: grease_used_up}
  - {name: silent, kind: no_data, assets: [M-1], for: 2 s, priority: medium, failure_mode: gateway_lost}
  - name: hot-for-its-load
    kind: expression
    assets: [M-1]
    expression: temp - 0.5 * load
    high: 40
    priority: low
    while: running
"""


@pytest.fixture
def plant(dsn: str, tmp_path: Path) -> str:
    file = tmp_path / "plant.yaml"
    file.write_text(PLANT)
    apply(dsn, file)
    return dsn


@contextlib.asynccontextmanager
async def running(
    dsn: str, port: int, *, silence_s: float = 60.0, tell_within_s: float | None = None
) -> AsyncIterator[Engine]:
    source = MqttSource(MqttOptions(host="127.0.0.1", port=port, client_id="engine"))
    options = SessionOptions(silence_s=silence_s, align_s=1.0, tell_within_s=tell_within_s)
    engine = Engine(dsn=dsn, source=source, options=EngineOptions(session=options))
    stop = asyncio.Event()
    task = asyncio.create_task(engine.run(stop))
    try:
        assert await engine.listening(20)
        yield engine
    finally:
        stop.set()
        await task


async def say(port: int, point: str, value: float | str, at: datetime | None = None) -> None:
    message = gateway.single(at or datetime.now(UTC), f"works/{point}", value)
    await asyncio.to_thread(publish, [message], port=port)


async def until(condition: Callable[[], Awaitable[Any]], what: str, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)


def counting(connection: asyncpg.Connection, table: str, where: str, number: int = 1) -> Callable[[], Awaitable[bool]]:
    async def counted() -> bool:
        return bool(await connection.fetchval(f"SELECT count(*) FROM {table} WHERE {where}") == number)

    return counted


async def test_a_shelved_alarm_is_recorded_and_asks_for_nothing_until_its_shelf_ends(
    plant: str, connection: asyncpg.Connection, mosquitto: Any
) -> None:
    now = datetime.now(UTC)
    shelf = await shelve(
        connection, "hot", "M-1.temp", actor="ann", at=now, until=now + timedelta(hours=1), note="fan is being changed"
    )
    async with running(plant, mosquitto.port):
        await say(mosquitto.port, "temp", 95.0)
        await until(counting(connection, "alarm", "rule_name = 'hot'"), "the alarm is recorded")
        await asyncio.sleep(1.5)
        assert await connection.fetchval("SELECT count(*) FROM work_order") == 0
        assert await connection.fetchval("SELECT annunciated_at FROM alarm") is None

        await end_silence(connection, SilenceKind.SHELVED, shelf.id, actor="ann", at=datetime.now(UTC))
        await until(counting(connection, "work_order", "failure_mode = 'overheating'"), "still hot: now it is told")
        await asyncio.sleep(1.2)
        assert await connection.fetchval("SELECT count(*) FROM work_order") == 1, "told once"
    kinds = [row["kind"] for row in await connection.fetch("SELECT kind FROM alarm_event ORDER BY id")]
    assert kinds[0] == "shelved"
    assert "unshelved" in kinds


async def test_a_counter_of_usage_starts_anew_when_the_work_is_done(
    plant: str, connection: asyncpg.Connection, mosquitto: Any
) -> None:
    async with running(plant, mosquitto.port):
        await say(mosquitto.port, "hours", 4000.0)
        await say(mosquitto.port, "hours", 4101.0)
        await until(counting(connection, "work_order", "failure_mode = 'grease_used_up'"), "a hundred hours are over")
        order = await connection.fetchval("SELECT id FROM work_order")
        for status in (WorkOrderStatus.ASSIGNED, WorkOrderStatus.IN_PROGRESS, WorkOrderStatus.COMPLETED):
            at = datetime.now(UTC)
            await change_status(connection, order, status, actor="bob", at=at, assignee="bob", note="greased")
        await until(counting(connection, "alarm", "ended_at IS NOT NULL"), "the alarm is over with the work")
        await say(mosquitto.port, "hours", 4150.0)
        await until(counting(connection, "reading", "value = 4150"), "counting goes on")
        assert await connection.fetchval("SELECT count(*) FROM alarm") == 1
        await say(mosquitto.port, "hours", 4202.0)
        await until(counting(connection, "alarm", "true", 2), "a hundred hours after the work")
    event = await connection.fetchrow("SELECT actor, note FROM alarm_event WHERE kind = 'reset'")
    assert event["actor"] == "bob"
    assert str(order) in event["note"]


async def test_an_asset_of_which_nothing_is_heard_raises_one_alarm_without_a_further_message(
    plant: str, connection: asyncpg.Connection, mosquitto: Any
) -> None:
    async with running(plant, mosquitto.port, silence_s=0.5):
        at = datetime.now(UTC)
        await say(mosquitto.port, "temp", 20.0, at)
        await say(mosquitto.port, "load", 20.0, at + timedelta(milliseconds=1))
        await until(counting(connection, "alarm", "rule_name = 'silent'"), "silence is noticed by itself")
        await asyncio.sleep(1)
        row = await connection.fetchrow("SELECT * FROM alarm")
        assert row["sensor_id"] is None, "the asset's, not one of each sensor"
        assert row["began_at"] == at + timedelta(seconds=2, milliseconds=1)
        assert row["category"] == "sensor"
        assert await connection.fetchval("SELECT count(*) FROM alarm") == 1
        await acknowledge(connection, row["id"], actor="ann", at=datetime.now(UTC))
        await say(mosquitto.port, "load", 21.0)
        await until(counting(connection, "alarm", "ended_at IS NOT NULL"), "it is over with the next reading")
    order = await connection.fetchrow("SELECT * FROM work_order")
    assert order["failure_mode"] == "gateway_lost"


async def test_an_asset_that_never_said_anything_is_silent_since_it_is_watched(
    plant: str, connection: asyncpg.Connection, mosquitto: Any
) -> None:
    async with running(plant, mosquitto.port, silence_s=0.5):
        await until(counting(connection, "alarm", "rule_name = 'silent'"), "nobody ever sent anything")


async def test_an_expression_is_judged_only_while_the_machine_runs(
    plant: str, connection: asyncpg.Connection, mosquitto: Any
) -> None:
    at = datetime.now(UTC) - timedelta(minutes=5)

    def later(seconds: float) -> datetime:
        return at + timedelta(seconds=seconds)

    async with running(plant, mosquitto.port):
        for second, point, value in (
            (0, "load", 40.0), (0, "temp", 70.0),  # 50 above 40, and nobody knows whether it runs
            (30, "state", "running"), (40, "load", 40.0), (50, "temp", 71.0),
            (90, "state", "stopped"), (100, "temp", 79.0), (130, "load", 1.0), (131, "temp", 60.0),
            (160, "state", "stopped"),
        ):  # fmt: skip
            await say(mosquitto.port, point, value, later(second))
        gone = "rule_name = 'hot-for-its-load' AND ended_at IS NOT NULL"
        await until(counting(connection, "alarm", gone), "came and went")
    rows = await connection.fetch("SELECT began_at, ended_at FROM alarm WHERE rule_name = 'hot-for-its-load'")
    assert [(row["began_at"], row["ended_at"]) for row in rows] == [(later(40), later(90))]


async def test_of_an_hour_that_arrives_late_only_what_still_stands_is_told(
    plant: str, connection: asyncpg.Connection, mosquitto: Any
) -> None:
    at = datetime.now(UTC) - timedelta(hours=1)
    buffered = [(0, 95.0), (60, 20.0), (120, 96.0)]
    messages = [gateway.single(at + timedelta(seconds=second), "works/temp", value) for second, value in buffered]
    async with running(plant, mosquitto.port, tell_within_s=600):
        await asyncio.to_thread(publish, messages, port=mosquitto.port)
        await until(counting(connection, "work_order", "failure_mode = 'overheating'"), "the second one still stands")
        await asyncio.sleep(1.2)
    rows = await connection.fetch(
        "SELECT began_at, annunciated_at, work_order_id FROM alarm WHERE rule_name = 'hot' ORDER BY began_at"
    )
    assert [row["began_at"] for row in rows] == [at, at + timedelta(seconds=120)]
    assert rows[0]["annunciated_at"] is None
    assert rows[1]["work_order_id"] is not None
