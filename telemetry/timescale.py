"""TimescaleDB: hypertables, and with the community edition continuous aggregates."""

from datetime import datetime, timedelta
from typing import Any

import asyncpg
import psycopg

from telemetry.batch import Time, to_datetime
from telemetry.edition import ASSET_STATE_1D, ASSET_STATE_1H, READING_TABLE, Piece, Usage, estimated_rows, lock_piece
from telemetry.refresh import refresh
from telemetry.rollup_keeping import ContinuousAggregates, KeptRollups, Rollups
from telemetry.series import READING, Series, SeriesClass
from telemetry.sql import load_queries

__all__ = ["TimescaleApache", "TimescaleCommunity"]

_SQL = load_queries("telemetry", "retention.sql")


class TimescaleApache:
    """TimescaleDB under the Apache licence: hypertables, no continuous aggregates."""

    name = "timescaledb-apache"
    compresses = False
    rollups: Rollups = KeptRollups()

    def create_series(self, connection: psycopg.Connection[Any]) -> None:
        """Hypertables; the daily rollup is a view over the hourly one."""
        self._create_hypertables(connection)
        body = ASSET_STATE_1D.format(bucket="time_bucket('1 day', time)")
        connection.execute(f"CREATE VIEW asset_state_1d AS {body}".encode())

    @staticmethod
    def _create_hypertables(connection: psycopg.Connection[Any]) -> None:
        for table, ddl, chunk in (
            ("reading", READING_TABLE, "7 days"),
            ("asset_state_1h", ASSET_STATE_1H, "90 days"),
        ):
            connection.execute(ddl.encode())
            connection.execute(
                "SELECT create_hypertable(%s, 'time', chunk_time_interval => %s::interval,"
                " create_default_indexes => false)",
                (table, chunk),
            )

    def drop_series(self, connection: psycopg.Connection[Any]) -> None:
        """All readings go with it."""
        connection.execute("DROP VIEW asset_state_1d")
        connection.execute("DROP TABLE asset_state_1h")
        connection.execute("DROP TABLE reading")

    def divide(self, connection: psycopg.Connection[Any], series: Series) -> None:
        """A hypertable."""
        connection.execute(
            "SELECT create_hypertable(%s, 'time', chunk_time_interval => %s, create_default_indexes => false)",
            (series.table, series.piece),
        )

    async def make_room(self, connection: asyncpg.Connection, time: Time, series: Series = READING) -> None:
        """Nothing to do: hypertables make their chunks themselves."""

    async def refresh_state_rollup(self, connection: asyncpg.Connection, end_us: int) -> None:
        """Nothing to do: the daily rollup is a view."""

    def table(self, series: Series) -> str:
        """Rollups are in tables of our own."""
        return series.table

    async def pieces(self, connection: asyncpg.Connection, series: Series) -> list[Piece] | None:
        """Chunks."""
        table = self.table(series)
        if not await connection.fetchval(_SQL["timescale_divided"], table):
            return None
        return [
            Piece(name=row["name"], begin=row["range_start"], end=row["range_end"], compressed=row["is_compressed"])
            for row in await connection.fetch(_SQL["timescale_pieces"], table)
        ]

    async def drop_piece(self, connection: asyncpg.Connection, series: Series, piece: Piece) -> None:
        """TimescaleDB notes for its aggregates that the rows are gone: no refresh may ever look there."""
        async with connection.transaction(isolation="read_committed"):
            await lock_piece(connection, piece)
            await connection.execute(_SQL["timescale_drop_piece"], self.table(series), piece.begin, piece.end)

    async def empty_piece(self, connection: asyncpg.Connection, series: Series, piece: Piece) -> None:
        """The chunk goes; the next row of its time makes it again."""
        await self.drop_piece(connection, series, piece)

    async def compress(self, connection: asyncpg.Connection, series: Series, piece: Piece) -> bool:
        """The Apache edition cannot."""
        return False

    async def usage(self, connection: asyncpg.Connection, series: Series) -> Usage:
        """From the catalog."""
        table, pieces = self.table(series), await self.pieces(connection, series)
        if pieces is None:
            taken: int = await connection.fetchval(_SQL["plain_bytes"], table)
            compressed = 0
        else:
            taken, compressed = await connection.fetchrow(_SQL["timescale_bytes"], table)
        return Usage(
            table=table,
            pieces=None if pieces is None else tuple(pieces),
            bytes=taken,
            compressed_bytes=compressed,
            rows=await estimated_rows(connection, table),
        )


class TimescaleCommunity(TimescaleApache):
    """TimescaleDB under the Timescale licence: the daily rollup is a real-time continuous aggregate."""

    name = "timescaledb-community"
    compresses = True
    rollups: Rollups = ContinuousAggregates()

    def create_series(self, connection: psycopg.Connection[Any]) -> None:
        """Hypertables and the continuous aggregate."""
        self._create_hypertables(connection)
        body = ASSET_STATE_1D.format(bucket="time_bucket('1 day', time)")
        connection.execute(
            "CREATE MATERIALIZED VIEW asset_state_1d"
            f" WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS {body} WITH NO DATA".encode()
        )

    def drop_series(self, connection: psycopg.Connection[Any]) -> None:
        """All readings go with it."""
        connection.execute("DROP MATERIALIZED VIEW asset_state_1d")
        connection.execute("DROP TABLE asset_state_1h")
        connection.execute("DROP TABLE reading")
        connection.execute("DROP DOMAIN IF EXISTS reading_value")

    async def refresh_state_rollup(self, connection: asyncpg.Connection, end_us: int) -> None:
        """Refresh what is stale up to the end: a materialised day hides late rows until then, real-time or not.

        From the beginning of what is kept: TimescaleDB logs in the writer's transaction which days are stale and
        materialises only those. So a day that a process left stale because it died before this call is mended by the
        next one. Days of hours that were thrown away are stale too, and would be lost.
        """
        day = timedelta(days=1)
        end = to_datetime(end_us).replace(hour=0, minute=0, second=0, microsecond=0) + day
        horizon: datetime | None = await connection.fetchval(_SQL["horizon"], SeriesClass.STATES.value)
        if horizon is not None and horizon >= end:
            return
        # The lock that writers of `asset_state_1h` hold until they have committed (cbm). TimescaleDB (2.12 and later)
        # does not log a change whose COMMIT is under way while a refresh moves the aggregate's end over it: that day
        # would be stale for good. It also refuses a second refresh of the same days at the same time. The lock is the
        # session's because a refresh is several transactions.
        await connection.execute("SELECT pg_advisory_lock(hashtext('asset_state_1h'))")
        try:
            # An open end would read the whole table for its newest row, every time.
            await refresh(connection, "asset_state_1d", horizon, end)
        finally:
            if not connection.is_closed():
                await connection.execute("SELECT pg_advisory_unlock(hashtext('asset_state_1h'))")

    def table(self, series: Series) -> str:
        """Rollups are in aggregates of TimescaleDB's."""
        return series.relation

    async def compress(self, connection: asyncpg.Connection, series: Series, piece: Piece) -> bool:
        """To columns, a thousand rows of a sensor together."""
        if piece.compressed and not await connection.fetchval(_SQL["timescale_late_rows"], piece.name):
            return False
        table = self.table(series)
        if not await connection.fetchval(_SQL["timescale_settings"], table):
            # Once in a database's life; it waits for a lock on the whole table, the caller says how long.
            kind = "TABLE" if table == series.table else "MATERIALIZED VIEW"
            await connection.execute(
                f"ALTER {kind} {table} SET (timescaledb.enable_columnstore,"
                " timescaledb.segmentby = 'sensor_id', timescaledb.orderby = 'time')"
            )
        # By its default it gives up where somebody reads the chunk. Were the rows deleted instead of truncated
        # (`truncate_or_delete`), that reader would miss them: 2.29 looks for them in columns it does not see yet.
        await connection.execute(f"CALL convert_to_columnstore('{piece.name}')")
        return True
