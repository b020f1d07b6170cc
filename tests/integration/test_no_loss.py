"""What the engine owes a broker, with both in their real form: no acknowledgement before COMMIT, nothing dropped."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import paho.mqtt.client as paho
import pytest
import structlog
from paho.mqtt.enums import CallbackAPIVersion

from ingest.message import Message
from ingest.mqtt import MqttOptions, MqttSource
from precursor.apply import apply
from precursor.engine import Engine
from simulators import gateway
from telemetry.batch import to_datetime

VIBRATION = "northfield/P-101/vib_de"
T0 = 1_780_000_000_000_000
SECOND = 1_000_000
PATIENCE_S = 30.0
LEDGER = "SELECT sum(received) r, sum(stored) s, sum(duplicate) d FROM ledger WHERE source <> 'derived'"
COUNT = "SELECT count(*) FROM reading r JOIN sensor s ON s.id = r.sensor_id WHERE s.name = 'P-101.vib_de'"


@pytest.fixture(params=["3.1.1", "5"])
def protocol(request: pytest.FixtureRequest) -> str:
    value: str = request.param
    return value


@pytest.fixture
def plant(dsn: str, examples: Path) -> str:
    apply(dsn, examples / "plant.yaml")
    return dsn


def options(port: int, protocol: str, **changes: Any) -> MqttOptions:
    settings: dict[str, Any] = {"port": port, "client_id": "engine", "protocol": protocol, "retry_max_s": 0.5}
    return MqttOptions(**(settings | changes))


def publish(port: int, seconds: range, *, qos: int = 1) -> None:
    """One reading for each second of event time; returns when the broker has taken all."""
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    messages = [gateway.single(to_datetime(T0 + second * SECOND), VIBRATION, 1.0) for second in seconds]
    for info in [client.publish(each.topic, each.payload, qos) for each in messages]:
        info.wait_for_publish(PATIENCE_S)
        assert info.is_published()
    client.disconnect()
    client.loop_stop()


async def until(condition: Callable[[], Awaitable[Any]], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not await condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


async def count(connection: asyncpg.Connection) -> int:
    """Readings that came through MQTT; scores of a detector are left out."""
    return int(await connection.fetchval(COUNT))


async def stored(connection: asyncpg.Connection, wanted: int) -> None:
    async def there() -> bool:
        return await count(connection) == wanted

    await until(there, f"{wanted} readings are stored")


@contextlib.asynccontextmanager
async def running(dsn: str, source: MqttSource) -> AsyncIterator[Engine]:
    engine = Engine(dsn=dsn, source=source)
    stop = asyncio.Event()
    task = asyncio.create_task(engine.run(stop))
    try:
        assert await engine.listening(PATIENCE_S)
        yield engine
    finally:
        stop.set()
        await task


async def left_at_the_broker(port: int, protocol: str) -> list[Message]:
    """What the engine's session still holds; it is not acknowledged."""
    source = MqttSource(options(port, protocol))
    await source.start(["northfield/#"])
    try:
        assert await source.ready(PATIENCE_S)
        messages: list[Message] = []
        while received := await source.receive(timeout_s=0.5):
            messages += received
        return messages
    finally:
        await source.stop()


async def test_qos_2_comes_as_qos_1_and_is_acknowledged_after_its_commit(
    plant: str, connection: asyncpg.Connection, mosquitto: Any, protocol: str
) -> None:
    """We ask for QoS 1: at QoS 2 the broker would forget a message before we have stored it."""
    source = MqttSource(options(mosquitto.port, protocol))
    async with running(plant, source):
        async with connection.transaction():
            await connection.execute("LOCK TABLE ledger_entry IN EXCLUSIVE MODE")
            await asyncio.to_thread(publish, mosquitto.port, range(50), qos=2)

            async def arrived() -> bool:
                return source.received > 0

            await until(arrived, "messages reach the engine")
            await asyncio.sleep(0.3)
            assert source.acknowledged == 0
        await stored(connection, 50)

        async def acknowledged() -> bool:
            return source.acknowledged == 50

        await until(acknowledged, "all are acknowledged once the COMMIT is through")
    assert await left_at_the_broker(mosquitto.port, protocol) == []


async def test_messages_marked_as_delivered_before_are_stored_if_they_were_not(
    plant: str, connection: asyncpg.Connection, mosquitto: Any, protocol: str
) -> None:
    async with running(plant, MqttSource(options(mosquitto.port, protocol))):
        pass
    await asyncio.to_thread(publish, mosquitto.port, range(100))
    # Delivered to somebody who dies with them: whatever comes now is marked DUP.
    messages = await left_at_the_broker(mosquitto.port, protocol)
    assert len(messages) == 100
    again = await left_at_the_broker(mosquitto.port, protocol)
    assert all(message.dup for message in again)
    async with running(plant, MqttSource(options(mosquitto.port, protocol))):
        await stored(connection, 100)
    [row] = await connection.fetch(LEDGER)
    assert (row["r"], row["s"], row["d"]) == (100, 100, 0)


async def test_an_orderly_stop_while_messages_flow_leaves_each_message_stored_or_at_the_broker(
    plant: str, connection: asyncpg.Connection, mosquitto: Any, protocol: str
) -> None:
    async with running(plant, MqttSource(options(mosquitto.port, protocol))):
        publishing = asyncio.create_task(asyncio.to_thread(publish, mosquitto.port, range(5000)))

        async def flowing() -> bool:
            return await count(connection) > 500

        await until(flowing, "readings are being stored")
    before = await count(connection)
    await publishing
    rest = await left_at_the_broker(mosquitto.port, protocol)
    # What was stored was acknowledged, what was acknowledged was stored: each message is in one place.
    assert len({message.payload for message in rest}) + before == 5000
    async with running(plant, MqttSource(options(mosquitto.port, protocol))):
        await stored(connection, 5000)
    assert await connection.fetchval(
        "SELECT bool_and(balanced) AND sum(duplicate) = 0 FROM ledger WHERE source <> 'derived'"
    )


async def test_an_engine_behind_a_window_of_twenty_does_not_stall(
    plant: str, connection: asyncpg.Connection, mosquitto: Any, protocol: str
) -> None:
    mosquitto.stop()
    mosquitto.extra = "max_inflight_messages 20"
    mosquitto.start()
    async with running(plant, MqttSource(options(mosquitto.port, protocol))):
        pass
    await asyncio.to_thread(publish, mosquitto.port, range(500))
    # On MQTT 5 the window is what we ask for.
    window = 20 if protocol == "3.1.1" else 500
    assert len(await left_at_the_broker(mosquitto.port, protocol)) == window
    async with running(plant, MqttSource(options(mosquitto.port, protocol))):
        await stored(connection, 500)


async def test_two_engines_on_one_client_id_are_said_and_what_they_hear_is_stored_by_one_of_them(
    new_database: Callable[[], str], mosquitto: Any, protocol: str, examples: Path
) -> None:
    dsns = [new_database(), new_database()]
    for each in dsns:
        await asyncio.to_thread(apply, each, examples / "plant.yaml")
    sources = [MqttSource(options(mosquitto.port, protocol)) for _ in dsns]
    with structlog.testing.capture_logs() as logs:
        async with running(dsns[0], sources[0]):
            second = Engine(dsn=dsns[1], source=sources[1])
            stop = asyncio.Event()
            task = asyncio.create_task(second.run(stop))

            async def said() -> bool:
                return any(entry["event"] == "mqtt_session_taken_over" for entry in logs)

            await until(said, "two engines on one session are said")
            stop.set()
            await task
            await asyncio.to_thread(publish, mosquitto.port, range(200))
            connections = [await asyncpg.connect(dsn) for dsn in dsns]
            try:

                async def all_stored() -> bool:
                    return sum([await count(each) for each in connections]) >= 200

                await until(all_stored, "each message is stored by one of them")
            finally:
                for each in connections:
                    await each.close()
    [entry] = {entry["client_id"]: entry for entry in logs if entry["event"] == "mqtt_session_taken_over"}.values()
    assert entry["client_id"] == "engine"
    assert "give each its own" in entry["advice"]
