"""What every edition of the database does for us, each in its own manner."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import asyncpg
import psycopg

from telemetry.batch import Time
from telemetry.rollup_keeping import Rollups
from telemetry.series import READING, Series

__all__ = [
    "ASSET_STATE_1D",
    "ASSET_STATE_1H",
    "READING_TABLE",
    "Edition",
    "Piece",
    "Usage",
    "estimated_rows",
    "lock_piece",
]

_MANY_ROWS = 100_000

READING_TABLE = """
CREATE TABLE reading (
    time timestamptz NOT NULL,
    sensor_id int NOT NULL,
    value float8 NOT NULL,
    quality smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (sensor_id, time)
)"""

ASSET_STATE_1H = """
CREATE TABLE asset_state_1h (
    time timestamptz NOT NULL,
    asset_id int NOT NULL REFERENCES asset,
    sensor_id int NOT NULL REFERENCES sensor,
    state smallint NOT NULL,
    seconds float8 NOT NULL,
    entries int NOT NULL,
    PRIMARY KEY (sensor_id, time, state)
)"""

ASSET_STATE_1D = """
SELECT {bucket} AS time, asset_id, sensor_id, state, sum(seconds) AS seconds, sum(entries) AS entries
FROM asset_state_1h
GROUP BY 1, asset_id, sensor_id, state"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A stretch of time of a series that is stored, thrown away and compressed as a whole."""

    name: str
    """as SQL writes it"""
    begin: datetime
    end: datetime
    compressed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a series takes on disk."""

    table: str
    """where its rows are"""
    pieces: tuple[Piece, ...] | None
    """None: one table"""
    bytes: int
    """heap, indexes and TOAST"""
    compressed_bytes: int
    """of these, what belongs to compressed pieces"""
    rows: int
    """about as many; the planner's estimate"""


class Edition(Protocol):
    """One way of keeping series."""

    name: str
    compresses: bool
    """whether it can"""

    @property
    def rollups(self) -> Rollups:
        """How rollups of readings are kept."""

    def create_series(self, connection: psycopg.Connection[Any]) -> None:
        """Create readings and states of assets, inside the caller's transaction."""

    def drop_series(self, connection: psycopg.Connection[Any]) -> None:
        """Drop them, inside the caller's transaction."""

    def divide(self, connection: psycopg.Connection[Any], series: Series) -> None:
        """Make a new, empty table into one of pieces, inside the caller's transaction; views of it come afterwards."""

    async def make_room(self, connection: asyncpg.Connection, time: Time, series: Series = READING) -> None:
        """Make sure that rows of these times (µs) can be stored; outside a transaction."""

    async def refresh_state_rollup(self, connection: asyncpg.Connection, end_us: int) -> None:
        """Bring `asset_state_1d` up to `asset_state_1h`, at least as far as a time (µs); outside a transaction."""

    def table(self, series: Series) -> str:
        """Where the rows of a series are: a table, or an aggregate of TimescaleDB's."""

    async def pieces(self, connection: asyncpg.Connection, series: Series) -> list[Piece] | None:
        """The pieces a series is in, oldest first, half dropped ones among them; None: it is one table."""

    async def drop_piece(self, connection: asyncpg.Connection, series: Series, piece: Piece) -> None:
        """Throw a piece away, or finish that; writers and readers of other pieces go on. Outside a transaction."""

    async def empty_piece(self, connection: asyncpg.Connection, series: Series, piece: Piece) -> None:
        """Throw all rows of a piece away, in the caller's transaction; rows can be stored in it again."""

    async def compress(self, connection: asyncpg.Connection, series: Series, piece: Piece) -> bool:
        """Compress a piece, and what came to it since it was; False: nothing to do. Outside a transaction."""

    async def usage(self, connection: asyncpg.Connection, series: Series) -> Usage:
        """What a series takes on disk, in a moment however much that is."""


async def estimated_rows(connection: asyncpg.Connection, table: str) -> int:
    """How many rows a table has, all of its pieces together: few are counted, of many the planner's guess is taken."""
    plan = json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) SELECT FROM {table}"))
    guess = int(plan[0]["Plan"]["Plan Rows"])
    if guess >= _MANY_ROWS:
        return guess
    # Of a small table that nobody has analysed it guesses from the size of a page.
    count: int = await connection.fetchval(f"SELECT count(*) FROM {table}")
    return count


async def lock_piece(connection: asyncpg.Connection, piece: Piece) -> None:
    """Have a piece alone until the caller commits.

    At once or not at all: while this lock is waited for, every query that might read the piece, those of ingest among
    them, waits too.

    Raises:
        asyncpg.LockNotAvailableError: somebody reads or writes it.
    """
    await connection.execute(f"LOCK TABLE {piece.name} IN ACCESS EXCLUSIVE MODE NOWAIT")
