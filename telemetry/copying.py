"""Tables from one database to another: streamed as binary COPY, then compared by count and checksum on both sides."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import asyncpg
import numpy as np
from psycopg import sql

from telemetry.batch import to_micros
from telemetry.editions import Edition
from telemetry.errors import StateError
from telemetry.series import Series
from telemetry.sql import load_queries

__all__ = ["Copied", "Progress", "Relation", "Table", "Tally", "compare", "copy", "pieces_of", "tally"]

_SQL = load_queries("telemetry", "upgrade.sql")

_QUEUED = 16
"""buffers between the two databases; one is what the driver reads at once, some 100 kB"""

Progress = Callable[[str, int], None]
"""told what is being done, and how many bytes more are done"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Relation:
    """A table, partition or chunk."""

    schema: str
    name: str

    @property
    def sql(self) -> str:
        """Its name in a statement."""
        return sql.Identifier(self.schema, self.name).as_string()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What is copied: a table of the source and the one it becomes."""

    name: str
    """as people know it: `reading_1m`, wherever its rows are kept"""
    source: Relation
    target: Relation
    columns: tuple[str, ...]
    series: Series | None = None
    """how the target keeps it in pieces; None: it makes them itself, or has none"""
    before: datetime | None = None
    """rows of earlier times only; None: all"""

    @property
    def timed(self) -> bool:
        """Whether rows lie in time, so that a piece of it is a stretch of time."""
        return "time" in self.columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Rows of a table, counted."""

    rows: int
    digest: int
    """sum of the rows' hashes: the same for the same rows, in whatever order"""
    first: datetime | None = None
    last: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Copied:
    """What became of a table, equal on both sides."""

    name: str
    rows: int = 0
    digest: int = 0

    def as_json(self) -> dict[str, object]:
        """The table as a JSON object."""
        return {"name": self.name, "rows": self.rows, "checksum": self.checksum}

    @property
    def checksum(self) -> str:
        """The digest, short enough for a person to compare."""
        return f"{self.digest % 2**64:016x}"


@dataclass(slots=True, kw_only=True)
class _Stream:
    """Buffers on their way, and the failure of whoever reads them."""

    queue: "asyncio.Queue[bytes | Exception | None]" = field(default_factory=lambda: asyncio.Queue(_QUEUED))

    async def read(self, source: asyncpg.Connection, query: str, arguments: Sequence[object]) -> None:
        try:
            await source.copy_from_query(query, *arguments, output=self.queue.put, format="binary")
        except Exception as error:  # raised again where the rows are written
            await self.queue.put(error)
        else:
            await self.queue.put(None)

    async def buffers(self, name: str, progress: Progress) -> AsyncIterator[bytes]:
        while (buffer := await self.queue.get()) is not None:
            if isinstance(buffer, Exception):
                raise buffer
            progress(name, len(buffer))
            yield buffer


async def copy(
    source: asyncpg.Connection, target: asyncpg.Connection, edition: Edition, table: Table, progress: Progress
) -> Copied:
    """Copy the rows of a table in the order in which they are stored, piece by piece; each piece is compared at once.

    Both connections are in a transaction of the caller's. `edition` is the target's.

    Raises:
        StateError: a piece is not the same on both sides.
    """
    copied = Copied(name=table.name)
    for piece, size in await pieces_of(source, table.source):
        found = await tally(source, piece, table.columns, before=table.before, timed=table.timed)
        counted = _counted(progress, size)
        if found.rows:
            await _make_room(target, edition, table, found)
            await _stream(source, target, piece, table, counted)
        counted(table.name, size)
        await _compare_piece(target, table, found)
        copied.rows += found.rows
        copied.digest += found.digest
    return copied


async def compare(
    source: asyncpg.Connection, target: asyncpg.Connection, table: Table, progress: Progress
) -> Copied | None:
    """Look whether a table has the same rows on both sides; None: it has not."""
    copied = Copied(name=table.name)
    for piece, size in await pieces_of(source, table.source):
        found = await tally(source, piece, table.columns, before=table.before, timed=table.timed)
        copied.rows += found.rows
        copied.digest += found.digest
        progress(table.name, size)
    there = await tally(target, table.target, table.columns, before=table.before, timed=table.timed)
    return copied if (there.rows, there.digest) == (copied.rows, copied.digest) else None


async def pieces_of(connection: asyncpg.Connection, relation: Relation) -> list[tuple[Relation, int]]:
    """Partitions or chunks in the order in which they were made, each with its size (bytes); a whole table is one."""
    found = await connection.fetch(_SQL["pieces"], relation.schema, relation.name)
    if not found:
        return [(relation, await connection.fetchval(_SQL["table_size"], relation.schema, relation.name))]
    return [(Relation(schema=row["schema"], name=row["name"]), row["bytes"]) for row in found]


async def tally(
    connection: asyncpg.Connection,
    relation: Relation,
    columns: Sequence[str],
    *,
    timed: bool,
    first: datetime | None = None,
    last: datetime | None = None,
    before: datetime | None = None,
) -> Tally:
    """Count the rows of a relation from `first` to `last`, both inclusive, and before `before`."""
    bounds = [(">=", first), ("<=", last), ("<", before)]
    given = [(sign, moment) for sign, moment in bounds if moment is not None]
    where = "".join(f" AND time {sign} ${number}" for number, (sign, _) in enumerate(given, 1))
    span = "min(time) AS first, max(time) AS last" if timed else "NULL AS first, NULL AS last"
    row = await connection.fetchrow(
        f"SELECT count(*) AS rows, coalesce(sum(hash_record_extended(picked, 0)), 0) AS digest, {span}"
        f" FROM (SELECT {_list(columns)} FROM {relation.sql} WHERE true{where}) AS picked",
        *(moment for _, moment in given),
    )
    return Tally(rows=row["rows"], digest=int(row["digest"]), first=row["first"], last=row["last"])


async def _make_room(target: asyncpg.Connection, edition: Edition, table: Table, found: Tally) -> None:
    if table.series is None or found.first is None or found.last is None:
        return
    assert table.series.piece is not None, f"{table.name} is not kept in pieces"
    step_us = table.series.piece // timedelta(microseconds=1)
    first_us, last_us = to_micros(found.first), to_micros(found.last)
    times_us = np.append(np.arange(first_us, last_us, step_us, dtype=np.int64), last_us)
    await edition.make_room(target, times_us, table.series)


async def _stream(
    source: asyncpg.Connection, target: asyncpg.Connection, piece: Relation, table: Table, progress: Progress
) -> None:
    where, arguments = ("", ()) if table.before is None else (" WHERE time < $1", (table.before,))
    query = f"SELECT {_list(table.columns)} FROM {piece.sql}{where}"
    stream = _Stream()
    reader = asyncio.create_task(stream.read(source, query, arguments), name=f"read {table.name}")
    try:
        await target.copy_to_table(
            table.target.name,
            schema_name=table.target.schema,
            columns=list(table.columns),
            source=stream.buffers(table.name, progress),
            format="binary",
        )
    finally:
        reader.cancel()
        await asyncio.wait({reader})


async def _compare_piece(target: asyncpg.Connection, table: Table, found: Tally) -> None:
    if table.timed and found.first is None:
        return
    there = await tally(
        target, table.target, table.columns, timed=table.timed, first=found.first, last=found.last, before=table.before
    )
    if (there.rows, there.digest) != (found.rows, found.digest):
        span = (
            "" if found.first is None else f" from {found.first.isoformat()} to {found.last and found.last.isoformat()}"
        )
        raise StateError(
            f"{table.name}{span}: the source has {found.rows:,} rows, the copy {there.rows:,}"
            + ("" if there.rows != found.rows else ", with other values")
            + "; nothing was kept of the copy, the source is as it was. Please report this as a bug"
        )


def _counted(progress: Progress, size: int) -> Progress:
    """Progress in bytes of the piece on disk: its rows in flight are somewhat more, or less."""
    left = size

    def tell(name: str, count: int) -> None:
        nonlocal left
        step = min(left, count)
        left -= step
        progress(name, step)

    return tell


def _list(columns: Sequence[str]) -> str:
    return ", ".join(sql.Identifier(column).as_string() for column in columns)
