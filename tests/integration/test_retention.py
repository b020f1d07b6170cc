"""What is older than settings keep goes, and rollups made from it stay; on whatever server there is."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import numpy as np
import pytest

from cbm import state_rollup
from telemetry import database, retention, rollups
from telemetry.batch import ReadingBatch, to_micros
from telemetry.edition import Piece
from telemetry.editions import Edition, detect_async
from telemetry.retention import Policy, Retained, horizons, retain
from telemetry.series import READING, SERIES, Series, SeriesClass
from telemetry.store import ReadingStore, Written

T0 = datetime(2026, 3, 2, tzinfo=UTC)
HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(weeks=1)
NOW = T0 + 6 * WEEK
KEEP = {SeriesClass.READINGS: 14 * DAY}
HORIZON = NOW - 15 * DAY
VIBRATION, TEMPERATURE, STATE = 1, 2, 3
STOPPED, RUNNING, FAILED = 0, 1, 2

PLANT = """
INSERT INTO site (name) VALUES ('north');
INSERT INTO area (site_id, name) VALUES (1, 'hall');
INSERT INTO asset (name, area_id) VALUES ('pump-1', 1);
INSERT INTO sensor (name, asset_id, kind)
VALUES ('pump-1.vib', 1, 'measured'), ('pump-1.temp', 1, 'measured'), ('pump-1.state', 1, 'state');
"""
ROLLUPS = ("reading_1m", "reading_1h", "reading_1d", "asset_state_1h", "asset_state_1d")

Rows = dict[str, list[tuple[Any, ...]]]


@pytest.fixture(autouse=True)
def _long_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weeks of few readings are rolled up in some steps, not in dozens."""
    monkeypatch.setattr(rollups, "_FIRST_STEP", WEEK)
    monkeypatch.setattr(rollups, "_LONGEST_STEP", WEEK)


@pytest.fixture
async def plant(connection: asyncpg.Connection) -> asyncpg.Connection:
    """A connection to a database with three sensors."""
    await connection.execute(PLANT)
    return connection


@pytest.fixture
async def edition(plant: asyncpg.Connection) -> Edition:
    return await detect_async(plant)


@pytest.fixture
async def history(plant: asyncpg.Connection) -> asyncpg.Connection:
    """Six weeks of readings, rolled up."""
    await store(plant, six_weeks())
    await roll_up(plant)
    return plant


@asynccontextmanager
async def another(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    opened = await database.connect(dsn)
    try:
        yield opened
    finally:
        await opened.close()


def readings(sensor_id: int, hours: Sequence[float], values: Sequence[float] | None = None) -> ReadingBatch:
    """At so many hours after T0."""
    times = [to_micros(T0) + round(hour * 3600 * 1_000_000) for hour in hours]
    return ReadingBatch.of(times, [sensor_id] * len(times), np.ones(len(times)) if values is None else values)


def six_weeks() -> ReadingBatch:
    """Values whose sums are exact in whatever order they are taken."""
    half_hours = np.arange(0, 6 * 168, 0.5)
    six_hours = np.arange(0.25, 6 * 168, 6)
    return ReadingBatch.concat(
        [
            readings(VIBRATION, half_hours.tolist(), (np.round(64 * np.sin(half_hours)) / 64).tolist()),
            readings(TEMPERATURE, half_hours.tolist(), (20 + half_hours / 128).tolist()),
            readings(STATE, six_hours.tolist(), [float(number % 3) for number in range(six_hours.size)]),
        ]
    )


async def store(connection: asyncpg.Connection, batch: ReadingBatch, edition: Edition | None = None) -> Written:
    """What the batch transaction does, behind the door."""
    writer = ReadingStore(edition or await detect_async(connection))
    await writer.make_room(connection, batch)
    async with connection.transaction():
        written = await writer.write(connection, batch)
        new = batch.take(written.stored)
        await state_rollup.touch(connection, new.take(new.sensor_id == STATE))
        await rollups.touch(connection, new)
    return written


async def roll_up(connection: asyncpg.Connection, now: datetime = NOW) -> None:
    """What the scheduler does until there is nothing left."""
    edition = await detect_async(connection)
    await state_rollup.refresh(connection, edition)
    await edition.refresh_state_rollup(connection, to_micros(now))
    while not (await rollups.advance(connection, edition, now)).complete:
        pass


async def run(
    connection: asyncpg.Connection, keep: dict[SeriesClass, timedelta] | None = None, now: datetime = NOW
) -> Retained:
    """One run of the job that settings ask for."""
    policy = Policy(keep=KEEP if keep is None else keep)
    return await retain(connection, await detect_async(connection), policy, now)


async def rolled_up(connection: asyncpg.Connection) -> Rows:
    return {
        name: [tuple(row) for row in await connection.fetch(f"SELECT * FROM {name} ORDER BY sensor_id, time, 3, 4")]
        for name in ROLLUPS
    }


async def oldest(connection: asyncpg.Connection, table: str = "reading", sensor_id: int = VIBRATION) -> datetime:
    found: datetime = await connection.fetchval(f"SELECT min(time) FROM {table} WHERE sensor_id = $1", sensor_id)
    return found


async def pieces(connection: asyncpg.Connection, series: Series = READING) -> list[Piece]:
    found = await (await detect_async(connection)).pieces(connection, series)
    assert found is not None
    return found


async def test_rollups_outlive_the_readings_they_were_made_from(history: asyncpg.Connection) -> None:
    before = await rolled_up(history)
    # Late readings nobody has counted yet are counted first.
    await store(history, readings(TEMPERATURE, [100.1, 100.2, 400.1], [99, -99, 50]))
    done = await run(history)
    assert done.dropped["reading"] >= 3
    assert not done.waiting
    after = await rolled_up(history)
    assert len(after["reading_1m"]) == len(before["reading_1m"]) + 3
    assert [row for row in after["reading_1d"] if row[1] == VIBRATION] == [
        row for row in before["reading_1d"] if row[1] == VIBRATION
    ]
    days = {row[0]: row for row in after["reading_1d"] if row[1] == TEMPERATURE}
    assert days[T0 + 4 * DAY][2:7] == (50, 50, 50, -99, 99)
    await run(history)
    await roll_up(history)
    assert await rolled_up(history) == after


async def test_only_whole_pieces_go_and_nothing_younger(history: asyncpg.Connection) -> None:
    stored = await history.fetchval("SELECT count(*) FROM reading WHERE time >= $1", HORIZON)
    await run(history)
    assert HORIZON - WEEK < await oldest(history) <= HORIZON
    assert all(piece.end > HORIZON for piece in (await pieces(history))[1:])
    assert await history.fetchval("SELECT count(*) FROM reading WHERE time >= $1", HORIZON) == stored
    assert await horizons(history) == {SeriesClass.READINGS: HORIZON}


async def test_without_settings_everything_is_kept(history: asyncpg.Connection) -> None:
    before = len(await pieces(history))
    done = await run(history, {}, NOW + 4000 * DAY)
    assert (done.dropped, done.waiting) == ({}, [])
    assert len(await pieces(history)) == before
    assert await horizons(history) == {}


async def test_a_late_reading_below_the_horizon_changes_no_rollup(history: asyncpg.Connection) -> None:
    await run(history)
    before = await rolled_up(history)
    # Behind the door's back: one in a piece that was dropped, one in the piece that is still there.
    await store(history, readings(VIBRATION, [30.1, (HORIZON - T0) / HOUR - 1.1], [1e6, 1e6]))
    await roll_up(history)
    assert await rolled_up(history) == before
    done = await run(history)
    assert done.dropped == {"reading": 1}
    assert await history.fetchval("SELECT count(*) FROM reading_touched") == 0
    await roll_up(history)
    assert await rolled_up(history) == before


async def test_a_late_reading_above_the_horizon_is_counted(history: asyncpg.Connection) -> None:
    await run(history)
    before = await rolled_up(history)
    hour = (HORIZON - T0) / HOUR + 0.1
    await store(history, readings(VIBRATION, [hour], [1e6]))
    await roll_up(history)
    after = await rolled_up(history)
    for name, bucket in (("reading_1h", HORIZON), ("reading_1d", HORIZON)):
        old = {(row[0], row[1]): row for row in before[name]}
        new = {(row[0], row[1]): row for row in after[name]}
        assert {key for key in new if new[key] != old.get(key)} == {(bucket, VIBRATION)}
        assert new[bucket, VIBRATION][2] == old[bucket, VIBRATION][2] + 1


async def test_the_last_minutes_of_a_silent_plant_are_counted_before_they_go(plant: asyncpg.Connection) -> None:
    # The rollups' job stays two minutes behind the newest reading, for ever if none follows.
    await store(plant, readings(VIBRATION, [0.1, 50.001, 50.01, 50.02], [1, 2, 3, 4]))
    await roll_up(plant)
    before = await rolled_up(plant)
    done = await run(plant)
    assert done.dropped == {"reading": 1}
    assert await plant.fetchval("SELECT count(*) FROM reading") == 0
    assert await rolled_up(plant) == before
    # A plant that is switched on again goes on from there.
    await store(plant, readings(VIBRATION, [24 * 41, 24 * 41 + 1], [5, 6]))
    await roll_up(plant)
    after = await rolled_up(plant)
    assert after["reading_1m"][:3] == before["reading_1m"]
    assert len(after["reading_1m"]) == len(before["reading_1m"]) + 2
    assert [row[2] for row in after["reading_1d"]] == [1, 3, 2]


async def test_nothing_goes_while_rollups_or_states_are_not_counted(
    history: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = len(await pieces(history))
    await store(history, readings(STATE, [20], [FAILED]))
    done = await run(history)
    assert done.waiting
    assert not done.dropped
    await state_rollup.refresh(history, await detect_async(history))
    await store(history, readings(VIBRATION, [20.01], [5]))
    monkeypatch.setattr(rollups, "_ROUNDS_A_CALL", 0)
    done = await run(history)
    assert done.waiting
    assert not done.dropped
    assert len(await pieces(history)) == before
    assert await horizons(history) == {}
    monkeypatch.undo()
    assert (await run(history)).dropped


@pytest.mark.parametrize("dies", ["before the horizon moves", "before pieces go", "after one piece"])
async def test_a_crash_between_the_steps_is_mended_by_the_next_run(
    history: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, dies: str
) -> None:
    await store(history, readings(TEMPERATURE, [100.1, 400.1], [99, 50]))
    kind = type(await detect_async(history))
    drop, settle, dropped = kind.drop_piece, rollups.advance, 0

    async def dying_drop(self: Edition, connection: asyncpg.Connection, series: Series, piece: Piece) -> None:
        nonlocal dropped
        if dies == "before pieces go" or dropped:
            raise asyncpg.ConnectionDoesNotExistError("killed")
        dropped += 1
        await drop(self, connection, series, piece)

    async def dying_advance(connection: asyncpg.Connection, of: Edition, now: datetime) -> rollups.Advanced:
        await settle(connection, of, now)
        raise asyncpg.ConnectionDoesNotExistError("killed")

    with monkeypatch.context() as dying:
        dying.setattr(kind, "drop_piece", dying_drop)
        if dies == "before the horizon moves":
            dying.setattr(rollups, "advance", dying_advance)
        with pytest.raises(asyncpg.ConnectionDoesNotExistError):
            await run(history)
    await roll_up(history)
    before = await rolled_up(history)
    assert len(before["reading_1m"]) == len(six_weeks()) + 2
    assert (await run(history)).dropped
    await roll_up(history)
    assert await rolled_up(history) == before
    assert all(piece.end > HORIZON for piece in (await pieces(history))[1:])


async def test_a_process_that_is_killed_in_mid_run_leaves_nothing_locked(
    dsn: str, history: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with another(dsn) as reader, another(dsn) as doomed:
        await reader.execute("BEGIN")
        await reader.execute("SELECT count(*) FROM reading")
        monkeypatch.setattr(retention, "_PATIENCE_S", 60)
        running = asyncio.create_task(run(doomed))
        await until_blocked(history, doomed)
        await history.execute("SELECT pg_terminate_backend($1)", doomed.get_server_pid())
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
            await running
        await reader.execute("ROLLBACK")
    before = await rolled_up(history)
    assert (await run(history)).dropped
    assert all(piece.end > HORIZON for piece in (await pieces(history))[1:])
    await roll_up(history)
    assert await rolled_up(history) == before


async def until_blocked(connection: asyncpg.Connection, other: asyncpg.Connection) -> None:
    """Until the other session is kept from dropping a piece: waiting for it, or trying again and again."""
    tries = "SELECT query ~ 'DETACH|LOCK TABLE|ROLLBACK' FROM pg_stat_activity WHERE pid = $1"
    async with asyncio.timeout(60):
        while not await connection.fetchval(tries, other.get_server_pid()):  # noqa: ASYNC110 # the server tells nobody
            await asyncio.sleep(0.02)


async def test_ingest_goes_on_while_a_partition_is_dropped_under_a_long_query(
    dsn: str, history: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_PATIENCE_S", 60)
    async with another(dsn) as reader, another(dsn) as job:
        await reader.execute("BEGIN")
        assert await reader.fetchval("SELECT count(*) FROM reading")
        dropping = asyncio.create_task(run(job))
        await until_blocked(history, job)
        async with asyncio.timeout(60):
            for hour in range(3):
                written = await store(history, readings(VIBRATION, [24 * 42 + hour, 24 * 50 + hour]))
                assert written.stored.all()
        assert not dropping.done()
        await reader.execute("ROLLBACK")
        assert (await dropping).dropped


async def test_what_a_long_query_holds_up_goes_the_next_time(
    dsn: str, history: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_PATIENCE_S", 1)
    async with another(dsn) as reader:
        await reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        assert await reader.fetchval("SELECT count(*) FROM reading")
        done = await run(history)
        assert done.waiting
        assert not done.dropped
        await reader.execute("ROLLBACK")
    before = await rolled_up(history)
    done = await run(history)
    assert done.dropped["reading"] >= 3
    assert not done.waiting
    assert await history.fetchval("SHOW lock_timeout") == "0"
    await roll_up(history)
    assert await rolled_up(history) == before


async def test_two_runs_at_once_do_the_work_once(dsn: str, history: asyncpg.Connection) -> None:
    async with another(dsn) as first:
        both = await asyncio.gather(run(first), run(history))
    assert len([done for done in both if done.dropped]) >= 1
    assert sum(done.dropped.get("reading", 0) for done in both) in (3, 4)


async def test_a_reading_for_a_dropped_piece_finds_room(
    dsn: str, history: asyncpg.Connection, edition: Edition
) -> None:
    # The engine's own edition has seen the piece; another process has thrown it away since.
    await store(history, readings(VIBRATION, [30.1]), edition)
    await roll_up(history)
    async with another(dsn) as job:
        assert (await run(job)).dropped
    written = await store(history, readings(VIBRATION, [30.2]), edition)
    assert written.stored.all()


async def test_remains_of_a_dropped_partition_make_room(history: asyncpg.Connection, edition: Edition) -> None:
    if edition.name != "plain":
        pytest.skip(f"the server offers {edition.name}: no partitions of ours")
    for name in ("reading_20260302", "reading_20260309"):
        await history.execute(f"ALTER TABLE reading DETACH PARTITION {name}")
    written = await store(history, readings(VIBRATION, [30.2]), edition)
    assert written.stored.all()
    assert await history.fetchval("SELECT count(*) FROM reading WHERE time < $1", T0 + WEEK) == 1
    assert (await run(history)).dropped["reading"] == 3
    assert await history.fetchval("SELECT to_regclass('reading_20260309')") is None


@pytest.mark.parametrize(
    "report_hours", [[(1, RUNNING)], [(1, STOPPED), (100.2, RUNNING), (100.4, FAILED), (100.5, RUNNING)]]
)
async def test_a_machine_that_reports_changes_alone_keeps_its_state(
    new_database: Callable[[], str], report_hours: list[tuple[float, int]]
) -> None:
    outcomes = []
    for keep in ({}, KEEP):
        async with another(new_database()) as connection:
            await connection.execute(PLANT)
            hours, states = zip(*report_hours, strict=True)
            await store(connection, readings(STATE, hours, states))
            await store(connection, readings(VIBRATION, np.arange(0, 6 * 168, 4.0).tolist()))
            await roll_up(connection)
            for _ in range(3):
                assert not (await run(connection, keep)).waiting
            known = len(await connection.fetch("SELECT FROM reading WHERE sensor_id = $1", STATE))
            assert known == len(report_hours)
            await store(connection, readings(STATE, [24 * 40], [FAILED]))
            await store(connection, readings(STATE, [24 * 30.3], [STOPPED]))
            await roll_up(connection)
            outcome = await rolled_up(connection)
            kpis = await state_rollup.kpis(connection, begin=T0, end=NOW)
            outcomes.append((outcome["asset_state_1h"], outcome["asset_state_1d"], kpis))
            if keep:
                assert await oldest(connection) > T0 + 2 * WEEK
                # Reported since: what was needed until then goes with its piece.
                await run(connection, keep, NOW + 30 * DAY)
                assert await oldest(connection, sensor_id=STATE) >= T0 + 30 * DAY
    assert outcomes[0] == outcomes[1]


async def test_states_of_dropped_readings_stay_as_they_were(history: asyncpg.Connection) -> None:
    before = await rolled_up(history)
    assert (await run(history)).dropped
    # The first hour behind the horizon is counted again, from the state before it.
    await store(history, readings(STATE, [(HORIZON - T0) / HOUR + 0.3], [RUNNING]))
    await roll_up(history)
    after = await rolled_up(history)
    old = {tuple(row[:4]): row for row in before["asset_state_1h"]}
    new = {tuple(row[:4]): row for row in after["asset_state_1h"]}
    changed = {key[0] for key in old | new if old.get(key) != new.get(key)}
    assert changed
    assert min(changed) >= HORIZON
    assert sum(row[4] for row in new.values()) == pytest.approx(sum(row[4] for row in old.values()))


async def test_rollups_go_when_their_own_time_has_come(history: asyncpg.Connection, edition: Edition) -> None:
    now = NOW + 200 * DAY
    await store(history, readings(VIBRATION, [24 * 42 + 24 * 199]))
    await roll_up(history, now)
    keep = {
        SeriesClass.READINGS: 14 * DAY,
        SeriesClass.MINUTES: 20 * DAY,
        SeriesClass.HOURS: 205 * DAY,
        SeriesClass.STATES: 100 * DAY,
    }
    before = await rolled_up(history)
    done = await run(history, keep, now)
    await roll_up(history, now)
    after = await rolled_up(history)
    assert done.dropped[edition.table(SERIES[SeriesClass.MINUTES][0])] >= 1
    assert len(after["reading_1m"]) < len(before["reading_1m"])
    assert after["reading_1d"] == before["reading_1d"]
    gone = now - 206 * DAY
    if edition.rollups.manner == "kept":
        assert after["reading_1h"] == [row for row in before["reading_1h"] if str(row[0]) >= str(gone)]
    else:
        assert after["reading_1h"][-100:] == before["reading_1h"][-100:]
    assert (await horizons(history))[SeriesClass.HOURS] == gone
    assert not (await run(history, keep, now)).dropped


async def test_days_outlive_the_hours_of_states_they_were_made_from(
    plant: asyncpg.Connection, edition: Edition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "_FIRST_STEP", 27 * DAY)
    monkeypatch.setattr(rollups, "_LONGEST_STEP", 27 * DAY)
    # Hours of states are in pieces of 90 days on TimescaleDB, days in longer ones; elsewhere days are a view of hours.
    await store(plant, readings(STATE, np.arange(0, 24 * 400, 24.0).tolist(), np.tile([1.0, 2.0], 200).tolist()))
    await roll_up(plant, T0 + 400 * DAY)
    before = await rolled_up(plant)
    keep = {SeriesClass.READINGS: 14 * DAY, SeriesClass.STATES: 100 * DAY}
    assert (await run(plant, keep, T0 + 400 * DAY)).dropped["asset_state_1h"] >= 2
    horizon = (await horizons(plant))[SeriesClass.STATES]
    await store(plant, readings(STATE, [24 * 390 + 1.5], [0]))
    await roll_up(plant, T0 + 400 * DAY)
    after = await rolled_up(plant)
    assert after["asset_state_1h"][0] != before["asset_state_1h"][0]
    changed = set(before["asset_state_1d"]) ^ set(after["asset_state_1d"])
    oldest_hour, oldest_day = after["asset_state_1h"][0][0], after["asset_state_1d"][0][0]
    assert {row[0] for row in changed if row[0] >= oldest_day} == {T0 + 390 * DAY}
    assert (oldest_day < oldest_hour) == edition.compresses
    kept = [row for row in after["asset_state_1h"] if row[0] >= horizon]
    assert len(kept) == len([row for row in before["asset_state_1h"] if row[0] >= horizon]) + 1


async def test_rollups_are_never_thrown_away_before_their_readings(history: asyncpg.Connection) -> None:
    # Settings do not let this through; a policy made otherwise changes no rollup either.
    before = await rolled_up(history)
    done = await run(history, {SeriesClass.HOURS: DAY, SeriesClass.MINUTES: DAY, SeriesClass.DAYS: DAY})
    assert not done.dropped
    assert await rolled_up(history) == before


async def test_a_longer_setting_brings_nothing_back_and_breaks_nothing(history: asyncpg.Connection) -> None:
    await run(history)
    before = await rolled_up(history)
    assert not (await run(history, {SeriesClass.READINGS: 400 * DAY})).dropped
    assert await horizons(history) == {SeriesClass.READINGS: HORIZON}
    await roll_up(history)
    assert await rolled_up(history) == before


# Compression --------------------------------------------------------------------------------------------------------


async def compress(connection: asyncpg.Connection, now: datetime = NOW) -> Retained:
    """One run that compresses everything it may."""
    policy = Policy(compress_after=dict.fromkeys(SeriesClass, DAY))
    return await retain(connection, await detect_async(connection), policy, now)


async def test_compression_changes_no_row_where_there_is_such(history: asyncpg.Connection, edition: Edition) -> None:
    before = await rolled_up(history), await history.fetch("SELECT * FROM reading ORDER BY sensor_id, time")
    done = await compress(history)
    assert bool(done.compressed) == edition.compresses == (edition.name == "timescaledb-community")
    assert (await rolled_up(history), await history.fetch("SELECT * FROM reading ORDER BY sensor_id, time")) == before
    if edition.compresses:
        compressed = [piece.compressed for piece in await pieces(history)]
        assert compressed == sorted(compressed, reverse=True)
        assert done.compressed["reading"] == sum(compressed) >= 5
    assert not (await compress(history)).compressed


async def test_late_readings_of_compressed_pieces_are_told_apart_and_counted(
    history: asyncpg.Connection, edition: Edition
) -> None:
    await compress(history)
    before = await rolled_up(history)
    # Stored already, in conflict with what is, and new.
    batch = readings(TEMPERATURE, [50.0, 60.0, 70.1], [20.390625, -1.0, 30.0])
    written = await store(history, batch)
    assert [mask.tolist() for mask in (written.duplicate, written.conflicting, written.stored)] == [
        [True, False, False],
        [False, True, False],
        [False, False, True],
    ]
    await store(history, readings(STATE, [100.1], [FAILED]))
    await roll_up(history)
    after = await rolled_up(history)
    assert len(after["reading_1m"]) == len(before["reading_1m"]) + 2
    days = {row[0]: row for row in after["reading_1d"] if row[1] == TEMPERATURE}
    assert days[T0 + 2 * DAY][2] == 49
    assert days[T0 + 2 * DAY][6] == 30.0
    # Then the piece is compressed with them; all that follows is as before.
    assert bool((await compress(history)).compressed.get("reading")) == edition.compresses
    assert await rolled_up(history) == after
    assert (await store(history, batch)).duplicate.tolist() == [True, False, True]


async def test_a_large_late_batch_goes_into_compressed_pieces(plant: asyncpg.Connection, edition: Edition) -> None:
    # TimescaleDB's own limit is 100,000 rows unpacked in a transaction.
    seconds = np.arange(0, 130_000, 1.0)
    await store(plant, readings(VIBRATION, (seconds / 3600).tolist()))
    await store(plant, readings(TEMPERATURE, [24 * 30]))
    await roll_up(plant)
    await compress(plant)
    # Each of these lies among a thousand others that are stored; every second one is one of them.
    late = np.arange(0, 130_000, 250.0) + np.tile([0.0, 0.5], 260)
    written = await store(plant, readings(VIBRATION, (late / 3600).tolist()))
    assert (int(written.stored.sum()), int(written.duplicate.sum())) == (260, 260)
    await roll_up(plant)
    assert await plant.fetchval("SELECT sum(count) FROM reading_1d") == 130_000 + 260 + 1
    assert await plant.fetchval("SELECT count(*) FROM reading") == 130_000 + 260 + 1


async def test_compression_takes_no_row_from_a_long_query(
    dsn: str, history: asyncpg.Connection, edition: Edition
) -> None:
    if not edition.compresses:
        pytest.skip(f"{edition.name} does not compress")
    await compress(history, T0 + 9 * DAY)
    assert [piece.compressed for piece in await pieces(history)].count(True) == 1
    async with another(dsn) as reader:
        await reader.execute("BEGIN ISOLATION LEVEL REPEATABLE READ")
        stored = await reader.fetch("SELECT * FROM reading ORDER BY sensor_id, time")
        assert (await compress(history)).waiting
        assert await reader.fetch("SELECT * FROM reading ORDER BY sensor_id, time") == stored
        await reader.execute("ROLLBACK")
    done = await compress(history)
    assert done.compressed["reading"] >= 3
    assert not done.waiting
    assert await history.fetch("SELECT * FROM reading ORDER BY sensor_id, time") == stored


async def test_compressed_pieces_are_thrown_away_too(history: asyncpg.Connection) -> None:
    await compress(history)
    before = await rolled_up(history)
    assert (await run(history)).dropped["reading"] >= 3
    await roll_up(history)
    assert await rolled_up(history) == before
    assert HORIZON - WEEK < await oldest(history) <= HORIZON


# What it takes on disk ----------------------------------------------------------------------------------------------


async def test_use_of_the_disk_is_known_for_every_series(history: asyncpg.Connection, edition: Edition) -> None:
    await compress(history)
    await history.execute("VACUUM ANALYZE")
    stored: int = await history.fetchval("SELECT count(*) FROM reading")
    usage = await edition.usage(history, READING)
    assert usage.pieces is not None
    assert len(usage.pieces) == len(await pieces(history))
    assert usage.pieces[0].begin <= T0 < usage.pieces[0].end
    assert stored * 0.8 < usage.rows < stored * 1.2
    if edition.compresses:
        assert 0 < usage.compressed_bytes < usage.bytes
    else:
        assert usage.compressed_bytes == 0
        assert usage.bytes > stored * 60
    for kind in SeriesClass:
        for series in SERIES[kind]:
            assert ((await edition.usage(history, series)).bytes > 0) == (kind is not SeriesClass.WAVEFORMS)
