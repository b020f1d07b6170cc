"""What a metric's value means: numbers and texts, alone or as the parts of a table or an array; and its quality."""

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Final

from ingest.reasons import RejectReason
from ingest.sparkplug.datatypes import (
    ARRAY_ELEMENTS,
    FIELD_OF,
    DataType,
    DatatypeError,
    datatype_of,
    number_of,
)
from ingest.sparkplug.payload import DataSet, PayloadMetric, Property
from telemetry.errors import PrecursorError
from telemetry.quality import Quality

__all__ = ["MOST_MEMBERS", "Part", "UnfitValueError", "parts_of", "quality_of"]

MOST_MEMBERS: Final = 256
"""parts of one metric that are taken as readings of their own"""

_STALE: Final = 500
_TEXTS: Final = frozenset({DataType.STRING, DataType.TEXT, DataType.UUID})

Part = tuple[str, DataType, float | str | None]
"""name within the metric (empty: the metric itself), data type, value (None: it has none)"""


class UnfitValueError(PrecursorError, ValueError):
    """A metric is no reading: `reason` says why, the message says it to a person."""

    def __init__(self, reason: RejectReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def parts_of(sent: PayloadMetric, datatype: DataType) -> list[Part]:
    """The readings that a metric's value is: one, or one for each part of an array or of a table with one row.

    `datatype` is what the message says, else what the birth said. Not for templates, whose members are metrics.

    Raises:
        UnfitValueError: it is none.
    """
    raw = sent.raw
    if raw is None or sent.field is None:
        raise UnfitValueError(RejectReason.MISSING_VALUE, "The metric has no value.")
    if isinstance(raw, DataSet):
        return _of_data_set(raw)
    if isinstance(raw, bytes):
        return _of_array(raw, datatype)
    if isinstance(raw, (bool, int, float, str)):
        return [("", datatype, _plain(datatype, sent.field, raw))]
    raise UnfitValueError(RejectReason.UNSUPPORTED_TYPE, f"A {datatype.name} is no reading.")


def quality_of(properties: Mapping[str, Property] | None) -> Quality:
    """The quality that a metric's property `Quality` says; good where it has none.

    0 bad, 192 good, 500 stale; other numbers as in OPC: below 64 bad, to 127 uncertain, 192 to 255 good, from 2^30
    on the top two bits of an OPC UA status. What is left are error numbers of vendors: bad.

    Raises:
        UnfitValueError: the property is no number, or it cannot be told which values belong to which names.
    """
    if properties is None:
        raise UnfitValueError(
            RejectReason.UNKNOWN_QUALITY, "The metric's properties have more names than values, or fewer."
        )
    found = properties.get("Quality") or properties.get("quality")
    if found is None or found.value is None:
        return Quality.GOOD
    code = found.value
    if isinstance(code, bool) or not isinstance(code, int):
        raise UnfitValueError(RejectReason.UNKNOWN_QUALITY, "The property Quality is no integer.")
    if code == _STALE:
        return Quality.STALE
    if 192 <= code <= 255:
        return Quality.GOOD
    if 64 <= code <= 127 or code >> 30 == 1:
        return Quality.UNCERTAIN
    return Quality.BAD


def _plain(datatype: DataType, field: str, raw: bool | float | str) -> float | str:
    """One number or text.

    Raises:
        UnfitValueError: it does not fit its type.
    """
    if isinstance(raw, str):
        if datatype not in _TEXTS and datatype is not DataType.UNKNOWN:
            raise UnfitValueError(RejectReason.WRONG_TYPE, f"The value is a text, not {datatype.name}.")
        if "\0" in raw:
            raise UnfitValueError(RejectReason.WRONG_TYPE, "The text has a NUL in it.")
        return raw
    if datatype in _TEXTS or FIELD_OF.get(datatype, "int_value") in {"bytes_value", "dataset_value", "template_value"}:
        raise UnfitValueError(RejectReason.WRONG_TYPE, f"The value is a number, not {datatype.name}.")
    try:
        number = number_of(datatype, field, raw)
    except DatatypeError as error:
        raise UnfitValueError(RejectReason.WRONG_TYPE, f"The value is out of range: {error}.") from error
    if not math.isfinite(number):
        raise UnfitValueError(RejectReason.NOT_FINITE, f"The value is {number}.")
    return float(number) if isinstance(number, bool) else number


def _of_data_set(table: DataSet) -> list[Part]:
    if not table.width == len(table.columns) == len(table.types):
        raise UnfitValueError(
            RejectReason.WRONG_TYPE,
            f"The data set says {table.width} columns, names {len(table.columns)} and types {len(table.types)}.",
        )
    if len(table.rows) != 1:
        raise UnfitValueError(
            RejectReason.UNSUPPORTED_TYPE, f"A data set with {len(table.rows)} rows is no reading; one row is."
        )
    (row,) = table.rows
    if len(row) != table.width:
        raise UnfitValueError(RejectReason.WRONG_TYPE, f"The row has {len(row)} elements for {table.width} columns.")
    if table.width > MOST_MEMBERS:
        raise _too_many(table.width)
    if len(set(table.columns)) != table.width or not all(table.columns):
        raise UnfitValueError(RejectReason.WRONG_TYPE, "The data set has columns of the same name, or of none.")
    parts: list[Part] = []
    for name, number, cell in zip(table.columns, table.types, row, strict=True):
        datatype = datatype_of(number)
        parts.append((name, datatype, None if cell is None else _plain(datatype, cell.field, cell.raw)))
    return parts


def _of_array(raw: bytes, datatype: DataType) -> list[Part]:
    if datatype is DataType.BOOLEAN_ARRAY:
        element, values = DataType.BOOLEAN, _booleans(raw)
    elif datatype is DataType.STRING_ARRAY:
        element, values = DataType.STRING, _strings(raw)
    elif datatype in ARRAY_ELEMENTS:
        element, code = ARRAY_ELEMENTS[datatype]
        count, rest = divmod(len(raw), struct.calcsize(f"<{code}"))
        if rest:
            raise UnfitValueError(RejectReason.WRONG_TYPE, f"{len(raw)} bytes are no whole {datatype.name}.")
        if count > MOST_MEMBERS:
            raise _too_many(count)
        values = list(struct.unpack(f"<{count}{code}", raw))
    else:
        raise UnfitValueError(RejectReason.UNSUPPORTED_TYPE, f"{len(raw)} bytes of {datatype.name} are no reading.")
    if len(values) > MOST_MEMBERS:
        raise _too_many(len(values))
    if not all(isinstance(value, str) or math.isfinite(value) for value in values):
        raise UnfitValueError(RejectReason.NOT_FINITE, "The array has elements that are not finite.")
    return [(str(position), element, value) for position, value in enumerate(values)]


def _booleans(raw: bytes) -> list[float | str]:
    """Bits from the highest of each byte on, after their number in four bytes."""
    count = int.from_bytes(raw[:4], "little")
    bits = raw[4:]
    if len(raw) < 4 or len(bits) != (count + 7) // 8:
        raise UnfitValueError(RejectReason.WRONG_TYPE, f"{len(raw)} bytes are no BOOLEAN_ARRAY of {count}.")
    if count > MOST_MEMBERS:
        raise _too_many(count)
    return [float(bits[place // 8] >> (7 - place % 8) & 1) for place in range(count)]


def _strings(raw: bytes) -> list[float | str]:
    if raw and not raw.endswith(b"\0"):
        raise UnfitValueError(RejectReason.WRONG_TYPE, "The last text of a STRING_ARRAY does not end.")
    try:
        return list(_decoded(raw))
    except UnicodeDecodeError as error:
        raise UnfitValueError(RejectReason.INVALID_UTF8, "A text of the array is not UTF-8.") from error


def _decoded(raw: bytes) -> Iterator[str]:
    for text in raw.split(b"\0")[:-1]:
        yield text.decode()


def _too_many(count: int) -> UnfitValueError:
    return UnfitValueError(
        RejectReason.UNSUPPORTED_TYPE, f"{count} values in one metric are too many; at most {MOST_MEMBERS} are taken."
    )
