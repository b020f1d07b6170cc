"""How rollups of readings are kept: in tables of our own, or in TimescaleDB's continuous aggregates."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

import asyncpg

from telemetry.refresh import refresh
from telemetry.sql import load_queries

__all__ = ["ContinuousAggregates", "KeptRollups", "Mark", "Rollups"]

_SQL = load_queries("telemetry", "rollups.sql")

_HOUR = timedelta(hours=1)
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Minutes of one sensor and hour in which late readings were stored."""

    sensor_id: int
    hour: datetime
    begin: datetime
    """first minute"""
    end: datetime
    """end of the last minute"""
    marked: int
    """the transaction that marked last"""


class Rollups(Protocol):
    """One way of keeping `reading_1m`, `reading_1h` and `reading_1d`.

    Calls are outside a transaction, by one session at a time.
    """

    manner: str
    """`kept` or `aggregates`"""

    async def fill(self, connection: asyncpg.Connection, begin: datetime, end: datetime) -> int:
        """Take in the readings of [begin, end), whole minutes, and move the watermark to end.

        `begin` is the watermark, or later where nothing is stored before.

        Returns how many readings were taken, where that is known, else 0.
        """

    async def recount(self, connection: asyncpg.Connection, marks: Sequence[Mark]) -> None:
        """Count marked buckets below the watermark again, minutes, hours and days, and drop marks not renewed since."""


class KeptRollups:
    """Tables of our own, for editions without continuous aggregates."""

    manner = "kept"

    async def fill(self, connection: asyncpg.Connection, begin: datetime, end: datetime) -> int:
        """One transaction: readers see all three rollups move at once."""
        # READ COMMITTED in both: each statement must see what was committed before it, and what the one before wrote.
        async with connection.transaction(isolation="read_committed"):
            await connection.execute(_SQL["plan_for_stretch"])
            taken: int = await connection.fetchval(_SQL["fill_minutes"], begin, end)
            # Hours are counted from minutes, days from hours, as they read below the new watermark.
            await connection.execute(_SQL["move_watermark"], end)
            if _hour(begin) < _hour(end):
                await connection.execute(_SQL["fill_hours"], _hour(begin), _hour(end))
            if _day(begin) < _day(end):
                await connection.execute(_SQL["fill_days"], _day(begin), _day(end))
        return taken

    async def recount(self, connection: asyncpg.Connection, marks: Sequence[Mark]) -> None:
        """One transaction; exactly the marked buckets, level by level."""
        sensors, hours = [mark.sensor_id for mark in marks], [mark.hour for mark in marks]
        async with connection.transaction(isolation="read_committed"):
            await connection.execute(
                _SQL["recount_minutes"], sensors, [mark.begin for mark in marks], [mark.end for mark in marks]
            )
            await connection.execute(_SQL["recount_hours"], sensors, hours)
            await connection.execute(_SQL["recount_days"], sensors, hours)
            await _drop(connection, marks)


class ContinuousAggregates:
    """TimescaleDB's own, each on the finer one; we say what is refreshed, and when."""

    manner = "aggregates"

    async def fill(self, connection: asyncpg.Connection, begin: datetime, end: datetime) -> int:
        """Refresh up to `end`, whole buckets only: nothing beyond it is ever materialised."""
        await _refresh(connection, "reading_1m", [(begin, end)])
        await _refresh(connection, "reading_1h", [(_hour(begin), _hour(end))])
        await _refresh(connection, "reading_1d", [(_day(begin), _day(end))])
        await connection.execute(_SQL["move_watermark"], end)
        return 0

    async def recount(self, connection: asyncpg.Connection, marks: Sequence[Mark]) -> None:
        """Refresh exactly the touched buckets that are materialised, level by level.

        TimescaleDB logs one stale range a transaction, from its oldest reading to its newest: a batch with one reading
        of last year would have the whole year materialised again, were the refresh not told where. And it logs nothing
        for a transaction whose COMMIT is under way while a refresh moves the aggregate's end over it (2.12 and later):
        so a refresh of marked buckets is forced, and does not ask the log.
        """
        watermark: datetime = (await connection.fetchrow(_SQL["standing"]))["watermark"]
        hours = {mark.hour for mark in marks if mark.hour < _hour(watermark)}
        days = {_day(hour) for hour in hours if _day(hour) < _day(watermark)}
        minutes = _merged((mark.begin, mark.end) for mark in marks)
        await _refresh(connection, "reading_1m", minutes, force=True)
        await _refresh(connection, "reading_1h", _merged((hour, hour + _HOUR) for hour in hours), force=True)
        await _refresh(connection, "reading_1d", _merged((day, day + _DAY) for day in days), force=True)
        # Last: whoever dies before this begins again.
        await _drop(connection, marks)


async def _refresh(
    connection: asyncpg.Connection, name: str, windows: Iterable[tuple[datetime, datetime]], *, force: bool = False
) -> None:
    for begin, end in windows:
        # TimescaleDB refuses a window without a whole bucket.
        if begin < end:
            await refresh(connection, name, begin, end, force=force)


async def _drop(connection: asyncpg.Connection, marks: Sequence[Mark]) -> None:
    await connection.execute(
        _SQL["drop_marks"],
        [mark.sensor_id for mark in marks],
        [mark.hour for mark in marks],
        [mark.marked for mark in marks],
    )


def _merged(windows: Iterable[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    """The same stretches of time, in order, those that touch or overlap as one."""
    merged: list[tuple[datetime, datetime]] = []
    for begin, end in sorted(windows):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((begin, end))
    return merged


def _hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _day(moment: datetime) -> datetime:
    return _hour(moment).replace(hour=0)
