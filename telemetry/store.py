"""Readings into the table: COPY BINARY straight from columns, and what to do where rows are there already."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import asyncpg
import numpy as np
import numpy.typing as npt

from telemetry.batch import ReadingBatch, to_datetime
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
_HOUR_US = 3600 * 1_000_000


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
        fresh, equal = _first_of_each(ordered)
        if not self._expect_collisions and not await self._copied(connection, ordered.take(fresh)):
            self._expect_collisions = True
        if self._expect_collisions:
            fresh, equal = await self._write_around(connection, ordered, fresh, equal)

        stored = np.empty_like(fresh)
        duplicate = np.empty_like(fresh)
        stored[order] = fresh
        duplicate[order] = ~fresh & equal
        return Written(stored=stored, duplicate=duplicate, conflicting=~stored & ~duplicate)

    async def _write_around(
        self,
        connection: asyncpg.Connection,
        ordered: ReadingBatch,
        fresh: npt.NDArray[np.bool_],
        equal: npt.NDArray[np.bool_],
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        await connection.execute(_SQL["create_staging"])
        fresh, equal = fresh.copy(), equal.copy()
        while True:
            positions = np.flatnonzero(fresh)
            await _copy(connection, "reading_staging", (*_COLUMNS, "position"), encode_copy(ordered.take(fresh), with_position=True))
            found = await connection.fetch(_SQL["find_collisions"])
            self._expect_collisions = bool(found)
            if found:
                there = positions[np.array([row["position"] for row in found], np.intp)]
                fresh[there] = False
                equal[there] = np.array([row["equal"] for row in found], np.bool_)
                # In-batch repeats were compared with the first of their instant in the batch, which was not stored
                # now; what counts for them is the stored row as well.
                equal = _spread(ordered, fresh, equal, there)
            if await self._copied(connection, ordered.take(fresh)):
                return fresh, equal
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

    @staticmethod
    async def touch_state_hours(connection: asyncpg.Connection, batch: ReadingBatch) -> None:
        """Mark the hours of these state readings, so that their seconds are counted again."""
        if not len(batch):
            return
        pairs = np.unique(np.stack([batch.sensor_id.astype(np.int64), batch.time // _HOUR_US], axis=1), axis=0)
        await connection.execute(
            _SQL["touch_state_hours"],
            [int(sensor) for sensor, _ in pairs],
            [to_datetime(int(hour) * _HOUR_US) for _, hour in pairs],
        )


def _first_of_each(ordered: ReadingBatch) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Of a sorted batch: which readings are the first of their sensor and instant, and which equal that first one."""
    fresh = np.ones(len(ordered), np.bool_)
    fresh[1:] = (ordered.sensor_id[1:] != ordered.sensor_id[:-1]) | (ordered.time[1:] != ordered.time[:-1])
    if not len(ordered):
        return fresh, fresh.copy()
    first = np.flatnonzero(fresh)[np.cumsum(fresh) - 1]
    equal = (ordered.value == ordered.value[first]) & (ordered.quality == ordered.quality[first])
    return fresh, equal


def _spread(
    ordered: ReadingBatch,
    fresh: npt.NDArray[np.bool_],
    equal: npt.NDArray[np.bool_],
    there: npt.NDArray[np.intp],
) -> npt.NDArray[np.bool_]:
    """Judge repeats inside the batch by the row in the table where their first one collided with it.

    A repeat equal to its first one shares its verdict. A repeat that differs from a first one which itself differs
    from the table is called conflicting without another look: it is kept as such, nothing is lost.
    """
    starts = np.ones(len(ordered), np.bool_)
    starts[1:] = (ordered.sensor_id[1:] != ordered.sensor_id[:-1]) | (ordered.time[1:] != ordered.time[:-1])
    first = np.flatnonzero(starts)[np.cumsum(starts) - 1]
    collided = np.zeros(len(ordered), np.bool_)
    collided[there] = True
    repeats = ~starts & ~fresh & collided[first]
    result = equal.copy()
    result[repeats] = equal[repeats] & equal[first[repeats]]
    return result


async def _copy(connection: asyncpg.Connection, table: str, columns: Sequence[str], body: bytes) -> None:
    await connection.copy_to_table(table, source=BytesIO(body), columns=list(columns), format="binary")
