"""Readings into the table: COPY BINARY straight from columns, and what to do where rows are there already."""

from collections.abc import Iterator
from dataclasses import dataclass

import asyncpg
import numpy as np
import numpy.typing as npt

from telemetry.batch import ReadingBatch, to_datetime
from telemetry.copy_rows import POSTGRES_EPOCH_US, row_type
from telemetry.editions import Edition
from telemetry.sql import load_queries

__all__ = ["ReadingStore", "Written", "encode_copy"]

_SQL = load_queries("telemetry", "store.sql")

# PostgreSQL, "COPY: Binary Format": 11-byte signature, flags, header extension length; -1 as the trailer.
_COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_COPY_TRAILER = b"\xff\xff"
_COLUMNS = ["time", "sensor_id", "value", "quality"]
_TUPLE = row_type(time="i8", sensor_id="i4", value="f8", quality="i2")
_PIECE_ROWS = 2048
"""rows encoded at once: 80 KiB are had without asking the operating system for pages"""
_PIECE = np.array([(4, 8, 0, 4, 0, 8, 0, 2, 0)] * _PIECE_ROWS, _TUPLE).tobytes()
"""a piece with all that is the same in every row"""

_SPAN_GAP_US = 3600 * 1_000_000
_SPAN_ROOM = 4
"""A span of one sensor's readings is looked up in one go. It ends where the sensor was silent for an hour, and at most
so many times as many rows as it has readings are read: what is stored between them may be a million rows."""


def encode_copy(batch: ReadingBatch) -> bytes:
    """The batch as the body of `COPY ... (time, sensor_id, value, quality) FROM STDIN BINARY`.

    Source: PostgreSQL documentation, "COPY", section "Binary Format".
    """
    return b"".join(_encoded(batch))


def _encoded(batch: ReadingBatch) -> Iterator[bytes | bytearray]:
    yield _COPY_HEADER
    for begin in range(0, len(batch), _PIECE_ROWS):
        piece = slice(begin, begin + _PIECE_ROWS)
        body = bytearray(_PIECE[: (len(batch) - begin) * _TUPLE.itemsize])
        # Copied as bytes: NumPy copies such rows field by field, in four times the time.
        rows = np.frombuffer(body, _TUPLE)
        rows["time"] = batch.time[piece] - POSTGRES_EPOCH_US
        rows["sensor_id"] = batch.sensor_id[piece]
        rows["value"] = batch.value[piece]
        rows["quality"] = batch.quality[piece]
        yield body
    yield _COPY_TRAILER


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of each reading of a batch: masks over its positions, exactly one of them true for each."""

    stored: npt.NDArray[np.bool_]
    duplicate: npt.NDArray[np.bool_]
    """the same value was there for this sensor and instant, of the same quality or a worse one: the checks at the door
    lower what was sent, and what they lowered is as it was sent when it is sent again"""
    conflicting: npt.NDArray[np.bool_]
    """another value was there first, or a better quality; the first one stays"""


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
        if self._expect_collisions or not await self._copied(connection, instants.fresh_readings()):
            await self._write_around(connection, instants)

        stored = np.empty(len(batch), np.bool_)
        duplicate = np.empty(len(batch), np.bool_)
        stored[order] = instants.fresh
        duplicate[order] = instants.equal() & ~instants.fresh
        return Written(stored=stored, duplicate=duplicate, conflicting=~(stored | duplicate))

    async def _write_around(self, connection: asyncpg.Connection, instants: "_Instants") -> None:
        """Look which instants are taken, and write the others."""
        while True:
            self._expect_collisions = instants.take(await _stored_at(connection, instants.fresh_readings()))
            if await self._copied(connection, instants.fresh_readings()):
                return
            # Another writer stored one of these rows between the look and the COPY: look again.

    @staticmethod
    async def _copied(connection: asyncpg.Connection, batch: ReadingBatch) -> bool:
        """Whether the whole batch went in; nothing of it did if not."""
        if not len(batch):
            return True
        body = encode_copy(batch)
        try:
            async with connection.transaction():
                # As one buffer: from a file or an iterator asyncpg (0.32) would wait for ever for a server that went
                # away while it took the rows; the loss of a connection does not wake a COPY that waits to write on.
                await connection.copy_to_table("reading", source=memoryview(body), columns=_COLUMNS, format="binary")
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
        self._first = self.fresh.copy()
        # What holds for an instant, at the position of its first reading.
        self._value = ordered.value
        self._quality = ordered.quality

    def fresh_readings(self) -> ReadingBatch:
        """What is to be written."""
        return self._ordered if self.fresh.all() else self._ordered.take(self.fresh)

    def take(self, stored: ReadingBatch) -> bool:
        """Instants for which the table holds these readings are taken. Whether any of ours is."""
        if not len(stored):
            return False
        positions = np.flatnonzero(self.fresh)
        both = ReadingBatch.concat([stored, self._ordered.take(positions)])
        # No instant is twice in either, so that equal ones are neighbours, the stored one before ours.
        order = both.order()
        before, after = order[:-1], order[1:]
        equal = (both.sensor_id[before] == both.sensor_id[after]) & (both.time[before] == both.time[after])
        theirs, ours = before[equal], positions[after[equal] - len(stored)]
        self.fresh[ours] = False
        self._value, self._quality = self._value.copy(), self._quality.copy()
        self._value[ours] = stored.value[theirs]
        self._quality[ours] = stored.quality[theirs]
        return len(ours) > 0

    def equal(self) -> npt.NDArray[np.bool_]:
        """Which readings say the same as what holds for their instant, or said it before their quality was lowered."""
        if self.fresh.all():
            return self.fresh
        first = np.flatnonzero(self._first)[np.cumsum(self._first) - 1]
        same: npt.NDArray[np.bool_] = self._ordered.value == self._value[first]
        same &= self._ordered.quality <= self._quality[first]
        return same


async def _stored_at(connection: asyncpg.Connection, wanted: ReadingBatch) -> ReadingBatch:
    """Stored readings, those at the instants of a sorted batch among them; none twice."""
    if not len(wanted):
        return wanted
    starts = np.ones(len(wanted), np.bool_)
    starts[1:] = (wanted.sensor_id[1:] != wanted.sensor_id[:-1]) | (np.diff(wanted.time) > _SPAN_GAP_US)
    found, whole = await _look(connection, wanted, np.flatnonzero(starts))
    if whole.all():
        return found
    # Too much is stored between these to read it all: one by one.
    rest = wanted.take(~whole[np.cumsum(starts) - 1])
    one_by_one, _ = await _look(connection, rest, np.arange(len(rest)))
    return ReadingBatch.concat([found, one_by_one])


async def _look(
    connection: asyncpg.Connection, wanted: ReadingBatch, begins: npt.NDArray[np.intp]
) -> tuple[ReadingBatch, npt.NDArray[np.bool_]]:
    """Stored readings of the spans that begin at these positions; which spans were read, the others being too full."""
    ends = np.append(begins[1:], len(wanted))
    limits = _SPAN_ROOM * (ends - begins) + 1
    sensor_ids = wanted.sensor_id[begins]
    row = await connection.fetchrow(
        _SQL["find_stored"],
        sensor_ids.tolist(),
        wanted.time[begins].tolist(),
        wanted.time[ends - 1].tolist(),
        limits.tolist(),
        to_datetime(wanted.time.min()),
        to_datetime(wanted.time.max()),
    )
    span = np.frombuffer(row["span"], ">i4") - 1
    whole = np.bincount(span, minlength=len(begins)) < limits
    stored = ReadingBatch.of(
        np.frombuffer(row["time"], ">i8") + POSTGRES_EPOCH_US,
        sensor_ids[span],
        np.frombuffer(row["value"], ">f8"),
        np.frombuffer(row["quality"], ">i2"),
    )
    return stored.take(whole[span]), whole
