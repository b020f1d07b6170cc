"""Files of readings: Parquet and Arrow, written piece by piece under another name first, and read piece by piece."""

import contextlib
import json
import math
import os
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import asyncpg
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from telemetry.arrow import EARLIEST, LATEST, ReadingEncoder
from telemetry.arrow_columns import is_text
from telemetry.batch import to_datetime, to_micros
from telemetry.catalogue import load_catalogue
from telemetry.errors import ConfigurationError
from telemetry.ranges import stream_readings

__all__ = ["Exported", "ReadingFile", "ReadingSource", "ReadingTable", "check_target", "export_readings"]

_PARQUET = frozenset({".parquet", ".pq"})
_ARROW = frozenset({".arrow", ".feather"})
_ROWS_A_GROUP = 131_072
"""of Parquet, and of an Arrow batch: small enough for bounds to spare most of a file, large enough to compress"""
_TICKS_PER_S = {"milliseconds": 1_000, "microseconds": 1_000_000, "nanoseconds": 1_000_000_000}
_DAY_US = 86_400_000_000
_EXPECTED = "expected a Parquet file, or an Arrow (Feather) file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What one export wrote."""

    readings: int
    sensors: int
    """that have readings in it"""
    first: datetime | None
    """time of the earliest reading; None: there is none"""
    last: datetime | None


def check_target(path: Path, *, force: bool = False) -> None:
    """Refuse a file that cannot be written, before any work.

    Raises:
        ConfigurationError: the ending says no format, the folder is not there, or the file is (without `force`).
    """
    if path.suffix.lower() not in _PARQUET | _ARROW:
        raise ConfigurationError(
            f"{path.name!r} does not say its format: end it in .parquet (or .pq), or in .arrow (or .feather)"
        )
    if not path.parent.is_dir():
        raise ConfigurationError(f"there is no folder {str(path.parent)!r} to write {path.name!r} to")
    if path.is_dir():
        raise ConfigurationError(f"{str(path)!r} is a folder; name a file")
    if path.exists() and not force:
        raise ConfigurationError(f"{str(path)!r} is there already; name another file, or replace it with --force")


async def export_readings(
    connection: asyncpg.Connection,
    target: Path | BinaryIO,
    *,
    sensors: Collection[str] = (),
    assets: Collection[str] = (),
    begin: datetime = EARLIEST,
    end: datetime = LATEST,
    force: bool = False,
    made_by: str = "precursor",
    on_progress: Callable[[int, float], None] = lambda readings, part: None,
) -> Exported:
    """Write the readings in [begin, end) of these sensors and of these assets and their parts; no name: of all.

    To a file, Parquet or Arrow by its ending, which is there whole or not at all; to an open binary file as an Arrow
    stream. One snapshot, by sensor in the order of the plant, then by time; memory is that of a row group.
    `on_progress` is told readings written so far and the part of the sensors that are done. Outside a transaction.

    Raises:
        ConfigurationError: a name is unknown, or the file cannot be written.
    """
    chosen = (await load_catalogue(connection)).select(sensors=sensors, assets=assets)
    encoder = ReadingEncoder(chosen, made_by=made_by)
    ids = sorted(sensor.id for sensor in chosen)
    readings, found = 0, set[int]()
    first: int | None = None
    last: int | None = None
    with _opened(target, encoder.schema, force=force) as write:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            async for batch in stream_readings(connection, ids, begin, end, batch_rows=_ROWS_A_GROUP):
                write(encoder.encode(batch))
                readings += len(batch)
                found.update(np.unique(batch.sensor_id).tolist())
                earliest, latest = int(batch.time.min()), int(batch.time.max())
                first = earliest if first is None else min(first, earliest)
                last = latest if last is None else max(last, latest)
                on_progress(readings, ids.index(int(batch.sensor_id[-1])) / len(ids))
    return Exported(
        readings=readings,
        sensors=len(found),
        first=None if first is None else to_datetime(first),
        last=None if last is None else to_datetime(last),
    )


_Write = Callable[[pa.RecordBatch], None]


@contextlib.contextmanager
def _opened(target: Path | BinaryIO, schema: pa.Schema, *, force: bool) -> Iterator[_Write]:
    """Takes record batches; a file has its name once all of them are in."""
    with contextlib.ExitStack() as cleanup:
        if isinstance(target, Path):
            check_target(target, force=force)
            partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
            with _told(target):
                file: BinaryIO = partial.open("xb")
            cleanup.callback(partial.unlink, missing_ok=True)
            cleanup.enter_context(file)
        else:
            file = target
        with _told(target):
            writer = _writer(target, file, schema)
        cleanup.callback(_closed_quietly, writer)

        def write(rows: pa.RecordBatch) -> None:
            with _told(target):
                writer.write_batch(rows)

        yield write
        with _told(target):
            writer.close()
            file.flush()
            if isinstance(target, Path):
                # Before it gets its name: after a power failure there is no empty file with it.
                os.fsync(file.fileno())
                partial.replace(target)


def _writer(target: Path | BinaryIO, file: BinaryIO, schema: pa.Schema) -> Any:
    if not isinstance(target, Path):
        return pa.ipc.new_stream(file, schema)
    if target.suffix.lower() in _ARROW:
        return pa.ipc.new_file(file, schema, options=pa.ipc.IpcWriteOptions(compression="zstd"))
    return pq.ParquetWriter(
        file,
        schema,
        compression="zstd",
        use_dictionary=["sensor", "quality"],
        # Steps between times are small and alike: a third of the file is saved.
        column_encoding={"time": "DELTA_BINARY_PACKED"},
        write_page_checksum=True,
    )


def _closed_quietly(writer: Any) -> None:
    # After a failure: the file goes anyway, and a full disk would have its say a second time.
    with contextlib.suppress(OSError, pa.ArrowException):
        writer.close()


@contextlib.contextmanager
def _told(target: Path | BinaryIO) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        name = repr(str(target)) if isinstance(target, Path) else "the stream"
        raise ConfigurationError(f"cannot write {name}: {error.strerror or error}") from error


class ReadingSource(Protocol):
    """A table of readings that is read as often as needed, piece by piece."""

    name: str
    """for people, and for the ledger"""
    schema: pa.Schema

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """These columns of all rows, in the order of the table."""


class ReadingTable:
    """A table in memory."""

    def __init__(self, table: pa.Table, name: str) -> None:
        self.name = name
        self.schema = table.schema
        self._table = table

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """These columns of all rows."""
        yield from self._table.select(list(columns)).to_batches(max_chunksize=_ROWS_A_GROUP)


class ReadingFile:
    """A Parquet or Arrow file, told apart by how it begins.

    Args:
        begin: of Parquet, row groups that end before this moment by their statistics are passed over; the rest is as
            it is, so that rows outside [begin, end) can still come.
        end: likewise those that begin at this moment or later.

    Raises:
        ConfigurationError: it is neither, or damaged; the message says what is expected.
    """

    def __init__(self, path: Path, *, begin: datetime | None = None, end: datetime | None = None) -> None:
        self.name = path.name
        self._path = path
        self._begin_us = -math.inf if begin is None else to_micros(begin)
        self._end_us = math.inf if end is None else to_micros(end)
        self._form = _form(path)
        self._texts: list[str] = []
        with self._told(), self._open() as file:
            self.schema: pa.Schema = file.schema_arrow if self._form == "parquet" else file.schema
        # As dictionaries: what repeats is decoded once.
        self._texts = [field.name for field in self.schema if is_text(field.type)]

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """These columns of all rows, but those that are passed over.

        Raises:
            ConfigurationError: the file is damaged further on.
        """
        rows = 0
        with self._told(lambda: f" after {rows:,} rows"), self._open() as file:
            for batch in self._pieces(file, list(columns)):
                yield batch
                rows += len(batch)

    def _pieces(self, file: Any, columns: list[str]) -> Iterator[pa.RecordBatch]:
        if self._form == "parquet":
            groups = _row_groups(file, self._begin_us, self._end_us)
            yield from file.iter_batches(batch_size=_ROWS_A_GROUP, row_groups=groups, columns=columns)
            return
        batches = file if self._form == "stream" else map(file.get_batch, range(file.num_record_batches))
        for batch in batches:
            for offset in range(0, len(batch), _ROWS_A_GROUP):
                yield batch.select(columns).slice(offset, _ROWS_A_GROUP)

    @contextlib.contextmanager
    def _open(self) -> Iterator[Any]:
        if self._form == "parquet":
            # Through a buffer: not a whole row group at a time.
            with pq.ParquetFile(
                self._path, read_dictionary=self._texts, buffer_size=1 << 20, page_checksum_verification=True
            ) as file:
                yield file
        elif self._form == "stream":
            with pa.OSFile(str(self._path)) as raw, pa.ipc.open_stream(raw) as file:
                yield file
        else:
            with pa.memory_map(str(self._path)) as raw, pa.ipc.open_file(raw) as file:
                yield file

    @contextlib.contextmanager
    def _told(self, where: Callable[[], str] = lambda: "") -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            said = str(error).partition("\n")[0].partition(". ")[0][:200]
            raise ConfigurationError(
                f"{self.name!r} is damaged or was cut off{where()} ({said}): make it, or copy it, anew; {_EXPECTED}"
            ) from error


def _row_groups(file: pq.ParquetFile, begin_us: float, end_us: float) -> list[int]:
    """Those that may have times in the range, by what the file says of them; one of which it says nothing may."""
    groups, columns = range(file.num_row_groups), range(len(file.schema))
    place = next((each for each in columns if file.schema.column(each).path == "time"), None)
    kind = {} if place is None else json.loads(file.schema.column(place).logical_type.to_json())
    ticks_per_s = _TICKS_PER_S.get(kind.get("timeUnit", ""))
    if ticks_per_s is None:
        return list(groups)
    # Local times: no clock is a day away from UTC.
    margin = 0 if kind["isAdjustedToUTC"] else _DAY_US

    def may_have_some(group: int) -> bool:
        known = file.metadata.row_group(group).column(place).statistics
        if known is None or not known.has_min_max:
            return True
        first: int = known.min_raw * 1_000_000 // ticks_per_s
        last: int = known.max_raw * 1_000_000 // ticks_per_s
        return last >= begin_us - margin and first < end_us + margin

    return [group for group in groups if may_have_some(group)]


def _form(path: Path) -> str:
    """`parquet`, `file` or `stream` (both Arrow), by the first bytes."""
    with path.open("rb") as file:
        head = file.read(8)
    for form, marks in (("parquet", b"PAR1"), ("file", b"ARROW1"), ("stream", b"\xff\xff\xff\xff")):
        if head.startswith(marks):
            return form
    if head.startswith(b"FEA1"):
        raise ConfigurationError(f"{path.name!r} is a Feather file of the first version; write it anew in the second")
    if not head:
        raise ConfigurationError(f"{path.name!r} is empty; {_EXPECTED}")
    hint = "; a CSV file goes through `precursor replay`" if path.suffix.lower() in {".csv", ".txt"} else ""
    raise ConfigurationError(f"{path.name!r} is no Parquet or Arrow file; {_EXPECTED}{hint}")
