"""Tables of readings as others write them: which columns and types are understood, and what they say in ours."""

import zoneinfo
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from telemetry.batch import ReadingBatch
from telemetry.catalogue import name_list
from telemetry.errors import ConfigurationError
from telemetry.quality import Quality

__all__ = ["COLUMNS", "ArrowColumns", "Flaw", "RawReadings", "from_table", "is_text"]

COLUMNS = ("time", "sensor", "value", "quality")
"""the columns that are read; `quality` may be missing, others are passed over"""

_EXPECTED = (
    "expected a table with columns time (timestamp with a time zone), sensor (text), value (number)"
    " and, if there is one, quality (good, uncertain, bad, stale or 0 to 3)"
)
_MICROS_PER = {"s": 1_000_000, "ms": 1_000, "us": 1}
_INT64_MAX = 2**63 - 1
_CODES = {quality.name.lower(): int(quality) for quality in Quality}
_UNKNOWN = -1


class Flaw(IntEnum):
    """What keeps a row from being a reading, whatever the plant is."""

    NONE = 0
    MISSING_TIME = 1
    AMBIGUOUS_TIME = 2
    """a local time that comes twice, or never, because clocks are set that night"""
    MISSING_VALUE = 3
    UNKNOWN_QUALITY = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RawReadings:
    """Rows of a table as columns of equal length, not looked at through a plant yet."""

    time: npt.NDArray[np.int64]
    """microseconds since 1970-01-01 UTC; what int64 cannot hold is its nearest end"""
    names: tuple[str | None, ...]
    """sensors' names as the table has them"""
    sensor: npt.NDArray[np.int32]
    """position in `names`"""
    value: npt.NDArray[np.float64]
    quality: npt.NDArray[np.int16]
    flaw: npt.NDArray[np.int8]
    """a `Flaw`: the first one a row has"""

    def __len__(self) -> int:
        return int(self.time.size)

    @classmethod
    def concat(cls, pieces: Sequence["RawReadings"]) -> "RawReadings":
        """All rows of the pieces, at least one, in the order given."""
        if len(pieces) == 1:
            return pieces[0]
        starts = np.cumsum([0, *(len(piece.names) for piece in pieces[:-1])])
        return cls(
            time=np.concatenate([piece.time for piece in pieces]),
            names=tuple(name for piece in pieces for name in piece.names),
            sensor=np.concatenate([p.sensor + np.int32(start) for p, start in zip(pieces, starts, strict=True)]),
            value=np.concatenate([piece.value for piece in pieces]),
            quality=np.concatenate([piece.quality for piece in pieces]),
            flaw=np.concatenate([piece.flaw for piece in pieces]),
        )


class ArrowColumns:
    """How the columns of one schema are read. Made once for a table, it refuses what cannot be understood.

    Raises:
        ConfigurationError: a column is missing or of a type that does not fit; the message says what is expected.
    """

    def __init__(self, schema: pa.Schema, *, timezone: str | None = None) -> None:
        _require_columns(schema)
        _require_text(schema.field("sensor").type)
        self.names = [name for name in COLUMNS if name in schema.names]
        """the columns to read"""
        self._micros = _time_reader(schema.field("time").type, timezone)
        self._numbers = _number_reader(schema.field("value").type)
        self._qualities = _quality_reader(schema.field("quality").type) if "quality" in self.names else None

    def read(self, rows: pa.RecordBatch) -> RawReadings:
        """Some rows of the table."""
        time, ambiguous = self._micros(rows.column("time"))
        names, sensor = _dictionary(rows.column("sensor"))
        value = self._numbers(rows.column("value"))
        flaw = np.zeros(len(rows), np.int8)
        quality = np.zeros(len(rows), np.int16)
        if self._qualities is not None:
            quality = self._qualities(rows.column("quality"))
            flaw[quality == _UNKNOWN] = Flaw.UNKNOWN_QUALITY
        # The gravest last: it is the one that is told.
        flaw[_nulls(rows.column("value"))] = Flaw.MISSING_VALUE
        flaw[ambiguous] = Flaw.AMBIGUOUS_TIME
        flaw[_nulls(rows.column("time"))] = Flaw.MISSING_TIME
        return RawReadings(time=time, names=names, sensor=sensor, value=value, quality=quality, flaw=flaw)


def from_table(table: pa.Table, ids: Mapping[str, int], *, timezone: str | None = None) -> ReadingBatch:
    """A table as a batch, in the table's order; `ids` says which `sensor.id` a name is.

    For tables that are known to be sound, such as those of `telemetry.arrow.read_table`; what may hold anything goes
    through `precursor.exchange`, which tells readings from the rest.

    Raises:
        ConfigurationError: the columns do not fit, a sensor is not in `ids`, or a row is not a reading.
    """
    columns = ArrowColumns(table.schema, timezone=timezone)
    batches = []
    for rows in table.select(columns.names).to_batches():
        raw = columns.read(rows)
        unknown = sorted({str(raw.names[position]) for position in np.unique(raw.sensor)} - ids.keys())
        if unknown:
            raise ConfigurationError(f"the table names sensors that ids does not have: {name_list(unknown, ids)}")
        if raw.flaw.any() or not np.isfinite(raw.value).all():
            flaws = (raw.flaw != Flaw.NONE) | ~np.isfinite(raw.value)
            raise ConfigurationError(
                f"{int(flaws.sum()):,} rows are no readings: time, value or quality is missing or not understood;"
                " drop them first, or import the table with precursor.exchange, which counts them"
            )
        known = np.array([ids.get(str(name), 0) for name in raw.names], np.int32)
        batches.append(ReadingBatch(time=raw.time, sensor_id=known[raw.sensor], value=raw.value, quality=raw.quality))
    return ReadingBatch.concat(batches)


def _require_columns(schema: pa.Schema) -> None:
    for name in COLUMNS:
        count = schema.names.count(name)
        if count > 1:
            raise ConfigurationError(f"the column {name} is there {count} times; {_EXPECTED}")
        if count == 0 and name != "quality":
            found = ", ".join(schema.names[:20]) or "none"
            raise ConfigurationError(f"there is no column {name} among those there are ({found}); {_EXPECTED}")


_Micros = Callable[[pa.Array], tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]]


def _time_reader(kind: pa.DataType, timezone: str | None) -> _Micros:
    """Reads times to µs, and says which local ones are not one moment."""
    if not pa.types.is_timestamp(kind):
        raise ConfigurationError(f"the column time is {kind}, not a timestamp; {_EXPECTED}")
    if kind.tz is not None and timezone is not None:
        raise ConfigurationError(f"the times carry their zone ({kind.tz}): leave the time zone {timezone!r} out")
    if kind.tz is None and timezone is None:
        raise ConfigurationError(
            "the times have no time zone: say which one they are in with --timezone (in Python timezone=),"
            " UTC or a name such as Europe/Berlin"
        )
    if timezone is not None:
        _require_timezone(timezone)
    unit = kind.unit

    def read(column: pa.Array) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
        if timezone is None:
            return _micros(column, unit), np.zeros(len(column), np.bool_)
        first, last = (
            _micros(pc.assume_timezone(column, timezone, ambiguous=which, nonexistent=which), unit)
            for which in ("earliest", "latest")
        )
        return first, first != last

    return read


def _require_timezone(timezone: str) -> None:
    try:
        zoneinfo.ZoneInfo(timezone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        told = name_list([timezone], zoneinfo.available_timezones())
        raise ConfigurationError(
            f"there is no time zone {told}; expected UTC or a name such as Europe/Berlin"
        ) from error


def _micros(column: pa.Array, unit: str) -> npt.NDArray[np.int64]:
    # A null is whatever the buffer has there; its row is marked by the caller.
    stamps: npt.NDArray[np.int64] = column.view(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
    if unit == "ns":
        return stamps // 1_000
    factor = _MICROS_PER[unit]
    if factor == 1:
        return stamps
    most = _INT64_MAX // factor
    scaled: npt.NDArray[np.int64] = np.clip(stamps, -most, most) * factor
    return scaled


def _require_text(kind: pa.DataType) -> None:
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not is_text(values):
        raise ConfigurationError(f"the column sensor is {kind}, not text; {_EXPECTED}")


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is text, in whichever of Arrow's layouts."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _dictionary(column: pa.Array) -> tuple[tuple[Any, ...], npt.NDArray[np.int32]]:
    """Distinct values and, for each row, the position of its own; a null is a value None."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    values = (*column.dictionary.to_pylist(), None)
    # int64 first: an index type too narrow for one value more would wrap around.
    position = column.indices.cast(pa.int64()).fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
    return values, position.astype(np.int32)


def _number_reader(kind: pa.DataType) -> Callable[[pa.Array], npt.NDArray[np.float64]]:
    if not (
        pa.types.is_floating(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_decimal(kind)
    ):
        raise ConfigurationError(f"the column value is {kind}, not a number; {_EXPECTED}")

    def read(column: pa.Array) -> npt.NDArray[np.float64]:
        # Not safe: an integer beyond 2**53 becomes the nearest float64, as one that comes by MQTT does.
        numbers = column.cast(pa.float64(), safe=False).fill_null(np.nan)
        found: npt.NDArray[np.float64] = numbers.to_numpy(zero_copy_only=False)
        return found

    return read


def _quality_reader(kind: pa.DataType) -> Callable[[pa.Array], npt.NDArray[np.int16]]:
    """Reads quality codes; a null is good, as in a message that has none, and -1 what is none."""
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    if not (is_text(values) or pa.types.is_integer(values) or pa.types.is_null(values)):
        raise ConfigurationError(f"the column quality is {kind}, neither text nor an integer; {_EXPECTED}")

    def read(column: pa.Array) -> npt.NDArray[np.int16]:
        found, position = _dictionary(column)
        return np.array([_quality_code(value) for value in found], np.int16)[position]

    return read


def _quality_code(value: str | int | None) -> int:
    if value is None:
        return int(Quality.GOOD)
    if isinstance(value, str):
        return _CODES.get(value.strip().lower(), _UNKNOWN)
    return value if value in set(Quality) else _UNKNOWN


def _nulls(column: pa.Array) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = column.is_null().to_numpy(zero_copy_only=False)
    return found
