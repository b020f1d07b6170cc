"""The hourly state rollup and the KPIs read from it, on PostgreSQL, against a naive count in Python."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cbm.state_rollup import Refreshed, kpis, newest_report, refresh, touch
from telemetry import database
from telemetry.batch import ReadingBatch, to_datetime, to_micros
from telemetry.editions import PlainPostgres, detect_async
from telemetry.plant import AssetState

T0 = datetime(2026, 3, 2, tzinfo=UTC)
T0_US = to_micros(T0)
HOUR = timedelta(hours=1)
HOUR_US = 3600 * 1_000_000
STOPPED, RUNNING, FAILED = 0, 1, 2
GOOD, UNCERTAIN, BAD, STALE = range(4)


class Point(NamedTuple):
    """A reading of the state sensor."""

    at: int
    """µs since T0"""
    value: float
    quality: int = GOOD


def usable(points: Sequence[Point]) -> list[Point]:
    return sorted(point for point in points if point.quality <= UNCERTAIN and point.value in {0, 1, 2})


def naive_rollup(points: Sequence[Point]) -> dict[tuple[datetime, int], tuple[float, int]]:
    """Walks the history once, hour by hour."""
    micros: dict[tuple[int, int], int] = defaultdict(int)
    entries: dict[tuple[int, int], int] = defaultdict(int)
    history = usable(points)
    before: float | None = None
    for index, point in enumerate(history):
        if point.value != before:
            entries[point.at // HOUR_US, int(point.value)] += 1
        before = point.value
        at = point.at
        while index + 1 < len(history) and at < history[index + 1].at:
            until = min(history[index + 1].at, (at // HOUR_US + 1) * HOUR_US)
            micros[at // HOUR_US, int(point.value)] += until - at
            at = until
    return {
        (T0 + hour * HOUR, state): (micros[hour, state] / 1e6, entries[hour, state])
        for hour, state in {**micros, **entries}
    }


def naive_window(points: Sequence[Point], begin: int, end: int, as_of: int) -> tuple[dict[int, float], int]:
    """Seconds by state and failures within [begin, end), the last stay counted up to `as_of`."""
    seconds: dict[int, float] = dict.fromkeys((STOPPED, RUNNING, FAILED), 0.0)
    failures = 0
    history = usable(points)
    for index, point in enumerate(history):
        until = history[index + 1].at if index + 1 < len(history) else as_of
        seconds[int(point.value)] += max(min(until, end) - max(point.at, begin), 0) / 1e6
        new = index == 0 or history[index - 1].value != point.value
        failures += point.value == FAILED and new and begin <= point.at < end
    return seconds, failures


STATE, TEMPERATURE, OTHER_STATE = 1, 2, 3


@pytest.fixture
async def connection(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """To a database with pump-1 (its state and a temperature) and fan-2 (its state)."""
    opened = await database.connect(dsn)
    await opened.execute(
        """
        INSERT INTO site (name) VALUES ('north');
        INSERT INTO area (site_id, name) VALUES (1, 'hall');
        INSERT INTO asset (name, title, area_id) VALUES ('pump-1', 'Feed pump', 1), ('fan-2', '', 1);
        INSERT INTO sensor (name, asset_id, kind) VALUES
            ('pump-1.state', 1, 'state'), ('pump-1.temperature', 1, 'measured'), ('fan-2.state', 2, 'state');
        """
    )
    await clear(opened)
    yield opened
    await opened.close()


@asynccontextmanager
async def another(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """A second connection to the same database."""
    opened = await database.connect(dsn)
    try:
        yield opened
    finally:
        await opened.close()


async def clear(connection: asyncpg.Connection) -> None:
    await connection.execute("TRUNCATE reading, asset_state_1h, asset_state_touched")
    await connection.execute("UPDATE sensor SET retired_at = NULL")
    edition = await detect_async(connection)
    await edition.make_room(
        connection, ReadingBatch.of([T0_US + week * 168 * HOUR_US for week in range(-1, 2)], [1] * 3, [0] * 3).time
    )


async def insert(connection: asyncpg.Connection, points: Sequence[Point], sensor_id: int = STATE) -> None:
    """What the batch transaction does with state readings: store, and mark in the same transaction."""
    batch = ReadingBatch.of(
        [T0_US + point.at for point in points],
        [sensor_id] * len(points),
        [point.value for point in points],
        [point.quality for point in points],
    )
    async with connection.transaction():
        await connection.copy_records_to_table(
            "reading",
            records=[(to_datetime(T0_US + point.at), sensor_id, float(point.value), point.quality) for point in points],
        )
        if sensor_id != TEMPERATURE:
            await touch(connection, batch)


async def refreshed(connection: asyncpg.Connection, hours_a_round: int = 2_000) -> Refreshed:
    return await refresh(connection, await detect_async(connection), hours_a_round=hours_a_round)


async def rollup(
    connection: asyncpg.Connection, sensor_id: int = STATE
) -> dict[tuple[datetime, int], tuple[float, int]]:
    rows = await connection.fetch("SELECT * FROM asset_state_1h WHERE sensor_id = $1", sensor_id)
    return {(row["time"], row["state"]): (row["seconds"], row["entries"]) for row in rows}


def hours(number: float) -> int:
    return round(number * HOUR_US)


async def test_a_failure_of_hours_fills_every_hour_between_its_two_readings(connection: asyncpg.Connection) -> None:
    await insert(connection, [Point(hours(0), RUNNING), Point(hours(1.5), FAILED), Point(hours(7.25), RUNNING)])
    await refreshed(connection)
    rows = await rollup(connection)
    assert [rows[T0 + hour * HOUR, FAILED] for hour in range(1, 8)] == [
        (1800.0, 1), (3600.0, 0), (3600.0, 0), (3600.0, 0), (3600.0, 0), (3600.0, 0), (900.0, 0),
    ]  # fmt: skip
    assert rows[T0, RUNNING] == (3600.0, 1)
    assert rows[T0 + 7 * HOUR, RUNNING] == (0.0, 1), "the open stay has an entry and no length yet"


async def test_repeated_states_are_one_stay(connection: asyncpg.Connection) -> None:
    await insert(connection, [Point(hours(0.1 * step), FAILED) for step in range(10)])
    await refreshed(connection)
    assert await rollup(connection) == {(T0, FAILED): (0.9 * 3600, 1)}


async def test_bad_stale_and_meaningless_readings_are_no_states(connection: asyncpg.Connection) -> None:
    await insert(
        connection,
        [
            Point(hours(0), RUNNING),
            Point(hours(0.25), FAILED, BAD),
            Point(hours(0.5), FAILED, STALE),
            Point(hours(0.6), 1e30),
            Point(hours(0.7), 1.5),
            Point(hours(1), RUNNING, UNCERTAIN),
        ],
    )
    await refreshed(connection)
    assert await rollup(connection) == {(T0, RUNNING): (3600.0, 1)}


async def test_a_late_reading_corrects_hours_without_any_reading_of_their_own(connection: asyncpg.Connection) -> None:
    history = [Point(hours(0.5), RUNNING), Point(hours(30.5), STOPPED)]
    await insert(connection, history)
    await refreshed(connection)
    late = Point(hours(10.25), FAILED)
    await insert(connection, [late])
    done = await refreshed(connection)
    assert await rollup(connection) == naive_rollup([*history, late])
    assert (done.begin, done.end) == (T0, T0 + 31 * HOUR)


async def test_corrected_history_leaves_nothing_of_the_old_one(connection: asyncpg.Connection) -> None:
    await insert(connection, [Point(hours(0), RUNNING), Point(hours(2), FAILED), Point(hours(9), RUNNING)])
    await refreshed(connection)
    async with connection.transaction():
        wrong = T0 + 2 * HOUR
        await connection.execute("UPDATE reading SET value = 0 WHERE sensor_id = $1 AND time = $2", STATE, wrong)
        await touch(connection, ReadingBatch.of([to_micros(wrong)], [STATE], [STOPPED]))
    await refreshed(connection)
    assert await rollup(connection) == naive_rollup(
        [Point(hours(0), RUNNING), Point(hours(2), STOPPED), Point(hours(9), RUNNING)]
    )


async def test_nothing_touched_writes_nothing(connection: asyncpg.Connection) -> None:
    assert await refreshed(connection) == Refreshed(marks=0, rows=0, rounds=0, begin=None, end=None)


async def test_a_long_backfill_is_done_in_bounded_rounds(connection: asyncpg.Connection) -> None:
    history = [Point(hours(step / 2), step % 3) for step in range(200)]
    await insert(connection, history)
    await insert(connection, history, OTHER_STATE)
    done = await refreshed(connection, 20)
    assert done.marks == 200
    assert done.rounds > 20
    assert await rollup(connection) == naive_rollup(history)
    assert await rollup(connection, OTHER_STATE) == naive_rollup(history)


async def test_days_are_the_sums_of_their_hours(connection: asyncpg.Connection) -> None:
    await insert(connection, [Point(hours(0), RUNNING), Point(hours(20), FAILED), Point(hours(30), RUNNING)])
    await refreshed(connection)
    rows = await connection.fetch(
        "SELECT time, seconds, entries FROM asset_state_1d WHERE sensor_id = $1 AND state = $2 ORDER BY time",
        STATE,
        FAILED,
    )
    assert [tuple(row) for row in rows] == [(T0, 4 * 3600.0, 1), (T0 + timedelta(days=1), 6 * 3600.0, 0)]


async def test_a_mark_that_a_writer_holds_is_left_for_the_next_refresh(
    dsn: str, connection: asyncpg.Connection
) -> None:
    # The mark is there already: the writer inserts none, and still no refresh may take it before the writer commits.
    first = Point(hours(0), RUNNING)
    second = Point(hours(0.5), FAILED)
    await insert(connection, [first])
    async with another(dsn) as writer:
        transaction = writer.transaction()
        await transaction.start()
        await writer.execute("INSERT INTO reading VALUES ($1, $2, 2, 0)", T0 + HOUR / 2, STATE)
        await touch(writer, ReadingBatch.of([T0_US + second.at], [STATE], [FAILED]))
        assert (await refreshed(connection)).marks == 0
        await transaction.commit()
    assert (await refreshed(connection)).marks == 1
    assert await rollup(connection) == naive_rollup([first, second])


async def test_a_writer_that_meets_a_taken_mark_waits_and_marks_again(dsn: str, connection: asyncpg.Connection) -> None:
    first = Point(hours(0), RUNNING)
    second = Point(hours(0.5), FAILED)
    await insert(connection, [first])
    async with another(dsn) as refresher:
        # A refresh inside an open transaction stands for one that is slow: its mark is taken, nothing committed.
        # Without the daily rollup: a continuous aggregate cannot be refreshed inside a transaction.
        transaction = refresher.transaction()
        await transaction.start()
        assert (await refresh(refresher, PlainPostgres())).marks == 1
        writing = asyncio.create_task(insert(connection, [second]), name="writer")
        async with another(dsn) as observer:
            while not await observer.fetchval(  # noqa: ASYNC110 - a lock wait in the server raises no event here
                "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)", connection.get_server_pid()
            ):
                await asyncio.sleep(0.01)
        assert not writing.done()
        await transaction.commit()
        await writing
    assert await rollup(connection) == naive_rollup([first])
    assert (await refreshed(connection)).marks == 1
    assert await rollup(connection) == naive_rollup([first, second])


async def test_writers_and_refreshers_at_once_lose_nothing(dsn: str, connection: asyncpg.Connection) -> None:
    history = [Point(hours(step / 7) + step, step % 3) for step in range(140)]

    async def write(part: Sequence[Point]) -> None:
        async with another(dsn) as own:
            for start in range(0, len(part), 3):
                await insert(own, part[start : start + 3])

    async def keep_refreshing() -> None:
        async with another(dsn) as own:
            for _ in range(30):
                await refreshed(own, 7)

    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(write(history[number::3]), name=f"writer {number}")
        for number in range(2):
            group.create_task(keep_refreshing(), name=f"refresher {number}")
    await refreshed(connection)
    assert await rollup(connection) == naive_rollup(history)


moments = st.builds(
    lambda hour, offset: hour * HOUR_US + offset,
    st.integers(0, 30),
    st.one_of(st.sampled_from([0, 1, HOUR_US - 1, HOUR_US // 2]), st.integers(0, HOUR_US - 1)),
)
points_strategy = st.lists(
    st.builds(
        Point,
        at=moments,
        value=st.sampled_from([0.0, 1.0, 1.0, 2.0, 2.0, 7.0]),
        quality=st.sampled_from([GOOD, GOOD, GOOD, UNCERTAIN, BAD, STALE]),
    ),
    min_size=1,
    max_size=25,
    unique_by=lambda point: point.at,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), history=points_strategy)
async def test_any_history_in_any_order_counts_like_the_naive_walk(
    connection: asyncpg.Connection, data: st.DataObject, history: list[Point]
) -> None:
    await clear(connection)
    order = data.draw(st.permutations(history))
    stored: list[Point] = []
    while order:
        size = data.draw(st.integers(1, len(order)))
        batch, order = order[:size], order[size:]
        await insert(connection, batch)
        stored += batch
        if data.draw(st.booleans()):
            await refreshed(connection, data.draw(st.sampled_from([1, 3, 50])))
            assert await rollup(connection) == naive_rollup(stored)
        # KPIs are exact whether or not the rollup is up to date.
        begin, end = sorted(data.draw(st.tuples(moments, moments).filter(lambda pair: pair[0] != pair[1])))
        await assert_kpis(connection, stored, begin, end)
    await refreshed(connection)
    assert await rollup(connection) == naive_rollup(history)


async def assert_kpis(connection: asyncpg.Connection, stored: Sequence[Point], begin: int, end: int) -> None:
    as_of = max((point.at for point in stored if point.quality < STALE), default=0)
    bounds = [begin, *range((begin // (24 * HOUR_US) + 1) * 24 * HOUR_US, end, 24 * HOUR_US), end]
    by_day = {
        to_micros(row.begin) - T0_US: row
        for row in await kpis(
            connection, begin=to_datetime(T0_US + begin), end=to_datetime(T0_US + end), asset="pump-1", by="day"
        )
    }
    for first, last in pairwise(bounds):
        seconds, failures = naive_window(stored, first, last, as_of)
        if first not in by_day:
            assert sum(seconds.values()) == failures == 0
            continue
        figures = by_day[first].reliability
        assert to_micros(by_day[first].end) - T0_US == last
        assert (figures.stopped_s, figures.operating_s, figures.downtime_s) == pytest.approx(
            tuple(seconds.values()), abs=1e-6
        )
        assert figures.failures == failures
    [total] = await kpis(connection, begin=to_datetime(T0_US + begin), end=to_datetime(T0_US + end), asset="pump-1")
    seconds, failures = naive_window(stored, begin, end, as_of)
    figures = total.reliability
    assert (figures.stopped_s, figures.operating_s, figures.downtime_s) == pytest.approx(
        tuple(seconds.values()), abs=1e-6
    )
    assert figures.failures == failures


async def test_a_state_that_began_before_the_window_counts_inside_it(connection: asyncpg.Connection) -> None:
    await insert(connection, [Point(hours(-10), FAILED), Point(hours(6), RUNNING), Point(hours(12), RUNNING)])
    await refreshed(connection)
    [row] = await kpis(connection, begin=T0, end=T0 + 12 * HOUR, asset="pump-1")
    assert row.reliability.downtime_s == 6 * 3600
    assert row.reliability.failures == 0
    assert row.reliability.availability == 0.5
    assert (row.state_at_begin, row.state_at_end) == (AssetState.FAILED, AssetState.RUNNING)


async def test_the_newest_state_lasts_as_long_as_the_asset_reports(connection: asyncpg.Connection) -> None:
    await insert(connection, [Point(hours(0), RUNNING)])
    await insert(connection, [Point(hours(5.5), 61.0), Point(hours(9), 61.0, STALE)], TEMPERATURE)
    await refreshed(connection)
    assert await newest_report(connection, "pump-1") == T0 + 5.5 * HOUR
    [row] = await kpis(connection, begin=T0, end=T0 + 24 * HOUR, asset="pump-1")
    assert row.as_of == T0 + 5.5 * HOUR
    assert row.reliability.operating_s == 5.5 * 3600
    assert row.reliability.unknown_s == 18.5 * 3600
    [row] = await kpis(connection, begin=T0 + 5 * HOUR, end=T0 + 5.25 * HOUR, asset="pump-1")
    assert row.reliability.operating_s == 900


async def test_a_replaced_state_sensor_does_not_hold_its_last_state_for_ever(connection: asyncpg.Connection) -> None:
    await insert(connection, [Point(hours(0), RUNNING)])
    await insert(connection, [Point(hours(48), 61.0)], TEMPERATURE)
    await connection.execute("UPDATE sensor SET retired_at = $2 WHERE id = $1", STATE, T0 + 3 * HOUR)
    await refreshed(connection)
    [row] = await kpis(connection, begin=T0, end=T0 + 48 * HOUR, asset="pump-1")
    assert row.reliability.operating_s == 3 * 3600
    assert await kpis(connection, begin=T0 + 24 * HOUR, end=T0 + 48 * HOUR, asset="pump-1") == []


async def test_an_asset_that_never_reported_is_unknown_and_not_perfect(connection: asyncpg.Connection) -> None:
    rows = await kpis(connection, begin=T0, end=T0 + HOUR)
    assert [row.asset for row in rows] == ["fan-2", "pump-1"]
    for row in rows:
        assert (row.as_of, row.state_at_begin, row.state_at_end, row.reliability.availability) == (None,) * 4
        assert row.reliability.unknown_s == 3600
        assert row.cells()[-1] == "-"
    assert await kpis(connection, begin=T0, end=T0 + HOUR, by="day") == []
    assert await newest_report(connection) is None


async def test_days_are_utc_days_whatever_the_session_says(connection: asyncpg.Connection) -> None:
    await connection.execute("SET timezone = 'America/New_York'")  # clocks change there on 2026-03-08
    await insert(connection, [Point(hours(0), RUNNING), Point(hours(24 * 9), FAILED), Point(hours(24 * 9 + 1), FAILED)])
    await refreshed(connection)
    rows = await kpis(connection, begin=T0, end=T0 + timedelta(days=10), by="day", asset="pump-1")
    assert [row.begin for row in rows] == [T0 + timedelta(days=day) for day in range(10)]
    assert [row.reliability.operating_s for row in rows] == [86400.0] * 9 + [0.0]
    assert rows[-1].reliability.failures == 1
    assert rows[-1].document()["availability"] == 0.0


async def test_an_empty_window_is_refused(connection: asyncpg.Connection) -> None:
    with pytest.raises(ValueError, match="empty"):
        await kpis(connection, begin=T0, end=T0)
    with pytest.raises(ValueError, match="time zone"):
        await kpis(connection, begin=T0.replace(tzinfo=None), end=T0)
