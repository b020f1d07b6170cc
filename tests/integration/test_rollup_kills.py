"""Sessions killed at any moment while rollups are counted: the next call mends what they left."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from cbm import state_rollup
from telemetry import database, rollups
from telemetry.batch import ReadingBatch, to_micros
from telemetry.editions import Edition, detect_async
from telemetry.errors import DatabaseUnavailableError
from telemetry.store import ReadingStore

T0 = datetime(2026, 3, 2, tzinfo=UTC)
DAY = timedelta(days=1)
SENSORS = (1, 2, 3)

PLANT = """
INSERT INTO site (name) VALUES ('north');
INSERT INTO area (site_id, name) VALUES (1, 'hall');
INSERT INTO asset (name, area_id) VALUES ('pump-1', 1);
INSERT INTO sensor (name, asset_id, kind) SELECT 'pump-1.' || number, 1, 'state' FROM generate_series(1, 3) AS number;
"""

Work = Callable[[asyncpg.Connection], Awaitable[Any]]

ROUNDS = [
    pytest.param(6, id="a sample"),
    pytest.param(150, id="many", marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
]


@pytest.fixture
async def plant(connection: asyncpg.Connection) -> asyncpg.Connection:
    """A connection to a database with three state sensors."""
    await connection.execute(PLANT)
    return connection


@pytest.fixture
async def edition(plant: asyncpg.Connection) -> Edition:
    return await detect_async(plant)


async def store(connection: asyncpg.Connection, edition: Edition, at_s: Sequence[int], chosen: random.Random) -> None:
    """States at these seconds after T0, as the batch transaction stores them."""
    at = [to_micros(T0) + second * 1_000_000 for second in at_s]
    batch = ReadingBatch.of(at, [chosen.choice(SENSORS) for _ in at], [float(chosen.randrange(3)) for _ in at])
    writer = ReadingStore(edition)
    await writer.make_room(connection, batch)
    async with connection.transaction():
        written = await writer.write(connection, batch)
        new = batch.take(written.stored)
        await state_rollup.touch(connection, new)
        await rollups.touch(connection, new)


async def kill_in_the_middle(dsn: str, watcher: asyncpg.Connection, work: Work, after_s: float) -> bool:
    """Do work on a session of its own that is killed after so many seconds; whether that was too late."""
    victim = await database.connect(dsn)
    process = victim.get_server_pid()
    working = asyncio.ensure_future(work(victim))
    await asyncio.wait([working], timeout=after_s)
    too_late = working.done()
    await watcher.execute("SELECT pg_terminate_backend($1, 10000)", process)
    try:
        with database.translated():
            await working
    except DatabaseUnavailableError:
        pass
    finally:
        victim.terminate()
    return too_late


async def kill_a_few(dsn: str, watcher: asyncpg.Connection, work: Work, chosen: random.Random, longest_s: float) -> int:
    """Begin the work three times and kill it, unless it is done before; how many sessions died at work."""
    return sum([not await kill_in_the_middle(dsn, watcher, work, chosen.random() * longest_s) for _ in range(3)])


async def assert_readings_rolled_up(connection: asyncpg.Connection) -> None:
    for level, unit in (("reading_1m", "minute"), ("reading_1h", "hour"), ("reading_1d", "day")):
        assert await connection.fetch(f"SELECT sensor_id, time, count, sum, first FROM {level} ORDER BY 1, 2") == (
            await connection.fetch(
                f"SELECT sensor_id, date_trunc('{unit}', time, 'UTC'), count(*), sum(value),"
                " (array_agg(value ORDER BY time))[1] FROM reading GROUP BY 1, 2 ORDER BY 1, 2"
            )
        ), level


async def assert_days_add_up(connection: asyncpg.Connection) -> None:
    query = "SELECT sensor_id, state, {day} AS day, {seconds}, {entries} FROM {relation} {group} ORDER BY 1, 2, 3"
    hours = query.format(
        day="date_trunc('day', time, 'UTC')",
        seconds="round(sum(seconds))",
        entries="sum(entries)",
        relation="asset_state_1h",
        group="GROUP BY 1, 2, 3",
    )
    days = query.format(day="time", seconds="round(seconds)", entries="entries", relation="asset_state_1d", group="")
    assert [tuple(row) for row in await connection.fetch(days)] == [tuple(row) for row in await connection.fetch(hours)]


@pytest.mark.parametrize("rounds", ROUNDS)
async def test_a_job_killed_at_any_moment_leaves_rollups_that_the_next_one_mends(
    dsn: str, plant: asyncpg.Connection, edition: Edition, rounds: int
) -> None:
    chosen = random.Random(rounds)
    killed = 0

    async def advance(connection: asyncpg.Connection) -> None:
        while not (await rollups.advance(connection, edition, T0 + 400 * DAY)).complete:
            pass

    for number in range(rounds):
        newest = 7200 * (number + 1)
        await store(plant, edition, chosen.sample(range(newest - 7200, newest), 300), chosen)
        await store(plant, edition, chosen.sample(range(-86_400, newest), 40), chosen)
        killed += await kill_a_few(dsn, plant, advance, chosen, longest_s=0.3)
        await advance(plant)
        await assert_readings_rolled_up(plant)
        assert await plant.fetchval("SELECT count(*) FROM reading_touched") == 0
    assert killed > rounds / 3


@pytest.mark.parametrize("rounds", ROUNDS)
async def test_a_refresh_of_states_killed_at_any_moment_is_mended_by_the_next_one(
    dsn: str, plant: asyncpg.Connection, edition: Edition, rounds: int
) -> None:
    chosen = random.Random(rounds)
    killed = 0

    async def refresh(connection: asyncpg.Connection) -> None:
        await state_rollup.refresh(connection, edition, hours_a_round=chosen.choice([5, 2_000]))

    for number in range(rounds):
        newest = 86_400 * (number + 1)
        await store(plant, edition, chosen.sample(range(newest - 86_400, newest), 60), chosen)
        await store(plant, edition, chosen.sample(range(-86_400, newest), 20), chosen)
        killed += await kill_a_few(dsn, plant, refresh, chosen, longest_s=0.1)
        # As the scheduler does, new states or not.
        await state_rollup.refresh(plant, edition)
        await edition.refresh_state_rollup(plant, to_micros(T0) + newest * 1_000_000)
        await assert_days_add_up(plant)
    assert killed > rounds / 3
