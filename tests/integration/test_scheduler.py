"""The periodic jobs, on a real database."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from cbm import state_rollup
from precursor.scheduler import Scheduler
from telemetry import rollups
from telemetry.batch import ReadingBatch, to_micros
from telemetry.editions import detect_async
from telemetry.retention import Policy, retain
from telemetry.series import SeriesClass
from telemetry.store import ReadingStore


@contextlib.asynccontextmanager
async def running(dsn: str) -> AsyncIterator[asyncio.Event]:
    stop = asyncio.Event()
    task = asyncio.create_task(Scheduler(dsn, []).run(stop))
    try:
        yield stop
    finally:
        stop.set()
        await task


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(0.02)


async def test_a_run_that_comes_late_is_not_left_out(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    due_s = 0.5
    monkeypatch.setattr("precursor.scheduler._RETENTION_FIRST_S", due_s)
    retained = asyncio.Event()

    async def seen(*arguments: object) -> object:
        retained.set()
        return await retain(*arguments)  # type: ignore[arg-type] # handed through as they come

    monkeypatch.setattr("precursor.scheduler.retain", seen)
    async with running(dsn):
        await asyncio.sleep(0.1)
        # Nothing else gets a turn until the run is later than APScheduler would have it.
        time.sleep(due_s + 1.5)  # noqa: ASYNC251 - that is the point
        await asyncio.wait_for(retained.wait(), 20)


async def test_a_failing_job_is_said_once_and_once_more_when_it_works_again(
    dsn: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("precursor.scheduler._STATES_EVERY_S", 0.1)
    tries = 0
    healthy = state_rollup.refresh

    async def counted(*arguments: object) -> object:
        nonlocal tries
        tries += 1
        return await healthy(*arguments)  # type: ignore[arg-type] # handed through as they come

    monkeypatch.setattr(state_rollup, "refresh", counted)
    await connection.execute("ALTER TABLE asset_state_touched RENAME TO away")
    with capture_logs() as said:
        async with running(dsn):
            await until(lambda: tries >= 4, "a job that fails is tried on")
            await connection.execute("ALTER TABLE away RENAME TO asset_state_touched")
            await until(lambda: said[-1]["event"] == "job_works_again", "the job works again")
            seen = tries
            await until(lambda: tries >= seen + 3, "and goes on")
    assert [(line["event"], line["job"]) for line in said] == [
        ("job_failing", "state_rollup"),
        ("job_works_again", "state_rollup"),
    ]


async def test_a_database_that_is_away_is_no_traceback(unused_tcp_port_dsn: str) -> None:
    with capture_logs() as said:
        async with running(unused_tcp_port_dsn):
            await until(lambda: len(said) >= 2, "the failing jobs are said")
    assert sorted(line["job"] for line in said) == ["rollups", "state_rollup"]
    for line in said:
        assert (line["event"], line["log_level"]) == ("job_failing", "warning")
        assert "exc_info" not in line


@pytest.fixture
def unused_tcp_port_dsn() -> str:
    return "postgresql://nobody@127.0.0.1:1/nothing"


async def test_a_stop_waits_for_the_job_that_is_running(
    dsn: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def slow(*_: object) -> None:
        begun.set()
        await asyncio.sleep(0.3)
        ended.set()

    monkeypatch.setattr(state_rollup, "refresh", slow)
    with caplog.at_level(logging.WARNING):
        async with running(dsn) as stop:
            await begun.wait()
            stop.set()
    assert ended.is_set()
    assert not caplog.records


async def test_a_job_that_does_not_end_is_cut_short_at_a_stop(
    dsn: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun = asyncio.Event()

    async def endless(*_: object) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def nothing(*_: object) -> None:
        pass

    monkeypatch.setattr(state_rollup, "refresh", endless)
    # On a slow machine it would be cut short too.
    monkeypatch.setattr(rollups, "advance", nothing)
    monkeypatch.setattr("precursor.scheduler._PATIENCE_S", 0.1)
    with capture_logs() as said, caplog.at_level(logging.WARNING):
        async with running(dsn):
            await begun.wait()
    assert [line["event"] for line in said] == ["job_cut_short"]
    assert not caplog.records


async def test_old_readings_go_as_settings_say_soon_after_the_start(
    dsn: str, connection: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("precursor.scheduler._RETENTION_FIRST_S", 0.0)
    await connection.execute(
        "INSERT INTO site (name) VALUES ('north'); INSERT INTO area (site_id, name) VALUES (1, 'hall');"
        "INSERT INTO asset (name, area_id) VALUES ('pump-1', 1); INSERT INTO sensor (name, asset_id) VALUES ('a', 1)"
    )
    edition = await detect_async(connection)
    now = datetime.now(UTC)
    batch = ReadingBatch.of([to_micros(now - timedelta(days=age)) for age in (100, 90, 1)], [1] * 3, [1.0] * 3)
    await edition.make_room(connection, batch.time)
    async with connection.transaction():
        await ReadingStore(edition).write(connection, batch)
    policy = Policy(keep={SeriesClass.READINGS: timedelta(days=30)})
    with capture_logs() as said:
        stop = asyncio.Event()
        task = asyncio.create_task(Scheduler(dsn, [], policy).run(stop))
        await until(lambda: any(line["event"] == "old_data" for line in said), "old readings go")
        stop.set()
        await task
    assert await connection.fetchval("SELECT count(*) FROM reading") == 1
    assert await connection.fetchval("SELECT sum(count) FROM reading_1d") == 3
    assert next(line for line in said if line["event"] == "old_data")["dropped"] == {"reading": 2}
