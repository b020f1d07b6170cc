"""Readings into the table: COPY BINARY straight from columns, and what to do where rows are there already."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import asyncpg
import numpy as np
import numpy.typing as npt

from telemetry.batch import ReadingBatch
from telemetry.editions import Edition
from telemetry.sql import load_queries

__all__ = ["ReadingStore", "Written", "encode_copy"]

_SQL = load_queries("telemetry", "store.sql")

# PostgreSQL, "COPY: Binary Format": 11-byte signature, flags, header extension length; -1 as the trailer.
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER = b"\xff\xff"
_POSTGRES_EPOCH_US = 946_684_800_000_000
"""2000-01-01 UTC, from which PostgreSQL counts, in µs since 1970"""
_COLUMNS = ("time", "sensor_id", "value", "quality")
_TUPLE = [
    ("fields", ">i2"),
    ("time_len", ">i4"),
    ("time", ">i8"),
    ("sensor_len", ">i4"),
    ("sensor_id", ">i4"),
    ("value_len", ">i4"),
    ("value", ">f8"),
    ("quality_len", ">i4"),
    ("quality", ">i2"),
]
_READING_TUPLE = np.dtype(_TUPLE)
_STAGING_TUPLE = np.dtype([*_TUPLE, ("position_len", ">i4"), ("position", ">i4")])


def encode_copy(batch: ReadingBatch, *, with_position: bool = False) -> bytes:
    """The batch as the body of `COPY ... (time, sensor_id, value, quality[, position]) FROM STDIN BINARY`.

    Source: PostgreSQL documentation, "COPY", section "Binary Format". `position` is the index in the batch.
    """
    rows = np.empty(len(batch), _STAGING_TUPLE if with_position else _READING_TUPLE)
    rows["fields"] = 5 if with_position else 4
    rows["time_len"] = 8
    rows["time"] = batch.time - _POSTGRES_EPOCH_US
    rows["sensor_len"] = 4
    rows["sensor_id"] = batch.sensor_id
    rows["value_len"] = 8
    rows["value"] = batch.value
    rows["quality_len"] = 2
    rows["quality"] = batch.quality
    if with_position:
        rows["position_len"] = 4
        rows["position"] = np.arange(len(batch))
    return b"".join((_COPY_HEADER, rows.tobytes(), _COPY_TRAILER))


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of each reading of a batch: masks over its positions, exactly one of them true for each."""

    stored: npt.NDArray[np.bool_]
    duplicate: npt.NDArray[np.bool_]
    """the same value and quality were there for this sensor and instant"""
    conflicting: npt.NDArray[np.bool_]
    """another value or quality was there first; the first one stays"""


class ReadingStore:
    """Writes batches into `reading`. Every call happens inside the caller's transaction."""

    def __init__(self, edition: Edition) -> None:
        self._edition = edition
        # After a restart the broker sends again what was committed and not acknowledged: collisions come in runs,
        # so the last batch says whether to look before writing.
        self._expect_collisions = True

    async def make_room(self, connection: asyncpg.Connection, batch: ReadingBatch) -> None:
        """Partitions for the batch; before the transaction."""
        if len(batch):
            await self._edition.make_room(connection, batch.time)

    async def write(self, connection: asyncpg.Connection, batch: ReadingBatch) -> Written:
        """Store what is new, and say what was not.

        `batch` in any order; of several readings of one sensor and instant the first one is stored.
        """
        order = batch.order()
        ordered = batch.take(order)
        instants = _Instants(ordered)
        if self._expect_collisions or not await self._copied(connection, ordered.take(instants.fresh)):
            await self._write_around(connection, ordered, instants)

        stored = np.empty(len(batch), np.bool_)
        duplicate = np.empty(len(batch), np.bool_)
        stored[order] = instants.fresh
        duplicate[order] = ~instants.fresh & instants.equal()
        return Written(stored=stored, duplicate=duplicate, conflicting=~stored & ~duplicate)

    async def _write_around(self, connection: asyncpg.Connection, ordered: ReadingBatch, instants: "_Instants") -> None:
        """Look which instants are taken, and write the others."""
        await connection.execute(_SQL["create_staging"])
        while True:
            positions = np.flatnonzero(instants.fresh)
            body = encode_copy(ordered.take(positions), with_position=True)
            await _copy(connection, "reading_staging", (*_COLUMNS, "position"), body)
            found = await connection.fetch(_SQL["find_collisions"])
            self._expect_collisions = bool(found)
            if found:
                instants.take(
                    positions[np.array([row[0] for row in found], np.intp)],
                    np.array([row[1] for row in found], np.float64),
                    np.array([row[2] for row in found], np.int16),
                )
            if await self._copied(connection, ordered.take(instants.fresh)):
                return
            # Another writer stored one of these rows between the look and the COPY: look again.
            await connection.execute("TRUNCATE reading_staging")

    @staticmethod
    async def _copied(connection: asyncpg.Connection, batch: ReadingBatch) -> bool:
        """Whether the whole batch went in; nothing of it did if not."""
        if not len(batch):
            return True
        try:
            async with connection.transaction():
                await _copy(connection, "reading", _COLUMNS, encode_copy(batch))
        except asyncpg.UniqueViolationError:
            return False
        return True


class _Instants:
    """Of a sorted batch: which readings are the first of their sensor and instant, and what holds for it."""

    def __init__(self, ordered: ReadingBatch) -> None:
        self._ordered = ordered
        self.fresh = np.ones(len(ordered), np.bool_)
        """the first reading of an instant that nothing is stored for"""
        self.fresh[1:] = (ordered.sensor_id[1:] != ordered.sensor_id[:-1]) | (ordered.time[1:] != ordered.time[:-1])
        firsts = np.flatnonzero(self.fresh)
        self._first = firsts[np.cumsum(self.fresh) - 1]
        # What holds for an instant, at the position of its first reading.
        self._value = ordered.value.copy()
        self._quality = ordered.quality.copy()

    def take(
        self, firsts: npt.NDArray[np.intp], value: npt.NDArray[np.float64], quality: npt.NDArray[np.int16]
    ) -> None:
        """These instants are taken: the table holds this for them."""
        self.fresh[firsts] = False
        self._value[firsts] = value
        self._quality[firsts] = quality

    def equal(self) -> npt.NDArray[np.bool_]:
        """Which readings say the same as what holds for their instant."""
        same: npt.NDArray[np.bool_] = self._ordered.value == self._value[self._first]
        same &= self._ordered.quality == self._quality[self._first]
        return same


async def _copy(connection: asyncpg.Connection, table: str, columns: Sequence[str], body: bytes) -> None:
    await connection.copy_to_table(table, source=BytesIO(body), columns=list(columns), format="binary")
