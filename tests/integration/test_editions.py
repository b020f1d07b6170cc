"""The same relations and the same rollup rows on whatever server there is, each kept in its edition's manner."""

import asyncio
import random
from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import psycopg
import pytest

from cbm import state_rollup
from telemetry import database, schema
from telemetry.batch import ReadingBatch, to_datetime, to_micros
from telemetry.editions import (
    Edition,
    PlainPostgres,
    TimescaleApache,
    TimescaleCommunity,
    detect,
    detect_async,
)

T0 = datetime(2026, 3, 2, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
PUMP_STATE, FAN_STATE = 1, 2
STOPPED, RUNNING, FAILED = 0, 1, 2

PLANT = """
INSERT INTO site (name) VALUES ('north');
INSERT INTO area (site_id, name) VALUES (1, 'hall');
INSERT INTO asset (name, area_id) VALUES ('pump-1', 1), ('fan-2', 1);
INSERT INTO sensor (name, asset_id, kind) VALUES ('pump-1.state', 1, 'state'), ('fan-2.state', 2, 'state');
"""

Days = dict[tuple[datetime, int, int, int], tuple[float, int]]
"""seconds and entries by day, asset, sensor and state"""


@pytest.fixture(scope="module")
def offered(unmigrated_dsn: str) -> str:
    """The edition that the server offers, asked in another way than the program does."""
    with psycopg.connect(unmigrated_dsn, autocommit=True) as connection:
        loaded = connection.execute("SHOW shared_preload_libraries").fetchone()
        if loaded is None or "timescaledb" not in loaded[0]:
            return "plain"
        connection.execute("CREATE EXTENSION timescaledb")
        licence = connection.execute("SHOW timescaledb.license").fetchone()
        assert licence is not None
        return {"apache": "timescaledb-apache", "timescale": "timescaledb-community"}[licence[0]]


@pytest.fixture
async def plant(connection: asyncpg.Connection) -> asyncpg.Connection:
    """A connection to a database with two state sensors."""
    await connection.execute(PLANT)
    return connection


@pytest.fixture
async def edition(plant: asyncpg.Connection) -> Edition:
    return await detect_async(plant)


async def report(
    connection: asyncpg.Connection, edition: Edition, states: Sequence[tuple[float, int]], sensor_id: int = PUMP_STATE
) -> None:
    """Store states at hours after T0, as the batch transaction does."""
    times = [to_micros(T0 + hour * HOUR) for hour, _ in states]
    batch = ReadingBatch.of(times, [sensor_id] * len(states), [state for _, state in states])
    await edition.make_room(connection, batch.time)
    async with connection.transaction():
        await connection.copy_records_to_table(
            "reading",
            records=[
                (to_datetime(at), sensor_id, float(state), 0) for at, (_, state) in zip(times, states, strict=True)
            ],
        )
        await state_rollup.touch(connection, batch)


async def days(connection: asyncpg.Connection) -> Days:
    """The daily rollup."""
    rows = await connection.fetch("SELECT time, asset_id, sensor_id, state, seconds, entries FROM asset_state_1d")
    found = {(row[0], row[1], row[2], row[3]): (round(row[4], 6), int(row[5])) for row in rows}
    assert len(found) == len(rows)
    return found


async def days_by_hand(connection: asyncpg.Connection) -> Days:
    """The same summed here from the hourly rollup."""
    seconds: dict[tuple[datetime, int, int, int], float] = defaultdict(float)
    entries: dict[tuple[datetime, int, int, int], int] = defaultdict(int)
    for row in await connection.fetch("SELECT time, asset_id, sensor_id, state, seconds, entries FROM asset_state_1h"):
        key = (row[0].replace(hour=0), row[1], row[2], row[3])
        seconds[key] += row[4]
        entries[key] += row[5]
    return {key: (round(seconds[key], 6), entries[key]) for key in seconds}


def test_the_edition_is_the_one_the_server_offers(dsn: str, offered: str) -> None:
    assert schema.inspect(dsn).edition == offered
    with psycopg.connect(dsn) as connection:
        assert detect(connection).name == offered


async def test_the_first_statement_of_a_connection_tells_the_edition(dsn: str, offered: str) -> None:
    # TimescaleDB's settings appear only when its library is loaded, which a session's first statement does.
    connection = await asyncpg.connect(dsn)
    try:
        assert (await detect_async(connection)).name == offered
    finally:
        await connection.close()


def test_a_database_nobody_has_migrated_already_has_its_edition(unmigrated_dsn: str, offered: str) -> None:
    with psycopg.connect(unmigrated_dsn) as connection:
        assert detect(connection).name == offered


async def test_readings_go_to_a_piece_for_each_week(plant: asyncpg.Connection, edition: Edition) -> None:
    weeks = [-60, 0, 1, 2]
    await report(plant, edition, [(week * 168 + 1, RUNNING) for week in weeks])
    kind = await plant.fetchval("SELECT relkind FROM pg_class WHERE oid = 'reading'::regclass")
    if edition.name == "plain":
        assert kind == b"p"
        pieces = await plant.fetchval("SELECT count(*) FROM pg_inherits WHERE inhparent = 'reading'::regclass")
    else:
        hypertables = await plant.fetch("SELECT hypertable_name FROM timescaledb_information.hypertables ORDER BY 1")
        kept = ["reading_1m_kept"] if edition.rollups.manner == "kept" else []
        found = [row[0] for row in hypertables if not row[0].startswith("_")]
        assert found == ["asset_state_1h", "reading", *kept, "waveform"]
        pieces = await plant.fetchval("SELECT count(*) FROM show_chunks('reading')")
    assert pieces == len(weeks)
    # A second index would cost every COPY a quarter of its speed and more.
    assert await plant.fetchval("SELECT count(*) FROM pg_indexes WHERE tablename = 'reading'") == 1


async def test_the_daily_rollup_is_a_real_time_aggregate_where_there_are_such(
    plant: asyncpg.Connection, edition: Edition, offered: str
) -> None:
    assert await plant.fetchval("SELECT relkind FROM pg_class WHERE oid = 'asset_state_1d'::regclass") == b"v"
    aggregates = []
    if offered != "plain":
        aggregates = await plant.fetch(
            "SELECT view_name, materialized_only FROM timescaledb_information.continuous_aggregates ORDER BY 1"
        )
    names = ["asset_state_1d", "reading_1d", "reading_1h", "reading_1m"] if offered == "timescaledb-community" else []
    expected = [(name, False) for name in names]
    assert [tuple(row) for row in aggregates] == expected


async def test_the_daily_rollup_has_the_same_columns_everywhere(plant: asyncpg.Connection) -> None:
    columns = await plant.fetch(
        "SELECT attname, atttypid::regtype::text FROM pg_attribute WHERE attrelid = 'asset_state_1d'::regclass"
        " AND attnum > 0 ORDER BY attnum"
    )
    assert [tuple(column) for column in columns] == [
        ("time", "timestamp with time zone"),
        ("asset_id", "integer"),
        ("sensor_id", "integer"),
        ("state", "smallint"),
        ("seconds", "double precision"),
        ("entries", "bigint"),
    ]


async def test_late_states_change_days_that_were_counted_already(plant: asyncpg.Connection, edition: Edition) -> None:
    await report(plant, edition, [(1, RUNNING), (80, STOPPED)])
    await state_rollup.refresh(plant, edition)
    assert (await days(plant))[T0 + DAY, 1, PUMP_STATE, RUNNING] == (86_400.0, 0)
    await report(plant, edition, [(30, FAILED), (31.5, RUNNING)])
    await state_rollup.refresh(plant, edition)
    assert (await days(plant))[T0 + DAY, 1, PUMP_STATE, RUNNING] == (81_000.0, 1)
    assert (await days(plant))[T0 + DAY, 1, PUMP_STATE, FAILED] == (5_400.0, 1)
    assert await days(plant) == await days_by_hand(plant)


async def test_history_before_everything_counted_so_far_shows_too(plant: asyncpg.Connection, edition: Edition) -> None:
    await report(plant, edition, [(1, RUNNING), (30, STOPPED)])
    await state_rollup.refresh(plant, edition)
    await report(plant, edition, [(-24 * 200, RUNNING), (-24 * 199, FAILED)], FAN_STATE)
    await state_rollup.refresh(plant, edition)
    assert (await days(plant))[T0 - 200 * DAY, 2, FAN_STATE, RUNNING] == (86_400.0, 1)
    assert await days(plant) == await days_by_hand(plant)


@pytest.mark.parametrize("seed", range(4))
async def test_any_order_of_arrival_gives_the_sums_of_the_hours(
    plant: asyncpg.Connection, edition: Edition, seed: int
) -> None:
    chosen = random.Random(seed)
    hours = chosen.sample(range(24 * 30), 120)
    while hours:
        size = chosen.randint(1, 25)
        part, hours = hours[:size], hours[size:]
        states = [(hour + chosen.random() * 0.9, chosen.choice([STOPPED, RUNNING, FAILED])) for hour in part]
        await report(plant, edition, states, chosen.choice([PUMP_STATE, FAN_STATE]))
        if chosen.random() < 0.6:
            await state_rollup.refresh(plant, edition, hours_a_round=chosen.choice([20, 2_000]))
            assert await days(plant) == await days_by_hand(plant)
    await state_rollup.refresh(plant, edition)
    assert await days(plant) == await days_by_hand(plant)


async def test_days_are_utc_days_whatever_the_session_says(plant: asyncpg.Connection, edition: Edition) -> None:
    await plant.execute("SET timezone = 'Asia/Kolkata'")
    await report(plant, edition, [(23, RUNNING), (25, STOPPED)])
    await state_rollup.refresh(plant, edition)
    assert set(await days(plant)) == {
        (T0, 1, PUMP_STATE, RUNNING),
        (T0 + DAY, 1, PUMP_STATE, RUNNING),
        (T0 + DAY, 1, PUMP_STATE, STOPPED),
    }


async def test_hours_after_the_newest_counted_day_show_without_a_refresh(
    plant: asyncpg.Connection, edition: Edition
) -> None:
    await report(plant, edition, [(1, RUNNING), (30, STOPPED)])
    await state_rollup.refresh(plant, edition)
    await report(plant, edition, [(50, RUNNING), (51, STOPPED)])
    # With the plain edition the hours are written and no aggregate is refreshed.
    await state_rollup.refresh(plant, PlainPostgres())
    assert (await days(plant))[T0 + 2 * DAY, 1, PUMP_STATE, RUNNING] == (3_600.0, 1)


async def test_what_a_dead_process_left_stale_is_mended_by_the_next_refresh(
    plant: asyncpg.Connection, edition: Edition
) -> None:
    await report(plant, edition, [(1, RUNNING), (80, STOPPED)])
    await state_rollup.refresh(plant, edition)
    await report(plant, edition, [(30, FAILED), (31, RUNNING)])
    await state_rollup.refresh(plant, PlainPostgres())  # dies after COMMIT, before the aggregate's refresh
    await report(plant, edition, [(90, RUNNING)])
    await state_rollup.refresh(plant, edition)
    assert (await days(plant))[T0 + DAY, 1, PUMP_STATE, FAILED] == (3_600.0, 1)
    assert await days(plant) == await days_by_hand(plant)


async def test_what_a_dead_process_left_stale_is_mended_without_new_states_too(
    plant: asyncpg.Connection, edition: Edition
) -> None:
    await report(plant, edition, [(1, RUNNING), (80, STOPPED)])
    await state_rollup.refresh(plant, edition)
    await report(plant, edition, [(30, FAILED), (31, RUNNING)])
    await state_rollup.refresh(plant, PlainPostgres())
    await edition.refresh_state_rollup(plant, to_micros(T0 + 10 * DAY))
    assert await days(plant) == await days_by_hand(plant)


async def test_refreshes_at_the_same_time_wait_for_each_other(
    dsn: str, plant: asyncpg.Connection, edition: Edition
) -> None:
    async def keep_up(number: int) -> None:
        own = await database.connect(dsn)
        try:
            for day in range(10):
                hours = [24 * day + 4 * step + number for step in range(6)]
                sensor_id = (PUMP_STATE, FAN_STATE)[number % 2]
                await report(own, edition, [(hour, (hour + day) % 3) for hour in hours], sensor_id)
                await state_rollup.refresh(own, edition)
        finally:
            await own.close()

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(keep_up(number), name=f"refresh {number}")
    assert len(await days(plant)) > 10
    assert await days(plant) == await days_by_hand(plant)
    held = "SELECT count(*) FROM pg_locks JOIN pg_database ON oid = database WHERE locktype = 'advisory' AND datname = $1"
    assert await plant.fetchval(held, dsn.rpartition("/")[2]) == 0


async def test_an_empty_database_can_be_refreshed(plant: asyncpg.Connection, edition: Edition) -> None:
    await edition.refresh_state_rollup(plant, to_micros(T0))
    assert await days(plant) == {}


async def test_a_database_made_under_another_licence_stays_what_it_was(dsn: str, offered: str) -> None:
    if offered != "timescaledb-community":
        pytest.skip(f"the server offers {offered}: no continuous aggregates to be without")
    await asyncio.to_thread(schema.downgrade, dsn, "0001")
    with psycopg.connect(dsn) as connection:
        TimescaleCommunity().drop_series(connection)
        TimescaleApache().create_series(connection)
        assert detect(connection).name == "timescaledb-apache"


def relations(dsn: str) -> tuple[list[Any], list[Any]]:
    """Our relations and indexes, and what TimescaleDB knows of them."""
    with psycopg.connect(dsn) as connection:
        ours = connection.execute(
            "SELECT c.relname, c.relkind, pg_get_indexdef(i.indexrelid) FROM pg_class c"
            " LEFT JOIN pg_index i ON i.indexrelid = c.oid"
            " WHERE c.relnamespace = 'public'::regnamespace AND c.relkind <> 'S' AND c.relname NOT LIKE 'alembic%'"
            " ORDER BY 1"
        ).fetchall()
        known: list[Any] = []
        if connection.execute("SELECT FROM pg_extension WHERE extname = 'timescaledb'").fetchone():
            known = connection.execute(
                "SELECT h.schema_name, h.num_dimensions, d.interval_length FROM _timescaledb_catalog.hypertable h"
                " JOIN _timescaledb_catalog.dimension d ON d.hypertable_id = h.id ORDER BY 1, 2, 3"
            ).fetchall()
        return ours, known


async def test_up_down_up_leaves_the_same_relations(dsn: str, plant: asyncpg.Connection, edition: Edition) -> None:
    before = relations(dsn)
    # With chunks, partitions and materialised days: they go too.
    await report(plant, edition, [(1, RUNNING), (200, STOPPED)])
    await state_rollup.refresh(plant, edition)
    await plant.close()
    schema.downgrade(dsn)
    # TimescaleDB's own views are not in `public`; what the extension brings stays.
    assert relations(dsn) == ([], [])
    schema.migrate(dsn)
    assert relations(dsn) == before
    assert schema.inspect(dsn).edition == edition.name
