"""Readings of a range, as they are stored: at once, or batch by batch."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

import asyncpg
import numpy as np
import numpy.typing as npt

from telemetry.batch import ReadingBatch, to_datetime, to_micros
from telemetry.copy_rows import POSTGRES_EPOCH_US, fetch_rows, row_type
from telemetry.errors import StateError
from telemetry.sql import load_queries

__all__ = ["read_neighbours", "read_readings", "stream_readings"]

_SQL = load_queries("telemetry", "ranges.sql")
_READING = row_type(time="i8", sensor_id="i4", value="f8", quality="i2")
_INSTANT = timedelta(microseconds=1)


async def read_readings(
    connection: asyncpg.Connection, sensor_ids: Sequence[int], begin: datetime, end: datetime
) -> ReadingBatch:
    """All readings of these sensors in [begin, end), of every quality, by (sensor_id, time).

    One statement, one snapshot. Takes about 60 bytes of memory a reading: for long ranges see `stream_readings`.
    """
    wanted = _distinct(sensor_ids)
    return await _page(connection, wanted, [begin] * len(wanted), begin, end, None)


async def stream_readings(
    connection: asyncpg.Connection,
    sensor_ids: Sequence[int],
    begin: datetime,
    end: datetime,
    *,
    batch_rows: int = 100_000,
) -> AsyncIterator[ReadingBatch]:
    """The same readings in the same order, in batches of `batch_rows`; the last one may be smaller, none is empty.

    Memory is that of a batch, here and on the server. Each batch is a statement of its own: the connection is free
    between them, and readings stored meanwhile are in it or not; in a REPEATABLE READ transaction they are not.
    """
    if batch_rows < 1:
        raise ValueError(f"batch_rows is {batch_rows}; a batch holds at least one reading")
    wanted = _distinct(sensor_ids)
    begins = [begin] * len(wanted)
    while wanted:
        batch = await _page(connection, wanted, begins, begin, end, batch_rows)
        if len(batch):
            yield batch
        if len(batch) < batch_rows:
            return
        done = int(np.searchsorted(wanted, batch.sensor_id[-1]))
        wanted = wanted[done:]
        begins = [to_datetime(int(batch.time[-1])) + _INSTANT, *begins[done + 1 :]]


async def read_neighbours(
    connection: asyncpg.Connection, sensor_ids: Sequence[int], begin: datetime, end: datetime
) -> ReadingBatch:
    """Of each sensor its last reading before `begin` and its first one at or after `end`, by (sensor_id, time)."""
    batch = await _fetch(connection, _SQL["read_neighbours"], _distinct(sensor_ids), begin, end)
    return batch.sorted()


def _distinct(sensor_ids: Sequence[int]) -> list[int]:
    found: list[int] = np.unique(np.asarray(sensor_ids, np.int32)).tolist()
    return found


async def _page(
    connection: asyncpg.Connection,
    wanted: Sequence[int],
    begins: Sequence[datetime],
    begin: datetime,
    end: datetime,
    limit: int | None,
) -> ReadingBatch:
    if to_micros(begin) >= to_micros(end) or not wanted:
        return ReadingBatch.empty()
    batch = await _fetch(connection, _SQL["read_readings"], wanted, begins, begin, end, limit)
    if not _ordered(batch):
        # SQL promises no order without ORDER BY, which would sort whole ranges; a nested loop has it by itself.
        raise StateError(
            "readings came out of order: the plan of read_readings is not the nested loop it is meant to be"
        )
    return batch


async def _fetch(connection: asyncpg.Connection, query: str, *arguments: object) -> ReadingBatch:
    rows = await fetch_rows(connection, query, *arguments, row=_READING)
    return ReadingBatch(
        time=rows["time"].astype(np.int64) + POSTGRES_EPOCH_US,
        sensor_id=rows["sensor_id"].astype(np.int32),
        value=rows["value"].astype(np.float64),
        quality=rows["quality"].astype(np.int16),
    )


def _ordered(batch: ReadingBatch) -> bool:
    sensors: npt.NDArray[np.int32] = np.diff(batch.sensor_id)
    return bool(((sensors > 0) | ((sensors == 0) & (np.diff(batch.time) > 0))).all())
