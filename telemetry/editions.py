"""Which edition a database is: plain PostgreSQL, TimescaleDB Apache or TimescaleDB community.

What differs between them stays behind `Edition`. Everything above reads the same relations on all three: `reading`,
`reading_1m`, `reading_1h`, `reading_1d`, `asset_state_1h`, `asset_state_1d`, `waveform`.
"""

from collections.abc import Iterable
from typing import Any

import asyncpg
import psycopg

from telemetry.edition import Edition
from telemetry.plain import PlainPostgres
from telemetry.timescale import TimescaleApache, TimescaleCommunity

__all__ = [
    "Edition",
    "PlainPostgres",
    "TimescaleApache",
    "TimescaleCommunity",
    "detect",
    "detect_async",
    "offer_timescaledb",
]

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
