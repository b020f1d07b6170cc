"""CSV files as tables of readings, whichever way they are laid out.

*Long*: columns time, sensor, value and, if there is one, quality: a reading a row. *Wide*: a column of times and one a
sensor, as loggers write them: columns that are called like sensors of the plant, or that a topic map names.
"""

import csv
import gzip
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from simulators.topic_map import TopicMap
from telemetry.batch import to_micros
from telemetry.errors import ConfigurationError

__all__ = ["CsvReadings"]

_DELIMITERS = ";,\t|"
_BLOCK_BYTES = 4 << 20
_LONG = ("time", "sensor", "value")
_EXPECTED = (
    "expected columns time, sensor, value and perhaps quality; or a column time and one for each sensor, called like"
    " it; or --topic-map, which says which column is which"
)
_UTC = pa.timestamp("us", "UTC")
_NAMES = pa.dictionary(pa.int32(), pa.string())


class CsvReadings:
    """A CSV file (plain or `.gz`, with a header line) as a `telemetry.reading_files.ReadingSource`.

    Args:
        sensors: names of sensors, to tell the columns of a wide file by.

    Raises:
        ConfigurationError: it cannot be read, or it has not the columns that are needed.
    """

    def __init__(self, path: Path, sensors: Collection[str], topic_map: TopicMap | None = None) -> None:
        self.name = path.name
        self._path = path
        header, first = self._head(None if topic_map is None else topic_map.delimiter)
        self._time = "time" if topic_map is None else topic_map.time.column
        self._columns: Mapping[str, str] = {}
        """of a wide file: column and sensor; empty: the file is long"""
        if topic_map is not None:
            topic_map.check_header(header, str(path))
            self._columns = {target.column: target.sensor for target in topic_map.columns}
        elif not set(_LONG) <= set(header):
            self._columns = {name: name for name in header if name in set(sensors)}
            if "time" not in header or not self._columns:
                raise ConfigurationError(f"{self.name!r} has the columns {', '.join(header[:20])}; {_EXPECTED}")
        self._counting = None if topic_map is None else _counting(topic_map)
        shown = dict(zip(header, first, strict=False)).get(self._time)
        # Without a single row there is no time that could lack a zone.
        self._zoned = self._counting is None and (shown is None or _has_zone(shown))
        time = _UTC if self._counting or self._zoned else pa.timestamp("us")
        fields = [("time", time), ("sensor", _NAMES), ("value", pa.float64())]
        if not self._columns and "quality" in header:
            fields.append(("quality", pa.string()))
        self.schema = pa.schema(fields)

    def batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """These columns of all rows.

        Raises:
            ConfigurationError: a line is not like the others, or something in it is no number or no time.
        """
        wanted = (self._time, *(self._columns or [name for name in self.schema.names if name != "time"]))
        kinds = {name: pa.float64() for name in self._columns} or {
            "sensor": pa.string(), "value": pa.float64(), "quality": pa.string(),
        }  # fmt: skip
        kinds[self._time] = pa.float64() if self._counting else self.schema.field("time").type
        try:
            with pacsv.open_csv(
                str(self._path),
                read_options=pacsv.ReadOptions(block_size=_BLOCK_BYTES),
                parse_options=pacsv.ParseOptions(delimiter=self._delimiter),
                convert_options=pacsv.ConvertOptions(
                    column_types=kinds, include_columns=list(wanted), strings_can_be_null=True
                ),
            ) as blocks:
                for block in blocks:
                    yield self._readings(block).select(list(columns))
        except (OSError, pa.ArrowException) as error:
            said = str(error).partition("\n")[0].partition(". If")[0][:300]
            raise ConfigurationError(f"{self.name!r} cannot be read: {said}; {_EXPECTED}") from error

    def _readings(self, block: pa.RecordBatch) -> pa.RecordBatch:
        time = block.column(self._time)
        if self._counting is not None:
            unit_s, start = self._counting
            micros = pc.round(pc.multiply(time, unit_s * 1e6)).cast(pa.int64())
            time = pc.add(micros, to_micros(start)).cast(_UTC)
        if not self._columns:
            parts = [time, block.column("sensor").dictionary_encode(), block.column("value")]
            if "quality" in self.schema.names:
                parts.append(block.column("quality"))
            return pa.RecordBatch.from_arrays(parts, schema=self.schema)
        rows, names = len(block), pa.array(self._columns.values(), pa.string())
        place = pa.array(np.repeat(np.arange(len(names), dtype=np.int32), rows))
        value = pa.concat_arrays([block.column(column) for column in self._columns])
        # A field that is empty is no reading, and no fault either: loggers write what they have.
        return pa.RecordBatch.from_arrays(
            [pa.concat_arrays([time] * len(names)), pa.DictionaryArray.from_arrays(place, names), value],
            schema=self.schema,
        ).filter(pc.is_valid(value))

    def _head(self, delimiter: str | None) -> tuple[list[str], list[str]]:
        try:
            # utf-8-sig: spreadsheets put a byte-order mark in front of the first column's name.
            with (
                gzip.open(self._path, "rt", encoding="utf-8-sig", newline="")
                if self._path.suffix == ".gz"
                else self._path.open(encoding="utf-8-sig", newline="")
            ) as file:
                lines = [file.readline(), file.readline()]
        except (OSError, EOFError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{self.name!r} cannot be read: {error}") from error
        if not lines[0].strip():
            raise ConfigurationError(f"{self.name!r} is empty; {_EXPECTED}")
        self._delimiter = delimiter or max(_DELIMITERS, key=lines[0].count)
        header, first = (next(csv.reader([line], delimiter=self._delimiter), []) for line in lines)
        return header, first


def _counting(topic_map: TopicMap) -> tuple[float, datetime] | None:
    """Seconds a unit, and from when on, of a time column that counts; None: it has dates and times."""
    time = topic_map.time
    if time.unit_s is None:
        return None
    if time.start is None:
        raise ConfigurationError(
            f"{topic_map.path}: time.start: missing; the column {time.column!r} counts from a moment: give it"
        )
    return time.unit_s, time.start


def _has_zone(text: str) -> bool:
    try:
        return datetime.fromisoformat(text.strip()).tzinfo is not None
    except ValueError:
        return text.strip().endswith(("Z", "z"))
