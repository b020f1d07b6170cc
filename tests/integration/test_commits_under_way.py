"""Rollups while a writer is in the middle of its COMMIT, on whatever server there is.

TimescaleDB (2.12 to 2.29 at least) looks at the beginning of a COMMIT whether a continuous aggregate was materialised
where the transaction has written, and notes the change only if so. A refresh that comes by after that look and before
the end of the COMMIT materialises without the change, and no later refresh knows of it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from cbm import state_rollup
from telemetry import database, rollups
from telemetry.batch import ReadingBatch, to_micros
from telemetry.editions import Edition, PlainPostgres, detect_async
from telemetry.store import ReadingStore

T0 = datetime(2026, 3, 2, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
PUMP, FAN = 1, 2
RUNNING, FAILED, STOPPED = 1, 2, 0

PLANT = """
INSERT INTO site (name) VALUES ('north');
INSERT INTO area (site_id, name) VALUES (1, 'hall');
INSERT INTO asset (name, area_id) VALUES ('pump-1', 1), ('fan-2', 1);
INSERT INTO sensor (name, asset_id, kind) VALUES ('pump-1.state', 1, 'state'), ('fan-2.state', 2, 'state');
"""


@pytest.fixture
async def plant(connection: asyncpg.Connection) -> asyncpg.Connection:
    """A connection to a database with two sensors."""
    await connection.execute(PLANT)
    return connection


@pytest.fixture
async def edition(plant: asyncpg.Connection) -> Edition:
    return await detect_async(plant)


async def waits(watcher: asyncpg.Connection, connection: asyncpg.Connection) -> bool:
    """Whether a session waits for another one's lock."""
    return bool(
        await watcher.fetchval(
            "SELECT wait_event_type = 'Lock' FROM pg_stat_activity WHERE pid = $1", connection.get_server_pid()
        )
    )


@asynccontextmanager
async def in_its_commit(
    dsn: str, write: Callable[[asyncpg.Connection], Awaitable[Any]]
) -> AsyncIterator[asyncpg.Connection]:
    """A transaction that is written and stays in its COMMIT, visible to nobody, until the block ends.

    What PostgreSQL does late in a COMMIT, after TimescaleDB has looked: it empties temporary tables made so. That one
    is locked by the watcher, whose connection the block gets.
    """
    writer, watcher = await database.connect(dsn), await database.connect(dsn)
    try:
        await writer.execute("CREATE TEMPORARY TABLE emptied_at_commit (n int) ON COMMIT DELETE ROWS")
        schema = await writer.fetchval("SELECT pg_my_temp_schema()::regnamespace::text")
        transaction = writer.transaction(isolation="read_committed")
        await transaction.start()
        await write(writer)
        await writer.execute("SELECT FROM emptied_at_commit")
        async with watcher.transaction():
            await watcher.execute(f"LOCK TABLE {schema}.emptied_at_commit IN ACCESS SHARE MODE")
            committing = asyncio.create_task(transaction.commit())
            while not await waits(watcher, writer):
                assert not committing.done()
            yield watcher
        await committing
    finally:
        await writer.close()
        await watcher.close()


async def beside(
    watcher: asyncpg.Connection, connection: asyncpg.Connection, work: Awaitable[Any]
) -> asyncio.Task[Any]:
    """Start work on a connection and let it go as far as it comes without the writer's COMMIT."""
    task = asyncio.ensure_future(work)
    assert isinstance(task, asyncio.Task)
    while not task.done() and not await waits(watcher, connection):
        pass
    return task


async def store(connection: asyncpg.Connection, edition: Edition, sensor_id: int, seconds: Sequence[float]) -> None:
    """Store readings and mark them, inside the caller's transaction."""
    at = [to_micros(T0) + round(second * 1_000_000) for second in seconds]
    batch = ReadingBatch.of(at, [sensor_id] * len(at), [1.0] * len(at))
    await ReadingStore(edition).write(connection, batch)
    await rollups.touch(connection, batch)


async def report(connection: asyncpg.Connection, edition: Edition, sensor_id: int, states: dict[int, int]) -> None:
    """Store states at hours after T0."""
    at = [to_micros(T0 + hour * HOUR) for hour in states]
    batch = ReadingBatch.of(at, [sensor_id] * len(at), [*states.values()])
    await edition.make_room(connection, batch.time)
    async with connection.transaction():
        await ReadingStore(edition).write(connection, batch)
        await state_rollup.touch(connection, batch)


async def test_states_whose_commit_is_under_way_during_a_refresh_are_in_their_day(
    dsn: str, plant: asyncpg.Connection, edition: Edition
) -> None:
    end_us = to_micros(T0 + 5 * DAY)

    async def count_hours(connection: asyncpg.Connection) -> None:
        # With the plain edition the hours are written and no aggregate is refreshed.
        await state_rollup.refresh(connection, PlainPostgres())

    await report(plant, edition, PUMP, {1: RUNNING, 30: STOPPED})
    await state_rollup.refresh(plant, edition)
    # Something to materialise, after what is being committed.
    await report(plant, edition, PUMP, {80: RUNNING, 90: STOPPED})
    await count_hours(plant)
    # Of another asset: a state that ends a stay within the days refreshed already would be noticed by that.
    await report(plant, edition, FAN, {50: RUNNING, 67: FAILED, 68: STOPPED})
    async with in_its_commit(dsn, count_hours) as watcher:
        refreshing = await beside(watcher, plant, edition.refresh_state_rollup(plant, end_us))
    await refreshing
    await edition.refresh_state_rollup(plant, end_us)
    found = await plant.fetch("SELECT state, seconds FROM asset_state_1d WHERE sensor_id = $1 ORDER BY state", FAN)
    assert [tuple(row) for row in found] == [(STOPPED, 0.0), (RUNNING, 17 * 3600.0), (FAILED, 3600.0)]


async def test_late_readings_whose_commit_is_under_way_during_a_count_are_in_the_next(
    dsn: str, plant: asyncpg.Connection, edition: Edition
) -> None:
    await edition.make_room(plant, ReadingBatch.of([to_micros(T0)], [1], [1.0]).time)
    async with plant.transaction():
        await store(plant, edition, PUMP, range(0, 7200, 30))
    await rollups.advance(plant, edition, T0 + HOUR)
    begin, end = T0 + 58 * MINUTE, T0 + 100 * MINUTE
    assert await plant.fetchval("SELECT time FROM reading_watermark") == begin
    # As `advance` does, and a writer comes between: its readings are late, and marked.
    await plant.execute("UPDATE reading_fence SET time = $1", end)
    async with in_its_commit(dsn, lambda writer: store(writer, edition, FAN, [4000, 4001, 5000])) as watcher:
        filling = await beside(watcher, plant, edition.rollups.fill(plant, begin, end))
        assert filling.done()
    assert await plant.fetchval("SELECT count(*) FROM reading_touched") == 1
    assert (await rollups.advance(plant, edition, T0 + DAY)).recounted == 1
    found = await plant.fetch("SELECT time, count FROM reading_1m WHERE sensor_id = $1 ORDER BY time", FAN)
    assert [tuple(row) for row in found] == [(T0 + 66 * MINUTE, 2), (T0 + 83 * MINUTE, 1)]
    assert await plant.fetchval("SELECT count FROM reading_1h WHERE sensor_id = $1", FAN) == 3
    assert await plant.fetchval("SELECT count FROM reading_1d WHERE sensor_id = $1", FAN) == 3
