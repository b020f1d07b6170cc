"""What differs between plain PostgreSQL, TimescaleDB Apache and TimescaleDB community: here and nowhere else.

Everything above reads the same relations on all three: `reading`, `reading_1m`, `reading_1h`, `reading_1d`,
`asset_state_1h`, `asset_state_1d`.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Protocol

import asyncpg
import numpy as np
import psycopg

from telemetry.batch import Time, to_datetime
from telemetry.rollup_keeping import ContinuousAggregates, KeptRollups, Rollups

__all__ = [
    "Edition",
    "PlainPostgres",
    "TimescaleApache",
    "TimescaleCommunity",
    "detect",
    "detect_async",
    "offer_timescaledb",
]

_WEEK_US = 7 * 24 * 3600 * 1_000_000
# 1970-01-01 was a Thursday; weeks begin on Mondays.
_MONDAY_US = 4 * 24 * 3600 * 1_000_000

_READING = """
CREATE TABLE reading (
    time timestamptz NOT NULL,
    sensor_id int NOT NULL,
    value float8 NOT NULL,
    quality smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (sensor_id, time)
)"""

_ASSET_STATE_1H = """
CREATE TABLE asset_state_1h (
    time timestamptz NOT NULL,
    asset_id int NOT NULL REFERENCES asset,
    sensor_id int NOT NULL REFERENCES sensor,
    state smallint NOT NULL,
    seconds float8 NOT NULL,
    entries int NOT NULL,
    PRIMARY KEY (sensor_id, time, state)
)"""

_ASSET_STATE_1D = """
SELECT {bucket} AS time, asset_id, sensor_id, state, sum(seconds) AS seconds, sum(entries) AS entries
FROM asset_state_1h
GROUP BY 1, asset_id, sensor_id, state"""


class Edition(Protocol):
    """One way of keeping series."""

    name: str

    @property
    def rollups(self) -> Rollups:
        """How rollups of readings are kept."""

    def create_series(self, connection: psycopg.Connection[Any]) -> None:
        """Create the series' relations, inside the caller's transaction."""

    def drop_series(self, connection: psycopg.Connection[Any]) -> None:
        """Drop them, inside the caller's transaction."""

    async def make_room(self, connection: asyncpg.Connection, time: Time) -> None:
        """Make sure that readings at these times (µs) can be stored; outside a transaction."""

    async def refresh_state_rollup(self, connection: asyncpg.Connection, end_us: int) -> None:
        """Bring `asset_state_1d` up to `asset_state_1h`, at least as far as a time (µs); outside a transaction."""


class PlainPostgres:
    """PostgreSQL >= 15 alone: native range partitions of one week, made when the first reading needs one."""

    name = "plain"
    rollups: Rollups = KeptRollups()

    def __init__(self) -> None:
        self._weeks: set[int] = set()

    def create_series(self, connection: psycopg.Connection[Any]) -> None:
        """Partitioned `reading`; the daily rollup is a view over the hourly one."""
        connection.execute(f"{_READING} PARTITION BY RANGE (time)".encode())
        connection.execute(_ASSET_STATE_1H.encode())
        # date_trunc with a zone, so that a session's TimeZone never moves a day.
        body = _ASSET_STATE_1D.format(bucket="date_trunc('day', time, 'UTC')")
        connection.execute(f"CREATE VIEW asset_state_1d AS {body}".encode())

    def drop_series(self, connection: psycopg.Connection[Any]) -> None:
        """All readings go with it."""
        connection.execute("DROP VIEW asset_state_1d")
        connection.execute("DROP TABLE asset_state_1h")
        connection.execute("DROP TABLE reading")

    async def make_room(self, connection: asyncpg.Connection, time: Time) -> None:
        """Create the partitions of weeks not seen before."""
        weeks = set(np.unique((time - _MONDAY_US) // _WEEK_US).tolist())
        for week in sorted(weeks - self._weeks):
            await self._create_week(connection, week)
            self._weeks.add(week)

    @staticmethod
    async def _create_week(connection: asyncpg.Connection, week: int) -> None:
        begin = to_datetime(week * _WEEK_US + _MONDAY_US)
        end = begin + timedelta(weeks=1)
        name = f"reading_{begin:%Y%m%d}"
        # ATTACH takes a weaker lock on `reading` than CREATE ... PARTITION OF: queries and writers go on.
        # The advisory lock keeps two engines from making the same week.
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(hashtext('reading partitions'))")
            if await connection.fetchval("SELECT to_regclass($1)", name) is None:
                await connection.execute(f"CREATE TABLE {name} (LIKE reading INCLUDING ALL)")
                await connection.execute(
                    f"ALTER TABLE reading ATTACH PARTITION {name} FOR VALUES FROM"
                    f" ('{begin.isoformat()}') TO ('{end.isoformat()}')"
                )

    async def refresh_state_rollup(self, connection: asyncpg.Connection, end_us: int) -> None:
        """Nothing to do: the daily rollup is a view."""


class TimescaleApache:
    """TimescaleDB under the Apache licence: hypertables, no continuous aggregates."""

    name = "timescaledb-apache"
    rollups: Rollups = KeptRollups()

    def create_series(self, connection: psycopg.Connection[Any]) -> None:
        """Hypertables; the daily rollup is a view over the hourly one."""
        self._create_hypertables(connection)
        body = _ASSET_STATE_1D.format(bucket="time_bucket('1 day', time)")
        connection.execute(f"CREATE VIEW asset_state_1d AS {body}".encode())

    @staticmethod
    def _create_hypertables(connection: psycopg.Connection[Any]) -> None:
        for table, ddl, chunk in (
            ("reading", _READING, "7 days"),
            ("asset_state_1h", _ASSET_STATE_1H, "90 days"),
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

    async def make_room(self, connection: asyncpg.Connection, time: Time) -> None:
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
        body = _ASSET_STATE_1D.format(bucket="time_bucket('1 day', time)")
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
        # TimescaleDB refuses a second refresh of the same days at the same time; ours wait for each other. The lock is
        # the session's because a refresh is several transactions. An open end would read the whole table for its
        # newest row, every time.
        await connection.execute("SELECT pg_advisory_lock(hashtext('asset_state_1d refresh'))")
        try:
            await connection.execute(f"CALL refresh_continuous_aggregate('asset_state_1d', NULL, '{end.isoformat()}')")
        finally:
            if not connection.is_closed():
                await connection.execute("SELECT pg_advisory_unlock(hashtext('asset_state_1d refresh'))")


_DETECT = """
SELECT (SELECT relkind FROM pg_class WHERE oid = to_regclass('reading')) = 'p' AS partitioned,
       EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') AS timescale,
       current_setting('timescaledb.license', true) AS licence,
       pg_get_viewdef(to_regclass('asset_state_1d')) LIKE '%_materialized_hypertable_%' AS aggregated"""


def _choose(row: Iterable[Any] | None) -> Edition:
    partitioned, timescale, licence, aggregated = row or (None, False, None, None)
    # What is there decides, then what the server offers: a database made without the extension stays plain, one made
    # under another licence stays what it was, whatever was installed or set since.
    if partitioned or not timescale:
        return PlainPostgres()
    if aggregated is None:
        aggregated = licence == "timescale"
    return TimescaleCommunity() if aggregated else TimescaleApache()


def detect(connection: psycopg.Connection[Any]) -> Edition:
    """The edition of the database behind a psycopg connection."""
    return _choose(connection.execute(_DETECT).fetchone())


async def detect_async(connection: asyncpg.Connection) -> Edition:
    """The edition of the database behind an asyncpg connection."""
    return _choose(await connection.fetchrow(_DETECT))


def offer_timescaledb(connection: psycopg.Connection[Any]) -> None:
    """Create the extension where the server has it loaded and this role may; else leave the database plain."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb' AND installed_version IS NULL)"
        " AND pg_has_role(current_user, 'pg_read_all_settings', 'member')"
    ).fetchone()
    if row is None or not row[0]:
        return
    # Without the preload CREATE EXTENSION would end the connection, not only fail.
    loaded = connection.execute("SELECT current_setting('shared_preload_libraries')").fetchone()
    if loaded is not None and "timescaledb" in loaded[0]:
        connection.execute("CREATE EXTENSION timescaledb")
