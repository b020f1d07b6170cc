"""PostgreSQL alone: native range partitions, rollups of our own."""

from datetime import UTC, datetime
from typing import Any

import asyncpg
import psycopg

from telemetry.batch import Time
from telemetry.edition import ASSET_STATE_1D, ASSET_STATE_1H, READING_TABLE, Piece, Usage, estimated_rows, lock_piece
from telemetry.rollup_keeping import KeptRollups, Rollups
from telemetry.series import READING, Series
from telemetry.sql import load_queries

__all__ = ["PlainPostgres"]

_SQL = load_queries("telemetry", "retention.sql")


class PlainPostgres:
    """PostgreSQL >= 15 alone: a partition is made when the first row needs it."""

    name = "plain"
    compresses = False
    rollups: Rollups = KeptRollups()

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
        """Create the partitions that are not there.

        Asked every time: another process may have thrown away what this one has seen or made.
        """
        numbers = series.pieces(time)
        names = [series.piece_name(number) for number in numbers]
        there = {row["name"] for row in await connection.fetch(_SQL["plain_attached"], series.table, names)}
        for number, name in zip(numbers, names, strict=True):
            if name not in there:
                await self._create_piece(connection, series, number)

    async def _create_piece(self, connection: asyncpg.Connection, series: Series, number: int) -> None:
        name = series.piece_name(number)
        remains = await connection.fetchrow(_SQL["plain_piece"], series.table, name)
        if remains is not None and (remains["pending"] or not remains["attached"]):
            await self._finish_drop(connection, series, remains)
        # The advisory lock keeps two engines from making the same piece.
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('reading partitions'))")
            # Not to_regclass: a session that has looked for a name before remembers that there was none.
            if not await connection.fetch(_SQL["plain_attached"], series.table, [name]):
                for statement in _piece_statements(series, number):
                    await connection.execute(statement)

    async def refresh_state_rollup(self, connection: asyncpg.Connection, end_us: int) -> None:
        """Nothing to do: the daily rollup is a view."""

    def table(self, series: Series) -> str:
        """Rollups are in tables of our own."""
        return series.table

    async def pieces(self, connection: asyncpg.Connection, series: Series) -> list[Piece] | None:
        """Partitions, and tables that were partitions, by their names."""
        if not await connection.fetchval(_SQL["plain_divided"], series.table):
            return None
        return [_piece(series, row["name"]) for row in await connection.fetch(_SQL["plain_pieces"], series.table)]

    async def drop_piece(self, connection: asyncpg.Connection, series: Series, piece: Piece) -> None:
        """Detached first, CONCURRENTLY: a lock on the whole table would queue up behind a query, and ingest behind it.

        That commits twice and waits for queries in between. Whoever is killed, or gives up, leaves the partition
        half detached: nobody sees it any more, and the next call goes on there.
        """
        found = await connection.fetchrow(_SQL["plain_piece"], series.table, piece.name)
        if found is None:
            return
        if found["attached"] and not found["pending"]:
            await connection.execute(f"ALTER TABLE {series.table} DETACH PARTITION {piece.name} CONCURRENTLY")
            await connection.execute(f"DROP TABLE {piece.name}")
        else:
            await self._finish_drop(connection, series, found)

    @staticmethod
    async def _finish_drop(connection: asyncpg.Connection, series: Series, found: asyncpg.Record) -> None:
        if found["pending"]:
            await connection.execute(f"ALTER TABLE {series.table} DETACH PARTITION {found['name']} FINALIZE")
        await connection.execute(f"DROP TABLE {found['name']}")

    async def empty_piece(self, connection: asyncpg.Connection, series: Series, piece: Piece) -> None:
        """The partition stays."""
        await lock_piece(connection, piece)
        await connection.execute(f"TRUNCATE {piece.name}")

    async def compress(self, connection: asyncpg.Connection, series: Series, piece: Piece) -> bool:
        """PostgreSQL alone cannot."""
        return False

    async def usage(self, connection: asyncpg.Connection, series: Series) -> Usage:
        """From the catalog."""
        pieces = await self.pieces(connection, series)
        return Usage(
            table=series.table,
            pieces=None if pieces is None else tuple(pieces),
            bytes=await connection.fetchval(_SQL["plain_bytes"], series.table),
            compressed_bytes=0,
            rows=await estimated_rows(connection, series.table),
        )


def _piece(series: Series, name: str) -> Piece:
    day = datetime.strptime(name.rpartition("_")[2], "%Y%m%d").replace(tzinfo=UTC)
    begin, end = series.bounds(series.piece_at(day))
    return Piece(name=name, begin=begin, end=end)


def _piece_statements(series: Series, number: int) -> tuple[str, str]:
    name, (begin, end) = series.piece_name(number), series.bounds(number)
    # ATTACH takes a weaker lock on the table than CREATE ... PARTITION OF: queries and writers go on.
    bounds = f"FOR VALUES FROM ('{begin.isoformat()}') TO ('{end.isoformat()}')"
    return (
        f"CREATE TABLE {name} (LIKE {series.table} INCLUDING ALL)",
        f"ALTER TABLE {series.table} ATTACH PARTITION {name} {bounds}",
    )
