"""Rollups of readings on whatever server there is, against a plain GROUP BY over the stored readings."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import asyncpg
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from telemetry import database, rollups, schema
from telemetry.batch import ReadingBatch, to_micros
from telemetry.editions import detect_async
from telemetry.store import ReadingStore

T0 = datetime(2026, 3, 2, 22, 30, tzinfo=UTC)
SECOND_US = 1_000_000
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LATER = T0 + 400 * DAY
GOOD, UNCERTAIN, BAD, STALE = range(4)

PLANT = """
INSERT INTO site (name) VALUES ('north');
INSERT INTO area (site_id, name) VALUES (1, 'hall');
INSERT INTO asset (name, area_id) VALUES ('pump-1', 1);
INSERT INTO sensor (name, asset_id) SELECT 'pump-1.' || number, 1 FROM generate_series(1, 3) AS number;
"""

COLUMNS = ["time", "sensor_id", "count", "good_count", "usable_count", "min", "max", "sum", "sum_sq", "first", "last"]

# Straight from the readings, in one go, by other means than the rollups use.
BY_HAND = """
WITH seen AS (
    SELECT *, date_trunc($1::text, time, 'UTC') AS bucket, CASE WHEN quality < 2 THEN value END AS usable FROM reading
)
SELECT bucket, sensor_id, count(*), sum((quality = 0)::int), count(usable),
       min(usable), max(usable), sum(usable), sum(usable * usable),
       (SELECT value FROM reading AS r WHERE r.sensor_id = seen.sensor_id AND quality < 2
            AND r.time >= bucket AND r.time < bucket + ('1 ' || $1)::interval ORDER BY time LIMIT 1),
       (SELECT value FROM reading AS r WHERE r.sensor_id = seen.sensor_id AND quality < 2
            AND r.time >= bucket AND r.time < bucket + ('1 ' || $1)::interval ORDER BY time DESC LIMIT 1)
FROM seen
GROUP BY bucket, sensor_id
ORDER BY sensor_id, bucket"""
LEVELS = {"minute": "reading_1m", "hour": "reading_1h", "day": "reading_1d"}


class Point(NamedTuple):
    """A reading."""

    at_s: float
    """s after T0"""
    sensor_id: int = 1
    value: float = 1.0
    quality: int = GOOD


@pytest.fixture
async def plant(connection: asyncpg.Connection) -> asyncpg.Connection:
    """A connection to a database with three sensors."""
    await connection.execute(PLANT)
    return connection


@asynccontextmanager
async def another(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A second connection to the same database."""
    opened = await database.connect(dsn)
    try:
        yield opened
    finally:
        await opened.close()


def batch_of(points: Sequence[Point]) -> ReadingBatch:
    return ReadingBatch.of(
        [to_micros(T0) + round(point.at_s * SECOND_US) for point in points],
        [point.sensor_id for point in points],
        [point.value for point in points],
        [point.quality for point in points],
    )


async def store(connection: asyncpg.Connection, points: Sequence[Point]) -> None:
    """What the batch transaction does: write, and mark what is late."""
    writer = ReadingStore(await detect_async(connection))
    batch = batch_of(points)
    await writer.make_room(connection, batch)
    async with connection.transaction():
        written = await writer.write(connection, batch)
        await rollups.touch(connection, batch.take(written.stored))


async def advance(connection: asyncpg.Connection, now: datetime = LATER) -> rollups.Advanced:
    return await rollups.advance(connection, await detect_async(connection), now)


async def rolled_up(connection: asyncpg.Connection, level: str) -> list[tuple[object, ...]]:
    rows = await connection.fetch(f"SELECT {', '.join(COLUMNS)} FROM {LEVELS[level]} ORDER BY sensor_id, time")
    return [tuple(row) for row in rows]


async def by_hand(connection: asyncpg.Connection, level: str) -> list[tuple[object, ...]]:
    return [tuple(row) for row in await connection.fetch(BY_HAND, level)]


async def assert_exact(connection: asyncpg.Connection) -> None:
    for level in LEVELS:
        assert await rolled_up(connection, level) == await by_hand(connection, level), level


async def watermark(connection: asyncpg.Connection) -> datetime:
    found: datetime = await connection.fetchval("SELECT time FROM reading_watermark")
    return found


async def test_readings_in_order_show_at_once(plant: asyncpg.Connection) -> None:
    for part in range(4):
        await store(plant, [Point(600 * part + second, value=second / 4) for second in range(0, 600, 20)])
        await assert_exact(plant)
        await advance(plant)
        await assert_exact(plant)
    assert await watermark(plant) == T0 + 37 * MINUTE
    assert await plant.fetchval("SELECT count(*) FROM reading_touched") == 0


async def test_columns_are_the_same_at_every_level(plant: asyncpg.Connection) -> None:
    for relation in LEVELS.values():
        rows = await plant.fetch(
            "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute"
            " WHERE attrelid = $1::text::regclass AND attnum > 0 ORDER BY attnum",
            relation,
        )
        kinds = ["timestamp with time zone", "integer", *["bigint"] * 3, *["double precision"] * 6]
        assert [tuple(row) for row in rows] == list(zip(COLUMNS, kinds, strict=True))


async def test_only_usable_readings_make_values_and_all_of_them_count(plant: asyncpg.Connection) -> None:
    await store(plant, [Point(0, value=9, quality=BAD), Point(1, value=2, quality=UNCERTAIN), Point(2, value=4)])
    await store(plant, [Point(3, value=3), Point(4, value=-7, quality=STALE), Point(60, value=5, quality=BAD)])
    expected = [
        (T0, 1, 5, 2, 3, 2.0, 4.0, 9.0, 29.0, 2.0, 3.0),
        (T0 + MINUTE, 1, 1, 0, 0, None, None, None, None, None, None),
    ]
    assert await rolled_up(plant, "minute") == expected
    await store(plant, [Point(9000, sensor_id=2)])
    await advance(plant)
    assert (await rolled_up(plant, "minute"))[:2] == expected
    assert (await rolled_up(plant, "hour"))[0] == (T0.replace(minute=0), 1, 6, 2, 3, 2.0, 4.0, 9.0, 29.0, 2.0, 3.0)


async def test_late_readings_are_in_all_levels_after_the_next_advance(plant: asyncpg.Connection) -> None:
    await store(plant, [Point(second, value=second / 8) for second in range(0, 4 * 24 * 3600, 1200)])
    await advance(plant)
    late = [Point(-90 * 24 * 3600 + 5, value=50), Point(7, value=70), Point(30 * 3600 + 1, value=80, quality=UNCERTAIN)]
    await store(plant, late)
    await store(plant, [Point(7200 + 1, sensor_id=2, value=1), Point(7200 + 2000, sensor_id=2, value=2)])
    assert await plant.fetchval("SELECT count(*) FROM reading_touched") == 5
    assert (await advance(plant)).recounted == 5
    await assert_exact(plant)
    assert await plant.fetchval("SELECT count(*) FROM reading_touched") == 0


async def test_a_reading_from_the_future_drags_nothing(plant: asyncpg.Connection) -> None:
    now = T0 + 30 * MINUTE
    await store(plant, [Point(second) for second in range(0, 30 * 60, 30)])
    await store(plant, [Point(40 * 60, sensor_id=2)])
    await advance(plant, now)
    assert await watermark(plant) == T0 + 27 * MINUTE
    await assert_exact(plant)
    # What comes after, in order, needs no mark.
    await store(plant, [Point(30 * 60 + second) for second in range(0, 300, 30)])
    assert await plant.fetchval("SELECT count(*) FROM reading_touched") == 0
    await assert_exact(plant)


async def test_only_readings_from_the_future_are_not_the_datas_clock(plant: asyncpg.Connection) -> None:
    await store(plant, [Point(3600)])
    before = await watermark(plant)
    assert (await advance(plant, T0)).complete
    assert await watermark(plant) == before
    await assert_exact(plant)


async def test_wild_values_break_no_bucket(plant: asyncpg.Connection) -> None:
    largest = 1.7976931348623157e308
    await store(plant, [Point(0, value=largest), Point(1, value=largest), Point(2, value=1e-310), Point(60, value=2)])
    await store(plant, [Point(9000, sensor_id=2, value=-largest), Point(9001, sensor_id=2, value=-largest)])
    await advance(plant)
    infinite = float("inf")
    assert await rolled_up(plant, "day") == [
        (T0.replace(hour=0, minute=0), 1, 4, 4, 4, 1e-310, largest, infinite, infinite, largest, 2.0),
        (T0.replace(hour=0, minute=0) + DAY, 2, 2, 2, 2, -largest, -largest, -infinite, infinite, -largest, -largest),
    ]


async def test_a_history_stored_before_is_taken_in_steps_and_its_gaps_jumped(
    plant: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("telemetry.rollups._STEPS_A_CALL", 2)
    year = 365 * 24 * 3600
    await store(plant, [Point(-year), Point(-year + 3600, value=3), *(Point(second) for second in range(0, 7200, 600))])
    calls = 0
    while not (await advance(plant)).complete:
        calls += 1
        await assert_exact(plant)
    assert 1 <= calls <= 6
    assert await watermark(plant) == T0 + 108 * MINUTE
    await assert_exact(plant)


async def test_marks_are_taken_in_rounds(plant: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("telemetry.rollups._MARKS_A_ROUND", 3)
    monkeypatch.setattr("telemetry.rollups._ROUNDS_A_CALL", 2)
    await store(plant, [Point(100 * 3600)])
    await advance(plant)
    await store(plant, [Point(3600 * hour, sensor_id=2, value=hour) for hour in range(10)])
    first = await advance(plant)
    assert (first.recounted, first.complete) == (6, False)
    second = await advance(plant)
    assert (second.recounted, second.complete) == (4, True)
    await assert_exact(plant)


async def test_an_advance_waits_for_a_writer_that_has_looked_at_the_fence(dsn: str, plant: asyncpg.Connection) -> None:
    await store(plant, [Point(second) for second in range(0, 3600, 30)])
    async with another(dsn) as writer:
        transaction = writer.transaction()
        await transaction.start()
        batch = batch_of([Point(1200 + 1, value=7)])
        await ReadingStore(await detect_async(writer)).write(writer, batch)
        await rollups.touch(writer, batch)
        job = asyncio.create_task(advance(plant))
        await waiting(dsn)
        await transaction.commit()
        await job
    assert await watermark(plant) == T0 + 57 * MINUTE
    await assert_exact(plant)


async def test_a_writer_that_looks_after_the_fence_moved_marks_its_readings(
    dsn: str, plant: asyncpg.Connection
) -> None:
    await store(plant, [Point(second) for second in range(0, 3600, 30)])
    async with another(dsn) as writer:
        async with writer.transaction():
            batch = batch_of([Point(1200 + 1, value=7)])
            await ReadingStore(await detect_async(writer)).write(writer, batch)
            # The count goes past the reading, which is not committed yet.
            await advance(plant)
            await rollups.touch(writer, batch)
        assert (await advance(plant)).recounted == 1
    await assert_exact(plant)


async def test_a_mark_renewed_during_its_recount_stays(
    dsn: str, plant: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(plant, [Point(second) for second in range(0, 7200, 30)])
    await advance(plant)
    await store(plant, [Point(601, value=7)])
    edition = await detect_async(plant)
    recount = edition.rollups.recount
    async with another(dsn) as writer, another(dsn) as uncommitted:

        async def beside_writers(*arguments: object) -> None:
            # Both after the job has read the mark: one commits before the count, the other after everything.
            await store(writer, [Point(602, value=8)])
            transaction = uncommitted.transaction()
            await transaction.start()
            batch = batch_of([Point(603, value=9)])
            await ReadingStore(edition).write(uncommitted, batch)
            await rollups.touch(uncommitted, batch)
            await recount(*arguments)  # type: ignore[arg-type] # handed through as they come
            await transaction.commit()

        with monkeypatch.context() as patch:
            patch.setattr(type(edition.rollups), "recount", staticmethod(beside_writers))
            await rollups.advance(plant, edition, LATER)
    assert await plant.fetchval("SELECT count(*) FROM reading_touched") == 1
    assert (await advance(plant)).recounted == 1
    await assert_exact(plant)


async def test_writers_and_a_job_at_the_same_time_lose_nothing(dsn: str, plant: asyncpg.Connection) -> None:
    await store(plant, [Point(0)])

    async def write(connection: asyncpg.Connection, sensor_id: int) -> None:
        for part in range(25):
            fresh = [Point(120 * part + second, sensor_id, value=part) for second in range(0, 120, 7)]
            late = [Point(97 * part % 1500 + 0.25 * sensor_id, sensor_id % 2 + 1, value=-part)]
            await store(connection, fresh + late)

    async with another(dsn) as first, another(dsn) as second:
        writers = asyncio.gather(write(first, 1), write(second, 2))
        while not writers.done():
            await advance(plant)
        await writers
    while (await advance(plant)).recounted:
        pass
    await assert_exact(plant)


async def test_a_reading_stored_while_the_first_advance_looks_for_the_oldest_is_counted(
    dsn: str, plant: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store(plant, [Point(second) for second in range(0, 3600, 30)])
    edition = await detect_async(plant)
    make_room = edition.make_room
    async with another(dsn) as writer:

        async def beside_a_writer(*arguments: object) -> None:
            # After the look, before the fence moves: nobody marks it.
            monkeypatch.undo()
            await store(writer, [Point(-1200, value=7)])
            await make_room(*arguments)  # type: ignore[arg-type] # handed through as they come

        monkeypatch.setattr(edition, "make_room", beside_a_writer)
        await rollups.advance(plant, edition, LATER)
    assert await plant.fetchval("SELECT count(*) FROM reading_touched") == 0
    assert await plant.fetchval("SELECT min(time) FROM reading") == T0 - 20 * MINUTE
    await assert_exact(plant)


async def test_an_hour_that_silence_follows_is_kept_when_data_come_again(plant: asyncpg.Connection) -> None:
    await store(plant, [Point(second) for second in range(0, 2400, 30)])
    await advance(plant)
    await store(plant, [Point(5 * 24 * 3600 + second, value=2) for second in range(0, 7200, 30)])
    await advance(plant)
    assert await watermark(plant) > T0 + 5 * DAY
    await assert_exact(plant)


async def test_a_job_that_died_between_fence_and_watermark_is_finished_by_the_next(plant: asyncpg.Connection) -> None:
    await store(plant, [Point(second) for second in range(0, 7200, 30)])
    await plant.execute("UPDATE reading_fence SET time = $1", T0 + HOUR)
    await store(plant, [Point(61, value=7), Point(6000 + 1, value=8)])
    await advance(plant)
    assert await watermark(plant) == T0 + 117 * MINUTE
    await assert_exact(plant)


async def test_a_second_job_leaves_the_work_to_the_first(dsn: str, plant: asyncpg.Connection) -> None:
    await store(plant, [Point(0), Point(3600)])
    async with another(dsn) as first:
        await first.execute("SELECT pg_advisory_lock(hashtext('reading rollups'))")
        before = await watermark(plant)
        assert await advance(plant) == rollups.Advanced(watermark=before, recounted=0, complete=False)
    await advance(plant)
    assert await watermark(plant) == T0 + 58 * MINUTE


async def waiting(dsn: str) -> None:
    """Until a session waits for another one's lock."""
    async with another(dsn) as watcher, asyncio.timeout(20):
        while True:
            if await watcher.fetchval(
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            ):
                return
            await asyncio.sleep(0.01)


# Quarters of small numbers: their sums and squares are exact in float8, in whatever order they are added up.
QUARTERS = st.integers(-8, 8).map(lambda quarters: quarters / 4)
QUALITY = st.sampled_from([GOOD, GOOD, UNCERTAIN, BAD, STALE])
BORDERS = [
    (border - T0).total_seconds() + microseconds / 1e6
    for border in (T0 + MINUTE, T0.replace(minute=0) + HOUR, T0.replace(hour=0, minute=0) + DAY)
    for microseconds in (-1, 0, 1)
]
"""the last instant of a minute, an hour and a day, and the first ones after it; s after T0"""
POINT = st.builds(
    Point,
    st.one_of(
        st.integers(0, 40).map(lambda step: step * 15.0),
        st.integers(0, 30).map(lambda step: step * 1799.0),
        st.sampled_from([-40 * 86400.0, -86400.0, 3 * 86400.0]),
        st.sampled_from(BORDERS),
    ),
    st.integers(1, 3),
    QUARTERS,
    QUALITY,
)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[list[Point], float | None]]:
    """Batches, each with where the clock stands when the job runs after it (h after T0), or None.

    What was sent is sent again at times: the same, or with another value or quality.
    """
    parts: list[tuple[list[Point], float | None]] = []
    sent: list[Point] = []
    for _ in range(draw(st.integers(0, 8))):
        batch = draw(st.lists(POINT, max_size=12))
        if sent:
            again = draw(st.lists(st.sampled_from(sent), max_size=6))
            changed = draw(st.lists(st.tuples(st.sampled_from(sent), QUARTERS, QUALITY), max_size=4))
            batch += again + [point._replace(value=value, quality=quality) for point, value, quality in changed]
            batch = draw(st.permutations(batch))
        sent += batch
        parts.append((batch, draw(st.sampled_from([None, None, 0.1, 5.0, 200.0]))))
    return parts


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=histories())
async def test_whatever_arrives_in_whatever_order_rollups_equal_a_group_by_over_the_readings(
    plant: asyncpg.Connection,
    dsn: str,
    parts: list[tuple[list[Point], float | None]],
) -> None:
    await forget(plant, dsn)
    first: dict[tuple[int, int], tuple[float, int]] = {}
    for points, now_h in parts:
        await store(plant, points)
        for point in points:
            instant = point.sensor_id, to_micros(T0) + round(point.at_s * SECOND_US)
            first.setdefault(instant, (point.value, point.quality))
        if now_h is not None:
            await advance(plant, T0 + now_h * HOUR)
    while (await advance(plant)).recounted:
        pass
    # The first one stays, whatever came after it: what rollups are counted from is right itself.
    rows = await plant.fetch("SELECT sensor_id, time, value, quality FROM reading")
    assert {(row[0], to_micros(row[1])): (row[2], row[3]) for row in rows} == first
    await assert_exact(plant)
    assert await watermark(plant) == await plant.fetchval("SELECT time FROM reading_fence")


async def forget(connection: asyncpg.Connection, dsn: str) -> None:
    """Back to an empty database."""
    await connection.execute("TRUNCATE reading, reading_touched")
    if (await detect_async(connection)).rollups.manner == "kept":
        await connection.execute("TRUNCATE reading_1m_kept, reading_1h_kept, reading_1d_kept")
    else:
        # An aggregate remembers how far it was materialised, whatever is truncated below it: made anew.
        await asyncio.to_thread(schema.downgrade, dsn, "0001")
        await asyncio.to_thread(schema.migrate, dsn)
    await connection.execute("UPDATE reading_watermark SET time = 'epoch'")
    await connection.execute("UPDATE reading_fence SET time = 'epoch'")


def test_the_migration_goes_down_and_up_and_keeps_readings(new_database: Callable[[], str]) -> None:
    dsn = new_database()

    def look() -> list[tuple[object, ...]]:
        with psycopg.connect(dsn) as connection:
            return connection.execute(
                "SELECT table_name, column_name, data_type, is_nullable, column_default"
                " FROM information_schema.columns WHERE table_schema = 'public'"
                # Partitions come with the rows that need them.
                " AND table_name !~ '_[0-9]{8}$' ORDER BY 1, 2"
            ).fetchall()

    async def fill() -> None:
        async with another(dsn) as connection:
            await connection.execute(PLANT)
            await store(connection, [Point(second) for second in range(0, 7200, 30)])
            await advance(connection)

    async def check() -> None:
        async with another(dsn) as connection:
            assert await connection.fetchval("SELECT count(*) FROM reading") == 240
            await assert_exact(connection)
            await advance(connection)
            await assert_exact(connection)

    asyncio.run(fill())
    before = look()
    schema.downgrade(dsn, "0001")
    assert not [row for row in look() if str(row[0]).startswith("reading_1")]
    schema.migrate(dsn)
    assert look() == before
    asyncio.run(check())
