"""Rollup rows put into continuous aggregates as they are, where readings to count them from may be gone.

TimescaleDB keeps, for each aggregate, an end up to which it shows materialised rows, and a log of the stretches that a
refresh has to count again; a new aggregate shows nothing and has all of time in its log. Both can be moved by
refreshes alone, so this needs no rights on TimescaleDB's catalogue:

- `shield` refreshes a stretch while nothing is there to count: it leaves the log, and no later refresh of whatever
  width takes away the rows put there;
- `reveal` refreshes one bucket before all others, with a row in it that belongs to no sensor: the refresh finds
  that nothing counts to it, removes it, and moves the aggregate's end behind the newest row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
from psycopg import sql

from telemetry.buckets import ceiling, floor
from telemetry.copying import Relation
from telemetry.refresh import refresh
from telemetry.series import SeriesClass
from telemetry.sql import load_queries

__all__ = ["LEVELS", "Level", "forget_markers", "kept_relations", "reveal", "shield"]

_SQL = load_queries("telemetry", "upgrade.sql")

_DAY = timedelta(days=1)
_NO_SENSOR = 0
"""identities begin at 1"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A rollup of readings."""

    relation: str
    width: timedelta
    made_from: SeriesClass

    def end(self, watermark: datetime) -> datetime:
        """Where its kept rows end."""
        return floor(watermark, self.width)


LEVELS = (
    Level(relation="reading_1m", width=timedelta(minutes=1), made_from=SeriesClass.READINGS),
    Level(relation="reading_1h", width=timedelta(hours=1), made_from=SeriesClass.MINUTES),
    Level(relation="reading_1d", width=timedelta(days=1), made_from=SeriesClass.HOURS),
)
"""each made from the one before"""


async def kept_relations(connection: asyncpg.Connection, manner: str, schema: str) -> Mapping[str, Relation]:
    """Where the rows of each rollup are, by the rollup's name."""
    if manner == "kept":
        return {level.relation: Relation(schema=schema, name=f"{level.relation}_kept") for level in LEVELS}
    return {
        row["name"]: Relation(schema=row["schema"], name=row["hypertable"])
        for row in await connection.fetch(_SQL["materialised"], schema)
    }


async def shield(
    connection: asyncpg.Connection, level: Level, schema: str, oldest: datetime | None, horizon: datetime | None
) -> None:
    """Take [oldest, horizon), below which nothing can be counted again, out of the log, before rows are put there."""
    if oldest is not None and horizon is not None and oldest < horizon:
        await _refresh(connection, level, schema, floor(oldest, level.width), ceiling(horizon, level.width))


async def reveal(connection: asyncpg.Connection, schema: str, kept: Sequence[Relation]) -> None:
    """Have the aggregates of `LEVELS` show the rows put where they keep them. Outside a transaction."""
    oldest = [await connection.fetchval(f"SELECT min(time) FROM {rows.sql}") for rows in kept]
    found = [moment for moment in oldest if moment is not None]
    if not found:
        return
    # On a day before all: hours and days are told which minutes changed, and may be all that is left of that time.
    before = floor(min(found), _DAY) - _DAY
    for level, rows in zip(LEVELS, kept, strict=True):
        await connection.execute(
            f"INSERT INTO {rows.sql} (time, sensor_id, count) VALUES ($1, $2, 0)", before, _NO_SENSOR
        )
        await _refresh(connection, level, schema, before, before + level.width)
        await forget_markers(connection, rows)


async def forget_markers(connection: asyncpg.Connection, rows: Relation) -> None:
    """Remove rows of `reveal` that a killed process left."""
    await connection.execute(f"DELETE FROM {rows.sql} WHERE sensor_id = $1", _NO_SENSOR)


async def _refresh(connection: asyncpg.Connection, level: Level, schema: str, begin: datetime, end: datetime) -> None:
    await refresh(connection, sql.Identifier(schema, level.relation).as_string(), begin, end)
