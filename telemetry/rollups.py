"""Rollups of readings: `reading_1m`, `reading_1h` and `reading_1d`, the same rows on every edition.

A row a sensor and UTC bucket in which readings are stored: `count` of all of them, `good_count` of those with quality
good, `usable_count` of those good or uncertain; `min`, `max`, `sum`, `sum_sq`, `first` and `last` (by time) over usable
ones, null where there are none. So `sum / usable_count` is their mean. Below a watermark buckets are kept;
from there on they are counted from readings when somebody asks, so readings that arrive in order show at once.

- `touch` marks what arrives below the watermark, in the transaction that stores it;
- `advance` moves the watermark behind the data, and counts marked buckets again.

Neither can miss the other. A writer holds the *fence* from `touch` to its COMMIT and marks everything before it.
`advance` first moves the fence, which waits for such writers and makes later ones wait for nothing but that UPDATE,
and counts up to it afterwards: a reading before the fence was committed before the count, or is marked.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import numpy as np

from telemetry.batch import EPOCH, ReadingBatch, to_datetime, to_micros
from telemetry.editions import Edition
from telemetry.rollup_keeping import Mark
from telemetry.series import MINUTES
from telemetry.sql import load_queries

__all__ = ["Advanced", "advance", "touch"]

_SQL = load_queries("telemetry", "rollups.sql")

_MINUTE_US = 60 * 1_000_000
_HOUR_US = 3600 * 1_000_000
_MINUTE = timedelta(minutes=1)

_LIVE = timedelta(minutes=2)
"""how far the watermark stays behind the data: readings up to so much out of order need no mark"""
_FIRST_STEP = timedelta(minutes=10)
_LONGEST_STEP = timedelta(days=1)
_FEW_READINGS, _MANY_READINGS = 250_000, 1_000_000
"""a step that took fewer, or more, is followed by one twice, or half, as long"""
_STEPS_A_CALL = 60
_MARKS_A_ROUND = 500
_ROUNDS_A_CALL = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Advanced:
    """What one call of `advance` did."""

    watermark: datetime
    """every reading before it is in the kept rollups, or marked"""
    recounted: int
    """marks taken"""
    complete: bool
    """False: there was more to do than one call does, or another one is at work"""


async def touch(connection: asyncpg.Connection, stored: ReadingBatch) -> None:
    """Mark late readings among those just stored, in the transaction that stores them, after they are written.

    The transaction must be READ COMMITTED. `advance` waits for its COMMIT: call this late in it.
    """
    if not len(stored):
        return
    fence = to_micros(await connection.fetchval(_SQL["hold_fence"]))
    late = stored.time < fence
    if not late.any():
        return
    rows = stored.take(late).sorted()
    hour = rows.time // _HOUR_US
    new = np.ones(len(rows), np.bool_)
    new[1:] = (rows.sensor_id[1:] != rows.sensor_id[:-1]) | (hour[1:] != hour[:-1])
    begins = np.flatnonzero(new)
    ends = np.append(begins[1:], len(rows)) - 1
    await connection.execute(
        _SQL["touch_hours"],
        rows.sensor_id[begins].tolist(),
        [to_datetime(number * _HOUR_US) for number in hour[begins].tolist()],
        [to_datetime(number * _MINUTE_US) for number in (rows.time[begins] // _MINUTE_US).tolist()],
        [to_datetime((number + 1) * _MINUTE_US) for number in (rows.time[ends] // _MINUTE_US).tolist()],
    )


async def advance(connection: asyncpg.Connection, edition: Edition, now: datetime) -> Advanced:
    """Bring the rollups up to the data, in bounded steps, and count marked buckets again. Outside a transaction.

    The watermark follows the newest reading that is not after `now`, two minutes behind it; a reading from the future
    moves nothing. Safe beside writers; beside another `advance` it leaves the work to that one.
    """
    if not await connection.fetchval(_SQL["lock_job"]):
        standing = await connection.fetchrow(_SQL["standing"])
        return Advanced(watermark=standing["watermark"], recounted=0, complete=False)
    try:
        watermark, caught_up = await _advance_watermark(connection, edition, now)
        recounted, none_left = await _recount(connection, edition)
        return Advanced(watermark=watermark, recounted=recounted, complete=caught_up and none_left)
    finally:
        if not connection.is_closed():
            await connection.execute(_SQL["unlock_job"])


async def _advance_watermark(connection: asyncpg.Connection, edition: Edition, now: datetime) -> tuple[datetime, bool]:
    standing = await connection.fetchrow(_SQL["standing"])
    watermark: datetime = standing["watermark"]
    if watermark < standing["fence"]:
        # A process died, or a statement failed, between the two: no mark may be taken before this is done.
        oldest = await connection.fetchval(_SQL["oldest_reading"], watermark, standing["fence"])
        if oldest is not None:
            await _make_room(connection, edition, oldest, standing["fence"])
        await edition.rollups.fill(connection, watermark, standing["fence"])
        watermark = standing["fence"]
    step = _FIRST_STEP
    for _ in range(_STEPS_A_CALL):
        newest: datetime | None = await connection.fetchval(_SQL["newest_reading"], watermark, now)
        limit = watermark if newest is None else _minute(newest - _LIVE)
        if limit <= watermark:
            return watermark, True
        begin = watermark
        if limit > begin + step:
            # Stretches without data cost nothing.
            begin = max(begin, _minute(await connection.fetchval(_SQL["oldest_reading"], watermark, newest)))
        end = min(limit, begin + step)
        await _make_room(connection, edition, begin, end)
        await connection.execute(_SQL["move_fence"], end)
        if watermark == EPOCH:
            # Nothing is kept. TimescaleDB would take a quarter of a minute to find nothing in the years before the
            # first reading; asked for only now, as one that is stored from here on is marked.
            oldest = await connection.fetchval(_SQL["oldest_reading"], watermark, end)
            watermark = end if oldest is None else min(_minute(oldest), end)
        taken = await edition.rollups.fill(connection, watermark, end)
        watermark = end
        if end == limit:
            return watermark, True
        if taken < _FEW_READINGS:
            step = min(2 * step, _LONGEST_STEP)
        elif taken > _MANY_READINGS:
            step = max(_minute_part(step / 2), _MINUTE)
    return watermark, False


async def _recount(connection: asyncpg.Connection, edition: Edition) -> tuple[int, bool]:
    recounted = 0
    for _ in range(_ROUNDS_A_CALL):
        marks = [
            Mark(
                sensor_id=row["sensor_id"],
                hour=row["hour"],
                begin=row["begin_at"],
                end=row["end_at"],
                marked=row["marked"],
            )
            for row in await connection.fetch(_SQL["oldest_marks"], _MARKS_A_ROUND)
        ]
        if marks:
            hours_us = np.array([to_micros(mark.hour) for mark in marks], np.int64)
            await edition.make_room(connection, hours_us, MINUTES)
            await edition.rollups.recount(connection, marks)
        recounted += len(marks)
        # Fewer than a round holds: nothing was left. Asking until nothing comes would never end beside late data.
        if len(marks) < _MARKS_A_ROUND:
            return recounted, True
    return recounted, False


async def _make_room(connection: asyncpg.Connection, edition: Edition, begin: datetime, end: datetime) -> None:
    # The longest step is shorter than a piece; only one that another process left half done may be longer.
    begin_us, end_us = to_micros(begin), to_micros(end)
    steps_us = np.arange(begin_us, end_us, _LONGEST_STEP // timedelta(microseconds=1), dtype=np.int64)
    await edition.make_room(connection, np.append(steps_us, end_us), MINUTES)


def _minute(moment: datetime) -> datetime:
    return to_datetime(to_micros(moment) // _MINUTE_US * _MINUTE_US)


def _minute_part(length: timedelta) -> timedelta:
    return length // _MINUTE * _MINUTE
