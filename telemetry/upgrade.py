"""A database copied into one of another edition: everything, or nothing.

The source is read in one snapshot and never written to. The target is written in one transaction, which also compares
each table on both sides: whatever happens before its COMMIT leaves the target empty. Afterwards only rollups have to
be shown, which can be done again at any time.

Rollups are not counted anew but copied with their watermark, fence and marks, so they go on exactly where they stood,
and rows outlive the readings that retention dropped.
"""

import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import asyncpg
from psycopg import sql

from telemetry import database
from telemetry.aggregates import LEVELS, forget_markers, reveal, shield
from telemetry.attendance import keep_others_away, require_nobody
from telemetry.batch import to_micros
from telemetry.copying import Copied, Progress, Relation, Table, compare, copy, pieces_of, tally
from telemetry.editions import Edition, detect_async
from telemetry.errors import ConfigurationError, StateError, TransientError
from telemetry.inventory import FILLED_BY_MIGRATION, is_series, list_rollups, list_tables, schema_of
from telemetry.sql import load_queries

__all__ = ["Plan", "Upgraded", "copy_database", "plan_copy"]

_SQL = load_queries("telemetry", "upgrade.sql")

_OLDEST_SERVER = 150_000
_NOT_EMPTY = (
    "the database that settings name is not empty: name a new one with PRECURSOR_DATABASE__DSN; nothing was changed"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What there is to copy."""

    source: str
    """edition"""
    target: str
    """edition"""
    tables: Sequence[Table]
    bytes: int
    """on disk of the source, without indexes"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upgraded:
    """What was copied; every line is equal on both sides."""

    source: str
    """edition"""
    target: str
    """edition"""
    before: bool
    """True: all of it was there already, nothing was copied"""
    tables: tuple[Copied, ...]

    def as_json(self) -> dict[str, object]:
        """The outcome as a JSON object."""
        return {
            "from": self.source,
            "to": self.target,
            "already_there": self.before,
            "tables": [table.as_json() for table in self.tables],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Both:
    """Both databases, and how they stand."""

    source: asyncpg.Connection
    target: asyncpg.Connection
    source_edition: Edition
    target_edition: Edition
    tables: Sequence[Table]
    """all but rollups"""
    rollups: Sequence[Table]

    @property
    def all(self) -> Sequence[Table]:
        """Everything that is copied, in this order."""
        return [*self.tables, *self.rollups]

    @property
    def aggregates(self) -> bool:
        """Whether the target's rollups are continuous aggregates."""
        return self.target_edition.rollups.manner == "aggregates"


async def plan_copy(source: str, target: str) -> Plan:
    """Look what `copy_database` would copy between two addresses; writes nothing.

    Raises:
        ConfigurationError: it would refuse.
        DatabaseUnavailableError: one of them does not answer.
    """
    async with _opened(source, target) as both:
        if await _filled(both):
            raise ConfigurationError(_NOT_EMPTY)
        return Plan(
            source=both.source_edition.name,
            target=both.target_edition.name,
            tables=both.all,
            bytes=await _size(both),
        )


async def copy_database(source: str, target: str, progress: Progress, total: Callable[[int], None]) -> Upgraded:
    """Copy everything between two addresses, migrated both; `total` is told the number of bytes to come.

    Raises:
        ConfigurationError: programs of ours are connected, the target is not empty, or both are one database.
        TransientError: the source was written to meanwhile; nothing was kept of the copy.
        StateError: the copy is not equal; nothing was kept of it.
        DatabaseUnavailableError: one of them does not answer, or goes away.
    """
    async with _opened(source, target) as both:
        total(await _size(both))
        filled = await _filled(both)
        if not filled:
            await _shield(both)
        async with both.target.transaction():
            await _lock_target(both)
            copied = await (_compared(both, progress) if filled else _copied(both, progress))
            await _source_stood_still(source, both, copied)
        copied = [*copied, await _finish(both, copied)]
        return Upgraded(
            source=both.source_edition.name, target=both.target_edition.name, before=filled, tables=tuple(copied)
        )


@asynccontextmanager
async def _opened(source: str, target: str) -> AsyncIterator[_Both]:
    with database.translated():
        reading = await database.connect(source, name="precursor upgrade")
        try:
            writing = await database.connect(target, name="precursor upgrade")
            try:
                await _sole(reading, writing)
                async with reading.transaction(isolation="repeatable_read", readonly=True):
                    yield await _both(reading, writing)
            finally:
                await writing.close(timeout=5)
        finally:
            await reading.close(timeout=5)


async def _sole(source: asyncpg.Connection, target: asyncpg.Connection) -> None:
    """Make sure that these are two databases, and nobody else is at work in them."""
    for connection in (source, target):
        await connection.execute(_SQL["unlimited"])
    if await source.fetchval(_SQL["server_version"]) < _OLDEST_SERVER:
        raise ConfigurationError("the source runs on a PostgreSQL older than 15: upgrade that server first")
    number = secrets.randbits(62)
    await source.execute(_SQL["hold_source"], number)
    if not await target.fetchval(_SQL["try_hold"], number):
        raise ConfigurationError(
            "--from names the very database that settings name: name another one with PRECURSOR_DATABASE__DSN"
        )
    await keep_others_away(target, "the target")
    await require_nobody(source, "the source")


async def _both(source: asyncpg.Connection, target: asyncpg.Connection) -> _Both:
    source_edition, target_edition = await detect_async(source), await detect_async(target)
    return _Both(
        source=source,
        target=target,
        source_edition=source_edition,
        target_edition=target_edition,
        tables=await list_tables(source, target),
        rollups=await list_rollups(source, target, source_edition, target_edition),
    )


async def _filled(both: _Both) -> bool:
    """Whether the target holds anything that a migration does not put there."""
    for table in both.all:
        if table.name not in FILLED_BY_MIGRATION and await both.target.fetchval(
            f"SELECT EXISTS (SELECT FROM {table.target.sql})"
        ):
            return True
    return bool(await both.target.fetchval(_SQL["plant_revision"]))


async def _size(both: _Both) -> int:
    sizes = [size for table in both.all for _, size in await pieces_of(both.source, table.source)]
    return sum(sizes)


async def _shield(both: _Both) -> None:
    """Rows that nothing can be counted again for are to be out of reach of refreshes: before there is anything."""
    if not both.aggregates:
        return
    horizons = {row["class"]: row["time"] for row in await both.source.fetch(_SQL["horizons"])}
    schema = await schema_of(both.target)
    for level, table in zip(LEVELS, both.rollups, strict=True):
        horizon = horizons.get(level.made_from)
        if horizon is not None and table.before is not None:
            oldest = await both.source.fetchval(f"SELECT min(time) FROM {table.source.sql}")
            await shield(both.target, level, schema, oldest, min(horizon, table.before))


async def _lock_target(both: _Both) -> None:
    """From here on whoever starts on the target waits for our COMMIT: not even its first look sees half a copy."""
    names = [table.target.sql for table in both.tables]
    await both.target.execute(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE")
    await require_nobody(both.target, "the target")


async def _copied(both: _Both, progress: Progress) -> list[Copied]:
    # Somebody may have been here since the first look.
    if await _filled(both):
        raise ConfigurationError(_NOT_EMPTY)
    for name in FILLED_BY_MIGRATION:
        await both.target.execute(f"DELETE FROM {sql.Identifier(name).as_string()}")
    copied = [await copy(both.source, both.target, both.target_edition, table, progress) for table in both.all]
    for row in await both.source.fetch(_SQL["identities"]):
        last, used = await both.source.fetchrow(f"SELECT last_value, is_called FROM {row['sequence']}")
        name = sql.Identifier(row["name"]).as_string()
        await both.target.execute(
            f"ALTER TABLE {name} ALTER COLUMN {sql.Identifier(row['column']).as_string()} RESTART WITH {last + used}"
        )
    return copied


async def _compared(both: _Both, progress: Progress) -> list[Copied]:
    """What a copy before this one left, whose process died after its COMMIT: all of it is there, or it is no copy."""
    copied = []
    if both.aggregates:
        for table in both.rollups:
            await forget_markers(both.target, table.target)
    for table in both.all:
        found = await compare(both.source, both.target, table, progress)
        if found is None:
            raise ConfigurationError(f"{_NOT_EMPTY} ({table.name} is not what the source has)")
        copied.append(found)
    return copied


async def _source_stood_still(source: str, both: _Both, copied: Sequence[Copied]) -> None:
    """Whatever stores a reading or moves an order on changes a small table too: the ledger, the journal, marks."""
    digests = {each.name: each.digest for each in copied}
    again = await database.connect(source, name="precursor upgrade")
    try:
        await again.execute(_SQL["unlimited"])
        await require_nobody(again, "the source")
        for table in both.all:
            if not is_series(table.name):
                now = await tally(again, table.source, table.columns, timed=table.timed)
                if now.digest != digests[table.name]:
                    raise TransientError(
                        f"{table.name} of the source changed while it was copied, so nothing was kept of the copy:"
                        " stop whatever writes to the source, then run the same command again"
                    )
    finally:
        await again.close(timeout=5)


async def _finish(both: _Both, copied: Sequence[Copied]) -> Copied:
    """Show what was copied; then look through the views that everybody reads. May be done again at any time."""
    schema = await schema_of(both.target)
    if both.aggregates:
        await reveal(both.target, schema, [table.target for table in both.rollups])
    for table in both.all:
        await both.target.execute(f"ANALYZE {table.target.sql}")
    expected = {each.name: each for each in copied}
    for table in both.rollups:
        view = Relation(schema=schema, name=table.name)
        shown = await tally(both.target, view, table.columns, timed=True, before=table.before)
        if (shown.rows, shown.digest) != (expected[table.name].rows, expected[table.name].digest):
            raise StateError(
                f"everything was copied, but {table.name} shows {shown.rows:,} rows of"
                f" {expected[table.name].rows:,}: was something started there meanwhile? If not, report this as a bug"
            )
    days = await both.target.fetchrow(_SQL["state_days"])
    if days["newest"] is not None:
        await both.target_edition.refresh_state_rollup(both.target, to_micros(days["newest"]))
        days = await both.target.fetchrow(_SQL["state_days"])
    wanted = await both.source.fetchrow(_SQL["state_days"])
    if tuple(days) != tuple(wanted):
        raise StateError(
            f"everything was copied, but asset_state_1d shows {days['rows']:,} rows of {wanted['rows']:,}, or others"
        )
    return Copied(name="asset_state_1d", rows=days["rows"], digest=int(days["digest"]))
