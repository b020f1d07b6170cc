"""Readings from 1970 or 2100: turned away at the door, kept as rejected, and never a piece of the table."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import pyarrow as pa
import pytest

from ingest.decoder import Decoder
from ingest.limits import DoorLimits
from ingest.message import Message
from precursor.apply import apply
from precursor.evaluation import Evaluation
from precursor.exchange import import_readings
from precursor.transaction import BatchTransaction
from telemetry.batch import to_micros
from telemetry.editions import detect_async
from telemetry.journal import Journal
from telemetry.plant_store import load_plant
from telemetry.reading_files import ReadingTable

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TOO_OLD = [
    datetime(1900, 1, 1, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC),
    DoorLimits().earliest - SECOND,
]
FROM_THE_FUTURE = [
    NOW + timedelta(seconds=DoorLimits().max_future_s) + SECOND,
    datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
    datetime(2100, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
]
EXPECTED = {"too_old_timestamp": len(TOO_OLD), "future_timestamp": len(FROM_THE_FUTURE)}


@pytest.fixture
async def plant(dsn: str, connection: asyncpg.Connection, examples: Path) -> asyncpg.Connection:
    """A connection to a database with the example's plant."""
    apply(dsn, examples / "plant.yaml")
    return connection


async def pieces(connection: asyncpg.Connection) -> int:
    """Partitions or chunks of `reading`."""
    if (await detect_async(connection)).name == "plain":
        found = await connection.fetchval("SELECT count(*) FROM pg_inherits WHERE inhparent = 'reading'::regclass")
    else:
        found = await connection.fetchval("SELECT count(*) FROM show_chunks('reading')")
    return int(found)


async def assert_turned_away(connection: asyncpg.Connection, *, stored: int, pieces_expected: int) -> None:
    rows = await connection.fetch("SELECT reason, sum(readings)::int AS readings FROM rejected GROUP BY reason")
    assert {row["reason"]: row["readings"] for row in rows} == EXPECTED
    assert await pieces(connection) == pieces_expected
    assert await connection.fetchval("SELECT count(*) FROM reading") == stored
    [total] = await connection.fetch("SELECT received, stored, rejected, balanced FROM ledger")
    assert tuple(total) == (stored + len(TOO_OLD) + len(FROM_THE_FUTURE), stored, sum(EXPECTED.values()), True)


def message(at: datetime) -> Message:
    payload = json.dumps({"ts": at.isoformat(), "value": 1.5}).encode()
    return Message(topic="northfield/P-101/vib_de", payload=payload)


async def commit(connection: asyncpg.Connection, messages: list[Message]) -> None:
    plant = await load_plant(connection)
    transaction = BatchTransaction(
        plant=plant,
        rules=[],
        job_plans={},
        evaluation=Evaluation(plant, []),
        journal=Journal(),
        edition=await detect_async(connection),
    )
    await transaction.commit(connection, Decoder(plant).decode(messages, to_micros(NOW)), NOW)


async def test_messages_from_1970_or_2100_are_rejected_and_make_no_piece(plant: asyncpg.Connection) -> None:
    wrong = [message(at) for at in TOO_OLD + FROM_THE_FUTURE]
    await commit(plant, wrong)
    await assert_turned_away(plant, stored=0, pieces_expected=0)


async def test_their_neighbours_in_the_same_batch_are_stored(plant: asyncpg.Connection) -> None:
    wrong = [message(at) for at in TOO_OLD + FROM_THE_FUTURE]
    await commit(plant, [message(NOW - SECOND), *wrong, message(NOW)])
    await assert_turned_away(plant, stored=2, pieces_expected=1)


async def test_readings_at_the_very_limits_pass_the_door(plant: asyncpg.Connection) -> None:
    await commit(plant, [message(DoorLimits().earliest), message(NOW + timedelta(seconds=DoorLimits().max_future_s))])
    assert await plant.fetchval("SELECT count(*) FROM rejected") == 0
    assert await pieces(plant) == 2


async def test_rows_of_an_import_from_1970_or_2100_are_rejected_and_make_no_piece(plant: asyncpg.Connection) -> None:
    times = [*TOO_OLD, NOW, *FROM_THE_FUTURE]
    table = pa.table(
        {
            "time": pa.array(times, pa.timestamp("us", "UTC")),
            "sensor": ["P-101.vib_de"] * len(times),
            "value": [1.5] * len(times),
        }
    )
    await import_readings(plant, ReadingTable(table, "history"), limits=DoorLimits(), now=NOW)
    await assert_turned_away(plant, stored=1, pieces_expected=1)
