"""A database under TimescaleDB's Apache licence made into one of the community edition, where it is.

Readings stay as they are: both editions keep them in hypertables. Continuous aggregates are built beside our own
rollups, in a schema that nobody looks into, filled with our rows and compared with them; then they change places in one
transaction. Until its COMMIT everything is as it was, and what a killed process left is thrown away by the next one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from telemetry import database
from telemetry.aggregates import LEVELS, kept_relations, reveal, shield
from telemetry.attendance import keep_others_away, require_nobody
from telemetry.batch import to_micros
from telemetry.copying import Copied, Relation, tally
from telemetry.edition import ASSET_STATE_1D
from telemetry.editions import TimescaleApache, TimescaleCommunity, detect, detect_async
from telemetry.errors import ConfigurationError, StateError
from telemetry.inventory import schema_of
from telemetry.sql import load_queries

__all__ = ["Aggregated", "aggregate", "upgrade_offered"]

_SQL = load_queries("telemetry", "upgrade.sql")
_VERSIONS = Path(__file__).parent / "migrations" / "versions"
_VALUES = _VERSIONS / "0003_series.values.sql"
_AGGREGATES = _VERSIONS / "0003_series.aggregates.sql"
_DROP_KEPT = _VERSIONS / "0002_rollups.kept.down.sql"

_BESIDE = "precursor_upgrade"
_DAYS = "asset_state_1d"
_VIEWS = (*(level.relation for level in LEVELS), _DAYS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregated:
    """What became of a database in its place."""

    before: bool
    """True: it is of the community edition already"""
    bytes: int
    """that rollups of our own take, and so about what is needed while there are both"""
    tables: tuple[Copied, ...] = ()
    """rollups, equal before and after"""


def upgrade_offered(connection: psycopg.Connection[Any]) -> str | None:
    """What a better edition there is for this database on its server, and how to get there; None: nothing."""
    edition = detect(connection)
    with connection.cursor(row_factory=dict_row) as cursor:
        server = cursor.execute(_SQL["server"].encode()).fetchone()
    assert server is not None
    if isinstance(edition, TimescaleCommunity):
        return None
    if isinstance(edition, TimescaleApache):
        if server["licence"] != "timescale":
            return None
        return "the server has TimescaleDB's community edition, this database does not use it: `precursor upgrade`"
    if server["available"] and server["loaded"]:
        return (
            f"the server has TimescaleDB {server['available']}, this database is plain: `precursor upgrade --from`"
            " copies it into a new one, see docs/upgrade.md"
        )
    return None


async def aggregate(dsn: str, *, dry_run: bool, tell: Callable[[str], None]) -> Aggregated:
    """Replace our own rollups by continuous aggregates of the same rows. Programs of ours have to be stopped.

    Raises:
        ConfigurationError: the server or the database does not allow it; the message says what does.
        StateError: the aggregates are not equal to what they replace; everything is as it was.
        DatabaseUnavailableError: the database does not answer, or goes away.
    """
    with database.translated():
        connection = await database.connect(dsn, name="precursor upgrade")
        try:
            await connection.execute(_SQL["unlimited"])
            return await _aggregate(connection, dry_run=dry_run, tell=tell)
        finally:
            await connection.close(timeout=5)


async def _aggregate(connection: asyncpg.Connection, *, dry_run: bool, tell: Callable[[str], None]) -> Aggregated:
    edition = await detect_async(connection)
    if isinstance(edition, TimescaleCommunity):
        return Aggregated(before=True, bytes=0)
    await _require_licence(connection, apache=isinstance(edition, TimescaleApache))
    await keep_others_away(connection, "the database")
    schema = await schema_of(connection)
    kept = await kept_relations(connection, "kept", schema)
    size = await connection.fetchval(_SQL["kept_size"], [relation.sql for relation in kept.values()])
    if dry_run:
        return Aggregated(before=False, bytes=size)
    await _throw_away_beside(connection)
    tell("making continuous aggregates")
    # Stays where the rest fails: to everybody but TimescaleDB's compression it is the type it was.
    if await connection.fetchval("SELECT to_regtype('reading_value')") is None:
        await connection.execute(_VALUES.read_text(encoding="utf-8"))
    async with connection.transaction():
        await connection.execute(f"CREATE SCHEMA {_BESIDE}")
        await connection.execute(f"SET LOCAL search_path = {_BESIDE}, {sql.Identifier(schema).as_string()}")
        await connection.execute(_AGGREGATES.read_text(encoding="utf-8"))
        body = ASSET_STATE_1D.format(bucket="time_bucket('1 day', time)")
        await connection.execute(
            f"CREATE MATERIALIZED VIEW {_DAYS}"
            f" WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS {body} WITH NO DATA"
        )
    tables = await _fill_beside(connection, schema, tell)
    tell("changing places")
    await _change_places(connection, schema)
    newest: datetime | None = await connection.fetchval("SELECT max(time) FROM asset_state_1h")
    if newest is not None:
        await TimescaleCommunity().refresh_state_rollup(connection, to_micros(newest))
    return Aggregated(before=False, bytes=size, tables=tables)


async def _require_licence(connection: asyncpg.Connection, *, apache: bool) -> None:
    server = await connection.fetchrow(_SQL["server"])
    if not apache:
        offered = "" if server["loaded"] else " on a server with TimescaleDB's community edition"
        raise ConfigurationError(
            "this database is plain PostgreSQL; its readings have to be written anew to become TimescaleDB's: make a"
            f" new database{offered}, name it with PRECURSOR_DATABASE__DSN, and run `precursor upgrade --from` with"
            " this one's address (or data folder), which stays as it is; see docs/upgrade.md"
        )
    if server["licence"] != "timescale":
        raise ConfigurationError(
            f"the server has TimescaleDB {server['installed']} under its {server['licence']} licence, which has no"
            " continuous aggregates: install the community edition there (timescaledb.license = 'timescale') and run"
            " this again, or copy into a database on another server with `precursor upgrade --from`: docs/upgrade.md"
        )


async def _throw_away_beside(connection: asyncpg.Connection) -> None:
    there = {row["view_name"] for row in await connection.fetch(_SQL["left_over"], _BESIDE)}
    # An aggregate goes before those it is made from.
    for name in reversed(_VIEWS):
        if name in there:
            await connection.execute(f"DROP MATERIALIZED VIEW {_BESIDE}.{name}")
    await connection.execute(f"DROP SCHEMA IF EXISTS {_BESIDE}")


async def _fill_beside(connection: asyncpg.Connection, schema: str, tell: Callable[[str], None]) -> tuple[Copied, ...]:
    kept = await kept_relations(connection, "kept", schema)
    rows = await kept_relations(connection, "aggregates", _BESIDE)
    watermark: datetime = (await connection.fetchrow(_SQL["standing"]))["watermark"]
    horizons = {row["class"]: row["time"] for row in await connection.fetch(_SQL["horizons"])}
    columns = {level: await connection.fetchval(_SQL["columns"], schema, level.relation) for level in LEVELS}
    for level in LEVELS:
        tell(f"filling {level.relation}")
        source, target, end = kept[level.relation], rows[level.relation], level.end(watermark)
        horizon = horizons.get(level.made_from)
        if horizon is not None:
            oldest = await connection.fetchval(f"SELECT min(time) FROM {source.sql}")
            await shield(connection, level, _BESIDE, oldest, min(horizon, end))
        names = ", ".join(columns[level])
        await connection.execute(
            f"INSERT INTO {target.sql} ({names}) SELECT {names} FROM {source.sql} WHERE time < $1", end
        )
    await reveal(connection, _BESIDE, [rows[level.relation] for level in LEVELS])
    done = []
    for level in LEVELS:
        tell(f"comparing {level.relation}")
        view, end = Relation(schema=_BESIDE, name=level.relation), level.end(watermark)
        found = await tally(connection, kept[level.relation], columns[level], timed=True, before=end)
        shown = await tally(connection, view, columns[level], timed=True, before=end)
        if found != shown:
            raise StateError(
                f"{level.relation}: {found.rows:,} rows are kept, the aggregate shows {shown.rows:,}, or others;"
                " everything is as it was. Please report this as a bug"
            )
        done.append(Copied(name=level.relation, rows=found.rows, digest=found.digest))
    return tuple(done)


async def _change_places(connection: asyncpg.Connection, schema: str) -> None:
    async with connection.transaction():
        await connection.execute(
            "LOCK TABLE reading, asset_state_1h, reading_watermark, reading_fence, reading_touched"
        )
        await require_nobody(connection, "the database")
        rights = await connection.fetch(_SQL["rights"], list(_VIEWS))
        await connection.execute(f"DROP VIEW {_DAYS}")
        await connection.execute(_DROP_KEPT.read_text(encoding="utf-8"))
        for name in _VIEWS:
            await connection.execute(
                f"ALTER MATERIALIZED VIEW {_BESIDE}.{name} SET SCHEMA {sql.Identifier(schema).as_string()}"
            )
        await connection.execute(f"DROP SCHEMA {_BESIDE}")
        for row in rights:
            await connection.execute(row["statement"])
