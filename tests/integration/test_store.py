"""Readings into the table, on a real database."""

import asyncio
import re
from collections.abc import Callable
from importlib.resources import files

import asyncpg
import numpy as np
import pytest
from alembic.script import ScriptDirectory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemetry import database, schema
from telemetry.batch import ReadingBatch, to_datetime
from telemetry.editions import detect_async
from telemetry.ledger import LedgerLine, RejectedRow, add_rejected, add_to_ledger, read_ledger
from telemetry.sql import load_queries
from telemetry.store import ReadingStore, Written

T0 = 1_700_000_000_000_000
WEEK = 7 * 24 * 3600 * 1_000_000


async def write(connection: asyncpg.Connection, store: ReadingStore, batch: ReadingBatch) -> Written:
    await store.make_room(connection, batch)
    async with connection.transaction():
        return await store.write(connection, batch)


async def stored(connection: asyncpg.Connection) -> set[tuple[int, int, float, int]]:
    rows = await connection.fetch(
        "SELECT (extract(epoch FROM time) * 1000000)::bigint AS t, sensor_id, value, quality FROM reading"
    )
    return {(row["t"], row["sensor_id"], row["value"], row["quality"]) for row in rows}


@pytest.fixture
async def store(connection: asyncpg.Connection) -> ReadingStore:
    return ReadingStore(await detect_async(connection))


async def test_every_column_arrives_as_it_was_sent(connection: asyncpg.Connection, store: ReadingStore) -> None:
    rows = [(T0 + 1, 1, -0.0, 0), (T0 + 2, 2, 1e-310, 1), (T0 + 3, 2**31 - 1, 1.7976931348623157e308, 3)]
    written = await write(connection, store, ReadingBatch.of(*zip(*rows, strict=True)))
    assert written.stored.all()
    assert await stored(connection) == set(rows)


async def test_equal_duplicates_are_told_from_conflicting_values(
    connection: asyncpg.Connection, store: ReadingStore
) -> None:
    await write(connection, store, ReadingBatch.of([T0, T0 + 1], [1, 1], [1.0, 2.0]))
    again = await write(connection, store, ReadingBatch.of([T0 + 2, T0, T0 + 1], [1, 1, 1], [3.0, 1.0, 9.0]))
    assert again.stored.tolist() == [True, False, False]
    assert again.duplicate.tolist() == [False, True, False]
    assert again.conflicting.tolist() == [False, False, True]
    assert await stored(connection) == {(T0, 1, 1.0, 0), (T0 + 1, 1, 2.0, 0), (T0 + 2, 1, 3.0, 0)}


async def test_readings_of_any_weeks_find_a_partition_out_of_order_and_at_its_edges(
    connection: asyncpg.Connection, store: ReadingStore
) -> None:
    monday = 4 * 24 * 3600 * 1_000_000 + 2800 * WEEK
    times = [monday + 3 * WEEK, monday - 1, monday, monday + WEEK - 1, monday - 40 * WEEK]
    assert (await write(connection, store, ReadingBatch.of(times, [1] * 5, [0.0] * 5))).stored.all()
    assert await connection.fetchval("SELECT count(*) FROM reading") == 5


async def test_an_empty_batch_writes_nothing(connection: asyncpg.Connection, store: ReadingStore) -> None:
    written = await write(connection, store, ReadingBatch.empty())
    assert written.stored.size == 0


async def test_two_writers_of_the_same_readings_store_them_once(dsn: str) -> None:
    first, second = await asyncpg.connect(dsn), await asyncpg.connect(dsn)
    try:
        batch = ReadingBatch.of(np.arange(T0, T0 + 1000), np.ones(1000), np.zeros(1000))
        stores = [ReadingStore(await detect_async(each)) for each in (first, second)]
        # Neither expects a collision, so that both take the fast way.
        for each, store in zip((first, second), stores, strict=True):
            await write(each, store, ReadingBatch.of([T0 - 5 - id(store) % 1000], [7], [0.0]))
        results = await asyncio.gather(write(first, stores[0], batch), write(second, stores[1], batch))
        assert sorted(int(result.stored.sum()) for result in results) == [0, 1000]
        assert sorted(int(result.duplicate.sum()) for result in results) == [0, 1000]
    finally:
        await first.close()
        await second.close()


async def test_a_connection_lost_in_mid_copy_leaves_no_partial_batch(dsn: str, connection: asyncpg.Connection) -> None:
    victim = await asyncpg.connect(dsn)
    store = ReadingStore(await detect_async(victim))
    batch = ReadingBatch.of(np.arange(T0, T0 + 5000), np.ones(5000), np.zeros(5000))
    await store.make_room(victim, batch)

    async def lose_it_between_two_copies() -> None:
        async with victim.transaction():
            await store.write(victim, batch)
            await connection.execute("SELECT pg_terminate_backend($1)", victim.get_server_pid())
            await store.write(victim, ReadingBatch.of([T0 - 1], [1], [0.0]))

    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await lose_it_between_two_copies()
    assert await connection.fetchval("SELECT count(*) FROM reading") == 0


async def test_a_batch_of_many_pieces_that_collides_at_its_ends_is_stored_once(
    connection: asyncpg.Connection, store: ReadingStore
) -> None:
    times = np.arange(T0, T0 + 20_000)
    batch = ReadingBatch.of(times, times % 3, times % 1000, times % 4)
    for taken in ([0], [19_999], [0, 19_999]):
        await connection.execute("TRUNCATE reading")
        # Nothing collides here, so that the batch itself takes the fast way.
        await write(connection, store, batch.take(np.array(taken)))
        written = await write(connection, store, batch)
        assert np.flatnonzero(written.duplicate).tolist() == taken
        assert not written.conflicting.any()
        rows = zip(*(c.tolist() for c in (batch.time, batch.sensor_id, batch.value, batch.quality)), strict=True)
        assert await stored(connection) == set(rows)


@pytest.mark.parametrize("between", [0, 3, 500], ids=["nothing", "a few", "many"])
async def test_collisions_are_found_whatever_is_stored_between_them(
    connection: asyncpg.Connection, store: ReadingStore, between: int
) -> None:
    there = [T0 + 1000 * step for step in range(3 * between + 4)]
    await write(connection, store, ReadingBatch.of(there, [1] * len(there), range(len(there))))
    ends = [0, len(there) // 2, len(there) - 1]
    # Besides them: new ones before, between and behind, another sensor's, and one a year earlier.
    times = [there[0], there[ends[1]], there[ends[2]], T0 - 1, T0 + 1, there[-1] + 1, there[0], T0 - 52 * WEEK]
    sensors = [1, 1, 1, 1, 1, 1, 2, 1]
    values = [0, ends[1], 0.5, 7, 7, 7, 7, 7]
    for new in (True, False):
        # Once by surprise, once expected: the second time all are there.
        written = await write(connection, store, ReadingBatch.of(times, sensors, values))
        assert written.duplicate[:2].all()
        assert np.flatnonzero(written.conflicting).tolist() == [2]
        assert written.stored[3:].tolist() == [new] * 5


async def test_the_look_for_collisions_opens_one_week_and_its_index(
    connection: asyncpg.Connection, store: ReadingStore
) -> None:
    times = np.arange(T0, T0 + 6 * WEEK, WEEK // 2000)
    await write(connection, store, ReadingBatch.of(times, times % 20, times))
    await connection.execute("ANALYZE reading")
    begin = to_datetime(T0 + WEEK)
    look = load_queries("telemetry", "store.sql")["find_stored"]
    us = [T0 + WEEK] * 20
    rows = await connection.fetch(
        f"EXPLAIN {look}", list(range(20)), us, [T0 + WEEK + 5_000_000] * 20, [40] * 20, begin, begin
    )
    plan = "\n".join(row[0] for row in rows)
    assert len(re.findall(r"Index (?:Only )?Scan", plan)) == 1, plan
    assert "Seq Scan" not in plan


async def test_what_the_door_lowered_is_a_duplicate_when_it_is_sent_again_as_it_was(
    connection: asyncpg.Connection, store: ReadingStore
) -> None:
    lowered = ReadingBatch.of([T0, T0 + 1, T0 + 2], [1, 1, 1], [5, 5, 5], [1, 2, 0])
    await write(connection, store, lowered)
    again = ReadingBatch.of([T0, T0 + 1, T0 + 2, T0, T0 + 2], [1] * 5, [5, 5, 5, 6, 5], [0, 0, 0, 0, 1])
    written = await write(connection, store, again)
    assert written.duplicate.tolist() == [True, True, True, False, False]
    assert written.conflicting.tolist() == [False, False, False, True, True]
    assert {row[3] for row in await stored(connection) if row[0] < T0 + 2} == {1, 2}


ROW = st.tuples(st.integers(0, 6), st.integers(1, 3), st.sampled_from([0.0, 1.0, 2.0]), st.sampled_from([0, 1, 2]))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(ROW, max_size=12), max_size=5))
async def test_whatever_arrives_the_first_reading_of_an_instant_stays_and_every_reading_has_one_outcome(
    connection: asyncpg.Connection, batches: list[list[tuple[int, int, float, int]]]
) -> None:
    await connection.execute("TRUNCATE reading")
    store = ReadingStore(await detect_async(connection))
    expected: dict[tuple[int, int], tuple[float, int]] = {}
    for rows in batches:
        batch = ReadingBatch.of(*(zip(*((T0 + r[0], *r[1:]) for r in rows), strict=True) if rows else ([], [], [])))
        written = await write(connection, store, batch)
        assert (written.stored.astype(int) + written.duplicate + written.conflicting == 1).all()
        for position, (offset, sensor, value, quality) in enumerate(rows):
            is_new = (T0 + offset, sensor) not in expected
            known_value, known_quality = expected.setdefault((T0 + offset, sensor), (value, quality))
            assert written.stored[position] == is_new
            assert written.conflicting[position] == (known_value != value or known_quality < quality)
    assert await stored(connection) == {(t, s, v, q) for (t, s), (v, q) in expected.items()}


async def test_the_ledger_adds_up_only_when_it_does(connection: asyncpg.Connection) -> None:
    await add_to_ledger(
        connection,
        [
            LedgerLine(source="gw", outcome="received", readings=5),
            LedgerLine(source="gw", outcome="stored", readings=3),
            LedgerLine(source="gw", outcome="rejected", reason="wrong_type", readings=1),
        ],
    )
    [row] = await read_ledger(connection)
    assert not row["balanced"]
    await add_to_ledger(connection, [LedgerLine(source="gw", outcome="duplicate", readings=1)])
    [row] = await read_ledger(connection)
    assert row["balanced"]
    assert (row["received"], row["stored"], row["duplicate"], row["rejected"]) == (5, 3, 1, 1)


async def test_equal_rejections_count_up_in_one_row_and_no_text_can_break_the_statement(
    connection: asyncpg.Connection,
) -> None:
    row = RejectedRow(
        digest=b"x" * 32,
        source="gw\0",
        topic="a/\udcff\0",
        reason="wrong_type",
        detail="",
        payload=b"\0\xff",
        payload_bytes=2,
    )
    await add_rejected(connection, [row, row])
    await add_rejected(connection, [row])
    rows = await connection.fetch("SELECT readings, payload FROM rejected")
    assert [(r["readings"], r["payload"]) for r in rows] == [(3, b"\0\xff")]


def test_the_schema_that_is_needed_is_the_one_alembic_ends_at_and_an_older_one_is_told(
    new_database: Callable[[], str], unmigrated_dsn: str
) -> None:
    needed = schema.newest_revision()
    assert ScriptDirectory(str(files("telemetry") / "migrations")).get_heads() == [needed]
    dsn = new_database()
    schema.downgrade(dsn, "-1")
    older = schema.inspect(dsn)
    assert (older.revision, older.newest, older.current) == (f"{int(needed) - 1:04}", needed, False)
    assert schema.inspect(unmigrated_dsn).revision is None


def test_migrations_up_down_up_leave_the_same_schema(new_database: Callable[[], str]) -> None:
    import psycopg

    query = """
        SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns
        WHERE table_schema = 'public' ORDER BY 1, 2"""
    constraints = """
        SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
        WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"""
    indexes = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1"
    dsn = new_database()

    def look() -> list[list[tuple[object, ...]]]:
        with psycopg.connect(dsn) as connection:
            return [connection.execute(q).fetchall() for q in (query, constraints, indexes)]

    before = look()
    schema.downgrade(dsn)
    assert [row for row in look()[0] if row[0] != "alembic_version"] == []
    assert schema.inspect(dsn).revision is None
    schema.migrate(dsn)
    assert look() == before
    assert schema.inspect(dsn).current


async def test_writers_that_need_the_same_new_partition_at_the_same_time_all_get_it(dsn: str) -> None:
    writers = [await database.connect(dsn) for _ in range(4)]
    try:
        editions = [await detect_async(writer) for writer in writers]
        for week in range(8):
            times = np.array([1_700_000_000_000_000 + week * 7 * 86_400 * 1_000_000], np.int64)
            await asyncio.gather(
                *(edition.make_room(writer, times) for edition, writer in zip(editions, writers, strict=True))
            )
    finally:
        for writer in writers:
            await writer.close()
