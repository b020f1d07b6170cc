"""Readings for a backtest, in the order in which evaluation needs them, in bounded memory.

Out of a file they come in its own order: fine as it is where each sensor's readings ascend and every rule looks at one
sensor alone. Rules over several sensors need all of them side by side in time; then, and where a file is in no order,
it is laid out by hours on disk first (22 bytes a reading, in a temporary folder), and hours are read back in turn.

Out of the database they come in stretches of time, for all sensors together.
"""

import queue
import tempfile
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import numpy as np
import numpy.typing as npt

from telemetry.arrow_columns import ArrowColumns, Flaw, RawReadings
from telemetry.batch import ReadingBatch, to_datetime, to_micros
from telemetry.errors import ConfigurationError
from telemetry.ranges import read_readings
from telemetry.reading_files import ReadingSource

__all__ = ["DisorderError", "FileReadings", "Progress", "Seen", "bounds", "stored_readings"]

_AHEAD = 4
"""batches read while one is evaluated"""
_HOUR_US = 3_600_000_000
_BATCH_ROWS = 400_000
_LAID_OUT = np.dtype([("time", "<i8"), ("sensor_id", "<i4"), ("value", "<f8"), ("quality", "<i2")])

Progress = Callable[[int, float | None], None]
"""told readings so far, and the part that is done where that is known"""


class DisorderError(Exception):
    """A file's readings do not come in the order that is needed."""


@dataclass(slots=True, kw_only=True)
class Seen:
    """What was among the rows of a file or a table."""

    rows: int = 0
    readings: int = 0
    """of sensors that rules look at, in the range"""
    other: int = 0
    """of other sensors"""
    outside: int = 0
    """before or after the range"""
    flawed: int = 0
    """no readings: time, value or quality is missing or not understood"""
    repeated: int = 0
    """of a sensor and instant that was there already"""
    sensors: set[int] = field(default_factory=set)
    """that have readings in the range"""
    names: set[str] = field(default_factory=set)
    """of a file: every sensor's"""

    def note(self, batch: ReadingBatch) -> None:
        """Readings that are evaluated, sorted by sensor, not empty."""
        self.readings += len(batch)
        self.sensors.update(batch.sensor_id[_starts(batch)].tolist())


class FileReadings:
    """A table, narrowed down to some sensors and a range.

    Args:
        ids: sensors by name: those that are wanted.
        timezone: of times that have none.
    """

    def __init__(
        self,
        table: ReadingSource,
        ids: Mapping[str, int],
        begin: datetime | None,
        end: datetime | None,
        *,
        timezone: str | None = None,
    ) -> None:
        self._table = table
        self._columns = ArrowColumns(table.schema, timezone=timezone)
        self._ids = ids
        self._begin = np.iinfo(np.int64).min if begin is None else to_micros(begin)
        self._end = np.iinfo(np.int64).max if end is None else to_micros(end)

    def batches(self, seen: Seen, *, side_by_side: bool, on_progress: Progress) -> Iterator[ReadingBatch]:
        """Batches sorted by (sensor_id, time), each sensor strictly ascending over all of them.

        Args:
            side_by_side: no batch begins before the end of the one before: for rules over several sensors.

        Raises:
            DisorderError: the file is not in this order; `laid_out` is.
            ConfigurationError: it is damaged.
        """
        last = np.full(max(self._ids.values(), default=0) + 1, np.iinfo(np.int64).min, np.int64)
        reached = np.iinfo(np.int64).min
        for batch in self._narrowed(seen, on_progress):
            if not _ascending(batch):
                batch = _distinct(batch.sorted(), seen)  # noqa: PLW2901 the same readings
            if side_by_side and int(batch.time.min()) < reached:
                raise DisorderError
            reached = max(reached, int(batch.time.max()))
            starts = _starts(batch)
            sensors = batch.sensor_id[starts]
            if (batch.time[starts] <= last[sensors]).any():
                raise DisorderError
            last[sensors] = batch.time[np.append(starts[1:], len(batch)) - 1]
            seen.note(batch)
            yield batch

    @contextmanager
    def laid_out(self, seen: Seen, on_progress: Progress) -> Iterator[Iterator[ReadingBatch]]:
        """The same readings, side by side, whatever order the file has; by way of a temporary folder."""
        with tempfile.TemporaryDirectory(prefix="precursor-backtest-") as folder:
            hours = _Hours(Path(folder))
            for batch in self._narrowed(seen, on_progress):
                hours.add(batch)
            yield hours.batches(seen)

    def _narrowed(self, seen: Seen, on_progress: Progress) -> Iterator[ReadingBatch]:
        with closing(_ahead(self._read(seen))) as batches:
            for batch in batches:
                on_progress(seen.rows, None)
                if len(batch):
                    yield batch

    def _read(self, seen: Seen) -> Iterator[ReadingBatch]:
        for rows in self._table.batches(self._columns.names):
            yield self._narrow(self._columns.read(rows), seen)

    def _narrow(self, raw: RawReadings, seen: Seen) -> ReadingBatch:
        seen.rows += len(raw)
        names = [name for name in raw.names if name is not None]
        if not seen.names.issuperset(names):
            seen.names.update(names)
        known = np.array([self._ids.get(name, 0) if name is not None else 0 for name in raw.names], np.int32)
        sensor_id = known[raw.sensor]
        sound = (raw.flaw == Flaw.NONE) & np.isfinite(raw.value)
        inside = (raw.time >= self._begin) & (raw.time < self._end)
        kept = sound & inside & (sensor_id > 0)
        if kept.all():
            return ReadingBatch(time=raw.time, sensor_id=sensor_id, value=raw.value, quality=raw.quality)
        seen.flawed += int(np.count_nonzero(~sound))
        seen.outside += int(np.count_nonzero(sound & ~inside))
        seen.other += int(np.count_nonzero(sound & inside & (sensor_id == 0)))
        return ReadingBatch(
            time=raw.time[kept], sensor_id=sensor_id[kept], value=raw.value[kept], quality=raw.quality[kept]
        )


def bounds(table: ReadingSource, *, timezone: str | None, on_progress: Progress) -> tuple[datetime, datetime]:
    """The time of the first reading of a table, and one instant after the last.

    Raises:
        ConfigurationError: there is none, or the table cannot be understood.
    """
    columns = ArrowColumns(table.schema, timezone=timezone)
    first, last, rows = [], [], 0
    for batch in table.batches(columns.names):
        raw = columns.read(batch)
        rows += len(raw)
        time = raw.time[raw.flaw == Flaw.NONE]
        if time.size:
            first.append(int(time.min()))
            last.append(int(time.max()))
        on_progress(rows, None)
    if not first:
        raise ConfigurationError(f"{table.name!r} has no readings")
    return to_datetime(min(first)), to_datetime(max(last) + 1)


async def stored_readings(
    connection: asyncpg.Connection,
    sensor_ids: Sequence[int],
    begin: datetime,
    end: datetime,
    seen: Seen,
    *,
    on_progress: Progress,
) -> AsyncGenerator[ReadingBatch, None]:
    """Readings in [begin, end) out of the database, side by side. In a transaction of one snapshot."""
    step, at = timedelta(minutes=10), begin
    while at < end:
        until = min(at + step, end)
        batch = await read_readings(connection, sensor_ids, at, until)
        at = until
        step = max(min(step * min(4.0, _BATCH_ROWS / max(len(batch), 1)), timedelta(days=30)), timedelta(seconds=1))
        on_progress(seen.readings, (at - begin) / (end - begin))
        if len(batch):
            seen.rows += len(batch)
            seen.note(batch)
            yield batch


class _Hours:
    """Readings on disk, a file an hour."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._hours: set[int] = set()

    def add(self, batch: ReadingBatch) -> None:
        hour = batch.time // _HOUR_US
        order = np.argsort(hour, kind="stable")
        rows = np.empty(len(batch), _LAID_OUT)
        for name in ("time", "sensor_id", "value", "quality"):
            rows[name] = getattr(batch, name)[order]
        hours, starts = np.unique(hour[order], return_index=True)
        for number, part in zip(hours.tolist(), np.split(rows, starts[1:]), strict=True):
            with self._file(number).open("ab") as file:
                part.tofile(file)
        self._hours.update(hours.tolist())

    def batches(self, seen: Seen) -> Iterator[ReadingBatch]:
        held: list[ReadingBatch] = []
        for number in sorted(self._hours):
            rows = np.fromfile(self._file(number), _LAID_OUT)
            held.append(ReadingBatch.of(rows["time"], rows["sensor_id"], rows["value"], rows["quality"]))
            if sum(map(len, held)) >= _BATCH_ROWS:
                yield self._joined(held, seen)
                held = []
        if held:
            yield self._joined(held, seen)

    def _file(self, number: int) -> Path:
        return self._folder / f"{number}.readings"

    def _joined(self, held: Sequence[ReadingBatch], seen: Seen) -> ReadingBatch:
        # The whole order: readings of one instant stay in the order in which the file had them.
        batch = ReadingBatch.concat(held)
        batch = _distinct(batch.take(np.lexsort((batch.time, batch.sensor_id))), seen)
        seen.note(batch)
        return batch


def _starts(batch: ReadingBatch) -> npt.NDArray[np.intp]:
    """Where each sensor's readings begin in a batch that is sorted by sensor."""
    if batch.sensor_id[0] == batch.sensor_id[-1]:
        return np.zeros(1, np.intp)
    return np.concatenate(([0], np.flatnonzero(batch.sensor_id[1:] != batch.sensor_id[:-1]) + 1))


def _ascending(batch: ReadingBatch) -> bool:
    """Whether it is by (sensor_id, time), no instant of a sensor twice."""
    later = batch.time[1:] > batch.time[:-1]
    if later.all() and batch.sensor_id[0] == batch.sensor_id[-1]:
        return bool((batch.sensor_id == batch.sensor_id[0]).all())
    sensors = np.diff(batch.sensor_id)
    return bool(((sensors > 0) | ((sensors == 0) & later)).all())


def _distinct(batch: ReadingBatch, seen: Seen) -> ReadingBatch:
    """Of a sensor and instant the first reading, as in the store."""
    first = np.ones(len(batch), np.bool_)
    first[1:] = (np.diff(batch.sensor_id) != 0) | (np.diff(batch.time) != 0)
    if first.all():
        return batch
    seen.repeated += int(np.count_nonzero(~first))
    return batch.take(first)


def _ahead(batches: Iterator[ReadingBatch]) -> Generator[ReadingBatch, None, None]:
    """The same, read by a thread of their own: Arrow decodes while NumPy evaluates."""
    waiting: queue.Queue[ReadingBatch | BaseException | None] = queue.Queue(_AHEAD)
    given_up = threading.Event()

    def put(item: "ReadingBatch | BaseException | None") -> None:
        while not given_up.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def read() -> None:
        try:
            for batch in batches:
                put(batch)
                if given_up.is_set():
                    return
            put(None)
        except BaseException as error:  # told to whoever waits for the batches
            put(error)

    reader = threading.Thread(target=read, name="backtest reader", daemon=True)
    reader.start()
    try:
        while (item := waiting.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        given_up.set()
        reader.join()
