"""PostgreSQL alone: native range partitions, rollups of our own."""

from collections import defaultdict
from typing import Any

import asyncpg
import psycopg

from telemetry.batch import Time
from telemetry.edition import ASSET_STATE_1D, ASSET_STATE_1H, READING_TABLE
from telemetry.rollup_keeping import KeptRollups, Rollups
from telemetry.series import READING, Series

__all__ = ["PlainPostgres"]


class PlainPostgres:
    """PostgreSQL >= 15 alone: a partition is made when the first row needs it."""

    name = "plain"
    rollups: Rollups = KeptRollups()

    def __init__(self) -> None:
        self._made: dict[str, set[int]] = defaultdict(set)

    def create_series(self, connection: psycopg.Connection[Any]) -> None:
        """Partitioned `reading`; the daily rollup is a view over the hourly one."""
        connection.execute(f"{READING_TABLE} PARTITION BY RANGE (time)".encode())
        connection.execute(ASSET_STATE_1H.encode())
        # date_trunc with a zone, so that a session's TimeZone never moves a day.
        body = ASSET_STATE_1D.format(bucket="date_trunc('day', time, 'UTC')")
        connection.execute(f"CREATE VIEW asset_state_1d AS {body}".encode())

    def drop_series(self, connection: psycopg.Connection[Any]) -> None:
        """All readings go with it."""
        connection.execute("DROP VIEW asset_state_1d")
        connection.execute("DROP TABLE asset_state_1h")
        connection.execute("DROP TABLE reading")

    def divide(self, connection: psycopg.Connection[Any], series: Series) -> None:
        """A partitioned table in its place."""
        table = series.table
        connection.execute(f"ALTER TABLE {table} RENAME TO {table}_whole".encode())
        connection.execute(f"ALTER INDEX {table}_pkey RENAME TO {table}_whole_pkey".encode())
        like = f"CREATE TABLE {table} (LIKE {table}_whole INCLUDING ALL)"
        connection.execute(f"{like} PARTITION BY RANGE (time)".encode())
        connection.execute(f"DROP TABLE {table}_whole".encode())

    async def make_room(self, connection: asyncpg.Connection, time: Time, series: Series = READING) -> None:
        """Create the partitions not seen before."""
        made = self._made[series.table]
        for number in series.pieces(time):
            if number not in made:
                await self._create_piece(connection, series, number)
                made.add(number)

    @staticmethod
    async def _create_piece(connection: asyncpg.Connection, series: Series, number: int) -> None:
        # The advisory lock keeps two engines from making the same piece.
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('reading partitions'))")
            if await connection.fetchval("SELECT to_regclass($1)", series.piece_name(number)) is None:
                for statement in _piece_statements(series, number):
                    await connection.execute(statement)

    async def refresh_state_rollup(self, connection: asyncpg.Connection, end_us: int) -> None:
        """Nothing to do: the daily rollup is a view."""


def _piece_statements(series: Series, number: int) -> tuple[str, str]:
    name, (begin, end) = series.piece_name(number), series.bounds(number)
    # ATTACH takes a weaker lock on the table than CREATE ... PARTITION OF: queries and writers go on.
    bounds = f"FOR VALUES FROM ('{begin.isoformat()}') TO ('{end.isoformat()}')"
    return (
        f"CREATE TABLE {name} (LIKE {series.table} INCLUDING ALL)",
        f"ALTER TABLE {series.table} ATTACH PARTITION {name} {bounds}",
    )
