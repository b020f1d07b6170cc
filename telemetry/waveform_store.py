"""Waveforms in the database: written whole, listed without samples, read by range.

A block lasts one sample period for each sample. A range [begin, end) holds every block that overlaps it, also one that
began before: no block lasts longer than `MAX_DURATION`, so only that far back is looked for such.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

import asyncpg
import numpy as np

from telemetry.batch import EPOCH, to_micros
from telemetry.editions import Edition
from telemetry.errors import StateError, TransientError
from telemetry.samples import decode_samples, encode_samples
from telemetry.series import WAVEFORM
from telemetry.sql import load_queries
from telemetry.store import Written
from telemetry.waveforms import MAX_DURATION, InvalidWaveformError, Waveform, WaveformSummary

__all__ = ["WaveformStore", "list_waveforms", "read_waveform", "read_waveforms"]

_SQL = load_queries("telemetry", "waveforms.sql")
_INSTANT = timedelta(microseconds=1)
_AT_ONCE_BYTES = 16 * 2**20
"""samples that are in memory or in one statement at once, unless a single block has more"""
_PAGE = 1_000
_Item = TypeVar("_Item")
_Key = tuple[int, datetime]


class WaveformStore:
    """Writes blocks into `waveform`."""

    def __init__(self, edition: Edition) -> None:
        self._edition = edition

    async def make_room(self, connection: asyncpg.Connection, waveforms: Sequence[Waveform]) -> None:
        """Partitions for the blocks; before the transaction."""
        if waveforms:
            times = np.array([to_micros(waveform.time) for waveform in waveforms], np.int64)
            await self._edition.make_room(connection, times, WAVEFORM)

    async def write(self, connection: asyncpg.Connection, waveforms: Sequence[Waveform]) -> Written:
        """Store what is new, all of it or nothing, and say what was not; inside the caller's transaction.

        In any order; of several blocks of one sensor and instant the first one is stored. A block whose instant is
        taken by one that cannot be read is conflicting.

        Raises:
            TransientError: a block was thrown away while this one was compared with it.
        """
        firsts: dict[_Key, int] = {}
        for position, waveform in enumerate(waveforms):
            firsts.setdefault(_key(waveform), position)
        held: dict[_Key, Waveform | None] = {}
        stored = np.zeros(len(waveforms), np.bool_)
        async with connection.transaction():
            # Sorted: one lock order for all writers.
            ordered = [waveforms[firsts[key]] for key in sorted(firsts)]
            for group in _groups(ordered, lambda waveform: waveform.samples.nbytes):
                added = await _add(connection, group)
                stored[[firsts[key] for key in added]] = True
                held.update({key: waveforms[firsts[key]] for key in added})
                held.update(await _find(connection, [key for key in map(_key, group) if key not in added]))
        duplicate = np.zeros(len(waveforms), np.bool_)
        for position, waveform in enumerate(waveforms):
            first = held[_key(waveform)]
            duplicate[position] = not stored[position] and first is not None and waveform.says_the_same(first)
        return Written(stored=stored, duplicate=duplicate, conflicting=~stored & ~duplicate)


async def list_waveforms(
    connection: asyncpg.Connection,
    sensor_ids: Sequence[int],
    begin: datetime,
    end: datetime,
    *,
    limit: int,
    before: tuple[datetime, int] | None = None,
) -> Sequence[WaveformSummary]:
    """Blocks of these sensors that overlap [begin, end), the newest first, at most `limit`.

    `before`: (time, sensor_id) of the last block of the page before; the other arguments stay as they were.
    """
    # No sensor is below 0: the end itself is left out.
    last, last_sensor = before if before is not None and before[0] < end else (end, -1)
    rows = await connection.fetch(
        _SQL["list_waveforms"], list(sensor_ids), begin, _reach(begin), last, last_sensor, limit
    )
    return [WaveformSummary(**row) for row in rows]


async def read_waveforms(
    connection: asyncpg.Connection, sensor_ids: Sequence[int], begin: datetime, end: datetime
) -> AsyncIterator[Waveform]:
    """Blocks of these sensors that overlap [begin, end), sensor by sensor in the order given, the oldest first.

    At most 16 MiB of samples are in memory at once, whatever the range. The connection is free between blocks: blocks
    stored or thrown away meanwhile are in it or not; in a REPEATABLE READ transaction neither happens.

    Raises:
        StateError: a block is damaged; the message says which one, and what to do.
    """
    for sensor_id in sensor_ids:
        after = _reach(begin)
        while page := await connection.fetch(_SQL["measure_waveforms"], sensor_id, begin, end, after, _PAGE):
            for group in _groups(page, lambda row: int(row["samples"]) * np.float32().itemsize):
                blocks = await connection.fetch(
                    _SQL["read_waveforms"], sensor_id, begin, group[0]["time"], group[-1]["time"]
                )
                for row in blocks:
                    yield await asyncio.to_thread(_decoded, row)
            after = page[-1]["time"] + _INSTANT


async def read_waveform(connection: asyncpg.Connection, sensor_id: int, time: datetime) -> Waveform | None:
    """The block of a sensor that begins at exactly this time; None: there is none.

    Raises:
        StateError: it is damaged; the message says what to do.
    """
    row = await connection.fetchrow(_SQL["read_waveform"], sensor_id, time)
    return None if row is None else await asyncio.to_thread(_decoded, row)


async def _add(connection: asyncpg.Connection, waveforms: Sequence[Waveform]) -> set[_Key]:
    bodies = await asyncio.to_thread(lambda: [encode_samples(waveform.samples) for waveform in waveforms])
    rows = await connection.fetch(
        _SQL["add_waveforms"],
        [waveform.time for waveform in waveforms],
        [waveform.sensor_id for waveform in waveforms],
        [waveform.sample_rate_hz for waveform in waveforms],
        [waveform.unit for waveform in waveforms],
        [waveform.samples.size for waveform in waveforms],
        bodies,
    )
    return {(row["sensor_id"], row["time"]) for row in rows}


async def _find(connection: asyncpg.Connection, keys: Sequence[_Key]) -> dict[_Key, Waveform | None]:
    """Blocks as they are stored; None: it cannot be read."""
    if not keys:
        return {}
    rows = await connection.fetch(_SQL["find_waveforms"], [key[0] for key in keys], [key[1] for key in keys])
    if len(rows) < len(keys):
        raise TransientError("a waveform was thrown away while another was compared with it; try again")
    found: dict[_Key, Waveform | None] = {}
    for row in rows:
        try:
            found[row["sensor_id"], row["time"]] = await asyncio.to_thread(_decoded, row)
        except StateError:
            found[row["sensor_id"], row["time"]] = None
    return found


def _decoded(row: asyncpg.Record) -> Waveform:
    try:
        samples = decode_samples(row["body"])
        if samples.size != row["samples"]:
            raise StateError(f"the body has {samples.size} samples, the row says {row['samples']}")
        return Waveform(
            sensor_id=row["sensor_id"],
            time=row["time"],
            sample_rate_hz=row["sample_rate_hz"],
            unit=row["unit"],
            samples=samples,
        )
    except (StateError, InvalidWaveformError) as error:
        raise StateError(
            f"the waveform of sensor {row['sensor_id']} at {row['time'].isoformat()} cannot be read: {error}; restore"
            " this row of `waveform` from a backup, or delete it and have the block sent again"
        ) from error


def _key(waveform: Waveform) -> _Key:
    return waveform.sensor_id, waveform.time


def _reach(begin: datetime) -> datetime:
    """The earliest begin of a block that may overlap a range which begins then."""
    return max(begin, EPOCH) - MAX_DURATION


def _groups(items: Iterable[_Item], size: Callable[[_Item], int]) -> Iterator[list[_Item]]:
    """The items in order, in lists of at most `_AT_ONCE_BYTES`, or of a single item."""
    group: list[_Item] = []
    total = 0
    for item in items:
        if group and total + size(item) > _AT_ONCE_BYTES:
            yield group
            group, total = [], 0
        group.append(item)
        total += size(item)
    if group:
        yield group
