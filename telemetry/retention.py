"""Retention and compression: what is older than a class of series is kept goes, in whole pieces; rollups outlive it.

A class has a *horizon*, in the table `series_horizon`: nothing is made from its rows before it any more. For readings
it moves only once everything before it is in the rollups and in the states of assets, and only then pieces go. Whoever
is killed in between is followed by a call that goes on there:

1. rollups are brought up to the horizon to come, with their own job kept away; nothing before it is left to be counted;
2. the horizon moves: marks before it are forgotten, no rollup is counted from there again;
3. pieces that lie wholly before it go, one at a time.

The door turns away readings older than they are kept, pieces go `SLACK` later: a batch under way never meets a dropped
piece. Of states the last known one stays: a machine that reports a change, not every second, is still what it was.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import asyncpg
import numpy as np

from telemetry import rollups
from telemetry.batch import EPOCH, to_micros
from telemetry.edition import Edition, Piece
from telemetry.series import MINUTES, READING, SERIES, Series, SeriesClass
from telemetry.sql import load_queries

__all__ = ["SLACK", "Policy", "Retained", "horizons", "retain", "stored_series", "thrown_away_before"]

_SQL = load_queries("telemetry", "retention.sql")
_ROLLUPS = load_queries("telemetry", "rollups.sql")

SLACK = timedelta(days=1)
"""how much longer rows stay than they are kept: for batches and imports under way, and clocks that differ"""
_PATIENCE_S = 5
"""how long we wait for others to be done with a piece before the rest is left for the next time"""
_RETRY_S = 0.1
_LOCK_S = 1
"""how long others may queue up behind us where a lock has to be waited for"""
_SENSORS_A_DELETE = 20
_ROLLUP_CLASSES = frozenset({SeriesClass.MINUTES, SeriesClass.HOURS, SeriesClass.DAYS, SeriesClass.STATES})


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What is to be kept, and what compressed."""

    keep: Mapping[SeriesClass, timedelta] = field(default_factory=dict)
    """how long, at least; a class without: for ever"""
    compress_after: Mapping[SeriesClass, timedelta] = field(default_factory=dict)
    """a class without: never"""


@dataclass(slots=True, kw_only=True)
class Retained:
    """What one call of `retain` did."""

    dropped: dict[str, int] = field(default_factory=dict)
    """pieces by table, emptied ones too; rows of a table without pieces"""
    compressed: dict[str, int] = field(default_factory=dict)
    """pieces by table"""
    waiting: list[str] = field(default_factory=list)
    """what was left for the next call, and why"""


def thrown_away_before(keep: timedelta, now: datetime) -> datetime:
    """Rows before this moment go, with the piece they are in. Midnight UTC: a day is in rollups whole or not at all."""
    return (now - keep - SLACK).astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


async def horizons(connection: asyncpg.Connection) -> dict[SeriesClass, datetime]:
    """How far back each class goes; a class that nothing was ever thrown away of is not among them."""
    return {SeriesClass(row["class"]): row["time"] for row in await connection.fetch(_SQL["horizons"])}


async def retain(connection: asyncpg.Connection, edition: Edition, policy: Policy, now: datetime) -> Retained:
    """Throw away and compress what is due. Outside a transaction; beside another call it leaves the work to that one.

    What is in somebody's way for longer than some seconds is left for the next call.
    """
    done = Retained()
    if not await connection.fetchval(_SQL["lock_retention"]):
        done.waiting.append("another process is at it")
        return done
    try:
        # Readings first: rollups go no further than readings have gone.
        for kind in SeriesClass:
            if kind in policy.keep:
                await _throw_away(connection, edition, kind, thrown_away_before(policy.keep[kind], now), now, done)
        if edition.compresses:
            for kind, after in policy.compress_after.items():
                await _compress(connection, edition, kind, now - after, done)
    finally:
        if not connection.is_closed():
            await connection.execute(_SQL["unlock_retention"])
    return done


async def _throw_away(
    connection: asyncpg.Connection,
    edition: Edition,
    kind: SeriesClass,
    before: datetime,
    now: datetime,
    done: Retained,
) -> None:
    standing = await horizons(connection)
    if kind in _ROLLUP_CLASSES:
        if SeriesClass.READINGS not in standing:
            return
        # Late readings from there on are counted into hours and days, and those are made of minutes and hours.
        before = min(before, standing[SeriesClass.READINGS])
    if kind not in standing or standing[kind] < before:
        if kind is not SeriesClass.READINGS:
            await connection.execute(_SQL["move_horizon"], kind.value, before)
        elif not await _settle(connection, edition, before, now):
            done.waiting.append("reading: rollups or states still have to be counted from what is to go")
            return
    if kind is SeriesClass.READINGS:
        await connection.execute(_SQL["forget_marks"])
    for series in stored_series(edition, kind):
        try:
            async with _brief_locks(connection):
                await _drop(connection, edition, series, before, done)
        except asyncpg.LockNotAvailableError:
            done.waiting.append(f"{series.relation}: a query reads what is to go")


async def _settle(connection: asyncpg.Connection, edition: Edition, horizon: datetime, now: datetime) -> bool:
    """Count everything before the horizon to come and move it there; False: one call did not get to the end of that."""
    await connection.execute(_SQL["wait_for_rollups"])
    try:
        advanced = await rollups.advance(connection, edition, now)
        if not advanced.complete or await connection.fetchval(_SQL["to_be_counted_before"], horizon):
            return False
        if advanced.watermark < horizon:
            # The plant has been silent so long that its last minutes would go before they were counted.
            await _fill(connection, edition, advanced.watermark, horizon)
        await connection.execute(_SQL["move_horizon"], SeriesClass.READINGS.value, horizon)
        return True
    finally:
        if not connection.is_closed():
            await connection.execute(_SQL["let_rollups_go"])


async def _fill(connection: asyncpg.Connection, edition: Edition, watermark: datetime, end: datetime) -> None:
    bounds = await connection.fetchrow(_SQL["stored_between"], watermark, end)
    if bounds["oldest"] is not None:
        times_us = np.array([to_micros(bounds["oldest"]), to_micros(bounds["newest"])], np.int64)
        await edition.make_room(connection, times_us, MINUTES)
    elif watermark == EPOCH:
        return
    # Where nothing is kept yet, TimescaleDB would take its time to find nothing in the years before the first reading.
    begin = bounds["oldest"].replace(second=0, microsecond=0) if watermark == EPOCH else watermark
    await connection.execute(_ROLLUPS["move_fence"], end)
    await edition.rollups.fill(connection, begin, end)


async def _drop(
    connection: asyncpg.Connection, edition: Edition, series: Series, before: datetime, done: Retained
) -> None:
    table = edition.table(series)
    pieces = await edition.pieces(connection, series)
    if pieces is None:
        count = await _delete(connection, table, before)
        if count:
            done.dropped[table] = count
        return
    due = [piece for piece in pieces if piece.end <= before]
    if series is READING and due:
        await connection.execute(_SQL["forget_needed"])
        await connection.execute(_SQL["collect_needed"], due[-1].end)
    for piece in due:
        if await _patiently(partial(_drop_piece, connection, edition, series, piece)):
            done.dropped[table] = done.dropped.get(table, 0) + 1


async def _drop_piece(connection: asyncpg.Connection, edition: Edition, series: Series, piece: Piece) -> bool:
    """Throw a piece away but for the states that are needed; False: it holds nothing else."""
    needed = await connection.fetchval(_SQL["count_needed"], piece.begin, piece.end) if series is READING else 0
    if not needed:
        await edition.drop_piece(connection, series, piece)
    elif await connection.fetchval(_SQL["has_more_than"], piece.begin, piece.end, needed):
        await _keep_states_alone(connection, edition, piece)
    else:
        return False
    return True


async def _patiently(work: Callable[[], Awaitable[bool]]) -> bool:
    """Work that takes its locks at once or not at all, tried for some seconds.

    Raises:
        asyncpg.LockNotAvailableError: they were not to be had.
    """
    clock = asyncio.get_running_loop().time
    end = clock() + _PATIENCE_S
    while True:
        try:
            return await work()
        except asyncpg.LockNotAvailableError:
            if clock() >= end:
                raise
        await asyncio.sleep(_RETRY_S)


async def _keep_states_alone(connection: asyncpg.Connection, edition: Edition, piece: Piece) -> None:
    """Empty a piece of readings but for the states that are needed."""
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(_SQL["keep_states_alone"])
        await edition.empty_piece(connection, READING, piece)
        await connection.execute(_SQL["store_needed"], piece.begin, piece.end)


async def _delete(connection: asyncpg.Connection, table: str, before: datetime) -> int:
    """Rows of a small table, some sensors at a time: through the index (sensor_id, time), in short transactions."""
    sensors = [row["id"] for row in await connection.fetch(_SQL["sensors"])]
    count = 0
    for first in range(0, len(sensors), _SENSORS_A_DELETE):
        status = await connection.execute(
            f"DELETE FROM {table} WHERE sensor_id = ANY ($1::int[]) AND time < $2",
            sensors[first : first + _SENSORS_A_DELETE],
            before,
        )
        count += int(status.rpartition(" ")[2])
    return count


async def _compress(
    connection: asyncpg.Connection, edition: Edition, kind: SeriesClass, before: datetime, done: Retained
) -> None:
    for series in stored_series(edition, kind):
        table = edition.table(series)
        for piece in await edition.pieces(connection, series) or ():
            if piece.end > before:
                break
            try:
                async with _brief_locks(connection):
                    if await edition.compress(connection, series, piece):
                        done.compressed[table] = done.compressed.get(table, 0) + 1
            except asyncpg.LockNotAvailableError:
                done.waiting.append(f"{series.relation}: somebody works with what is to be compressed")
                break


def stored_series(edition: Edition, kind: SeriesClass) -> list[Series]:
    """The series of a class, each table once: a day of states is a view of its hours where there are no aggregates."""
    return list({edition.table(series): series for series in reversed(SERIES[kind])}.values())


@asynccontextmanager
async def _brief_locks(connection: asyncpg.Connection) -> AsyncIterator[None]:
    await connection.execute(f"SET lock_timeout = '{_LOCK_S}s'")
    try:
        yield
    finally:
        if not connection.is_closed():
            await connection.execute("RESET lock_timeout")
