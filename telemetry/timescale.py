"""TimescaleDB: hypertables, and with the community edition continuous aggregates."""

from datetime import timedelta
from typing import Any

import asyncpg
import psycopg

from telemetry.batch import Time, to_datetime
from telemetry.edition import ASSET_STATE_1D, ASSET_STATE_1H, READING_TABLE
from telemetry.rollup_keeping import ContinuousAggregates, KeptRollups, Rollups
from telemetry.series import READING, Series

__all__ = ["TimescaleApache", "TimescaleCommunity"]


class TimescaleApache:
    """TimescaleDB under the Apache licence: hypertables, no continuous aggregates."""

    name = "timescaledb-apache"
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


class TimescaleCommunity(TimescaleApache):
    """TimescaleDB under the Timescale licence: the daily rollup is a real-time continuous aggregate."""

    name = "timescaledb-community"
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

    async def refresh_state_rollup(self, connection: asyncpg.Connection, end_us: int) -> None:
        """Refresh what is stale up to the end: a materialised day hides late rows until then, real-time or not.

        From the beginning of time: TimescaleDB logs in the writer's transaction which days are stale and materialises
        only those. So a day that a process left stale because it died before this call is mended by the next one.
        """
        day = timedelta(days=1)
        end = to_datetime(end_us).replace(hour=0, minute=0, second=0, microsecond=0) + day
        # The lock that writers of `asset_state_1h` hold until they have committed (cbm). TimescaleDB (2.12 and later) does
        # not log a change whose COMMIT is under way while a refresh moves the aggregate's end over it: that day would be
        # stale for good. It also refuses a second refresh of the same days at the same time. The lock is the session's
        # because a refresh is several transactions.
        await connection.execute("SELECT pg_advisory_lock(hashtext('asset_state_1h'))")
        try:
            # An open end would read the whole table for its newest row, every time.
            await connection.execute(f"CALL refresh_continuous_aggregate('asset_state_1d', NULL, '{end.isoformat()}')")
        finally:
            if not connection.is_closed():
                await connection.execute("SELECT pg_advisory_unlock(hashtext('asset_state_1h'))")
