"""The engine in this process, on a real broker and a real database."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from ingest.decoded import Decoded
from ingest.decoder import Decoder
from ingest.message import Message
from ingest.mqtt import MqttOptions, MqttSource
from precursor.apply import apply
from precursor.engine import Engine, EngineOptions
from precursor.session import SessionOptions
from simulators import gateway
from simulators.publisher import publish
from telemetry import rollups
from telemetry.batch import to_datetime
from telemetry.editions import detect_async

VIBRATION = "northfield/P-101/vib_de"
T0 = 1_780_000_000_000_000
SECOND = 1_000_000


def message(second: float, value: float | str, topic: str = VIBRATION) -> gateway.Message:
    return gateway.single(to_datetime(T0 + round(second * SECOND)), topic, value)


@contextlib.asynccontextmanager
async def running(
    dsn: str, port: int, *, silence_s: float = 5.0, client_id: str = "engine", source: MqttSource | None = None
) -> AsyncIterator[Engine]:
    source = source or MqttSource(MqttOptions(host="127.0.0.1", port=port, client_id=client_id))
    engine = Engine(dsn=dsn, source=source, options=EngineOptions(session=SessionOptions(silence_s=silence_s)))
    stop = asyncio.Event()
    task = asyncio.create_task(engine.run(stop))
    try:
        listening = asyncio.create_task(engine.listening(20))
        done, _ = await asyncio.wait({task, listening}, return_when=asyncio.FIRST_COMPLETED)
        if task in done:
            task.result()
        assert listening.result()
        yield engine
    finally:
        stop.set()
        await task


async def send(port: int, messages: Sequence[gateway.Message]) -> None:
    await asyncio.to_thread(publish, messages, port=port)


async def until(condition: Callable[[], Awaitable[Any]], what: str, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.05)


@pytest.fixture
def plant(dsn: str, examples: Path) -> str:
    apply(dsn, examples / "plant.yaml")
    return dsn


async def count(connection: asyncpg.Connection, table: str = "reading", where: str = "true") -> int:
    return int(await connection.fetchval(f"SELECT count(*) FROM {table} WHERE {where}"))


async def test_a_message_the_engine_cannot_process_is_set_aside_and_its_neighbours_are_stored(
    plant: str, connection: asyncpg.Connection, mosquitto: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = Decoder.decode

    def with_a_bug(self: Decoder, messages: Sequence[Message], now_us: int) -> Decoded:
        if any(b"666" in each.payload for each in messages):
            raise ZeroDivisionError("a bug")
        return healthy(self, messages, now_us)

    monkeypatch.setattr(Decoder, "decode", with_a_bug)
    async with running(plant, mosquitto.port):
        await send(mosquitto.port, [message(n, 666.0 if n == 7 else 1.0) for n in range(20)])

        async def all_stored() -> bool:
            return await count(connection) == 19

        await until(all_stored, "the neighbours of a poison message are stored")
    row = await connection.fetchrow("SELECT reason, detail, payload FROM rejected")
    assert row["reason"] == "internal_error"
    assert "a bug" in row["detail"]
    assert b"666" in row["payload"]
    assert await connection.fetchval("SELECT bool_and(balanced) FROM ledger")


async def test_nothing_is_acknowledged_before_its_transaction_has_committed(
    plant: str, connection: asyncpg.Connection, mosquitto: Any
) -> None:
    source = MqttSource(MqttOptions(host="127.0.0.1", port=mosquitto.port, client_id="engine"))
    async with running(plant, mosquitto.port, source=source):
        # The ledger is written last: with it locked, everything of a batch is done but its COMMIT.
        async with connection.transaction():
            await connection.execute("LOCK TABLE ledger_entry IN EXCLUSIVE MODE")
            await send(mosquitto.port, [message(n, 1.0) for n in range(50)])

            async def arrived() -> bool:
                return source.received > 0

            await until(arrived, "messages reach the engine")
            await asyncio.sleep(0.5)
            assert source.acknowledged == 0

        async def acknowledged() -> bool:
            return source.acknowledged == 50

        await until(acknowledged, "all are acknowledged once the COMMIT is through")
        assert await count(connection) == 50


async def test_a_plant_applied_while_the_engine_runs_is_taken_over_and_alarms_of_retired_rules_end(
    plant: str, connection: asyncpg.Connection, mosquitto: Any, examples: Path, tmp_path: Path
) -> None:
    async with running(plant, mosquitto.port):
        await send(mosquitto.port, [message(n, 9.0) for n in range(0, 120, 10)])

        async def alarmed() -> bool:
            return await count(connection, "alarm", "ended_at IS NULL") == 1

        await until(alarmed, "nine mm/s for two minutes raise the limit's alarm")
        changed = (examples / "plant.yaml").read_text()
        begin = changed.index("  # The limit: ISO")
        end = changed.index("  - name: bearing-temperature-high")
        extra = "              - {name: new, quantity: q, unit: bar, topic: northfield/P-101/new}\n"
        changed = changed[:begin] + changed[end:]
        at = changed.index("              - name: vib_nde # non-drive end")
        (tmp_path / "plant.yaml").write_text(changed[:at] + extra + changed[at:])
        await asyncio.to_thread(apply, plant, tmp_path / "plant.yaml")

        async def ended() -> bool:
            return await count(connection, "alarm", "ended_at IS NULL") == 0

        await until(ended, "the alarm of a rule that is gone ends")
        await send(mosquitto.port, [message(1, 4.0, "northfield/P-101/new")])

        async def stored() -> bool:
            return await count(connection, "reading r JOIN sensor s ON s.id = r.sensor_id", "s.name = 'P-101.new'") == 1

        await until(stored, "a sensor added while running is stored")


async def test_a_limit_passed_just_before_silence_still_raises_its_alarm(
    plant: str, connection: asyncpg.Connection, mosquitto: Any
) -> None:
    async with running(plant, mosquitto.port, silence_s=0.3):
        # On-delay 60 s; the last reading says that 59.5 s of it are over.
        await send(mosquitto.port, [message(0, 9.0), message(59.5, 9.5)])

        async def alarmed() -> bool:
            return await count(connection, "alarm") == 1

        await until(alarmed, "a delay runs out without one more message")
    row = await connection.fetchrow("SELECT began_at, value FROM alarm")
    assert row["began_at"] == to_datetime(T0 + 60 * SECOND)
    assert row["value"] == 9.5
    [entry] = await connection.fetch("SELECT evidence, opened_at FROM work_order")
    assert json.loads(entry["evidence"])[0]["sensor"] == "P-101.vib_de"


async def test_an_orderly_stop_leaves_a_checkpoint_and_an_empty_journal(
    plant: str, connection: asyncpg.Connection, mosquitto: Any
) -> None:
    async with running(plant, mosquitto.port):
        await send(mosquitto.port, [message(n, 1.0) for n in range(50)])

        async def stored() -> bool:
            return await count(connection) == 50

        await until(stored, "fifty readings")
        assert await count(connection, "evaluation_journal") > 0
    assert await count(connection, "evaluation_journal") == 0
    assert await count(connection, "evaluation_checkpoint") > 0


async def test_a_second_engine_on_the_same_database_waits_and_takes_over_when_the_first_one_stops(
    plant: str, connection: asyncpg.Connection, mosquitto: Any
) -> None:
    second = Engine(
        dsn=plant, source=MqttSource(MqttOptions(host="127.0.0.1", port=mosquitto.port, client_id="second"))
    )
    stop = asyncio.Event()
    async with running(plant, mosquitto.port, client_id="first"):
        waiting = asyncio.create_task(second.run(stop))
        await asyncio.sleep(1)
        assert second.totals.database_up is False
        assert not await second.listening(0.1)
    assert await second.listening(20)
    stop.set()
    await waiting


async def test_a_broker_restarted_with_its_store_loses_nothing(
    plant: str, connection: asyncpg.Connection, mosquitto: Any
) -> None:
    async with running(plant, mosquitto.port):
        await send(mosquitto.port, [message(n, 1.0) for n in range(100)])
        mosquitto.stop()
        mosquitto.start()
        await send(mosquitto.port, [message(n, 1.0) for n in range(100, 200)])

        async def stored() -> bool:
            return await count(connection) == 200

        await until(stored, "readings from before and after the restart")


async def test_late_readings_of_the_engine_are_in_the_rollups_after_the_next_advance(
    plant: str, connection: asyncpg.Connection, mosquitto: Any
) -> None:
    late_by_minutes = 600
    async with running(plant, mosquitto.port):
        await send(mosquitto.port, [message(60 * late_by_minutes, 1.0)])

        async def first_stored() -> bool:
            return await count(connection) > 0

        await until(first_stored, "the first reading is stored")
        edition = await detect_async(connection)
        await rollups.advance(connection, edition, to_datetime(T0 + 3600 * 24 * SECOND))
        await send(mosquitto.port, [message(n, 1.0, "northfield/P-101/temp_de") for n in range(50)])

        async def all_stored() -> bool:
            return await count(connection, where="time < '" + to_datetime(T0 + 60 * SECOND).isoformat() + "'") >= 50

        await until(all_stored, "late readings are stored")
    await rollups.advance(connection, edition, to_datetime(T0 + 3600 * 24 * SECOND))
    for rollup in ("reading_1m", "reading_1h", "reading_1d"):
        assert await connection.fetch(f"SELECT sensor_id, sum(count) FROM {rollup} GROUP BY 1 ORDER BY 1") == (
            await connection.fetch("SELECT sensor_id, count(*) FROM reading GROUP BY 1 ORDER BY 1")
        )
