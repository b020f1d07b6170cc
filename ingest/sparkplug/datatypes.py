"""Data types of Sparkplug B, and numbers as they travel: signed ones in two's complement in unsigned fields."""

import math
from enum import IntEnum
from typing import Final

from telemetry.errors import PrecursorError

__all__ = [
    "ARRAY_ELEMENTS",
    "FIELD_OF",
    "INTEGER_BITS",
    "DataType",
    "DatatypeError",
    "datatype_of",
    "number_of",
    "wire_of",
]


class DataType(IntEnum):
    """What a value is. Numbers as in the published schema."""

    UNKNOWN = 0
    INT8 = 1
    INT16 = 2
    INT32 = 3
    INT64 = 4
    UINT8 = 5
    UINT16 = 6
    UINT32 = 7
    UINT64 = 8
    FLOAT = 9
    DOUBLE = 10
    BOOLEAN = 11
    STRING = 12
    DATETIME = 13
    TEXT = 14
    UUID = 15
    DATASET = 16
    BYTES = 17
    FILE = 18
    TEMPLATE = 19
    PROPERTY_SET = 20
    PROPERTY_SET_LIST = 21
    INT8_ARRAY = 22
    INT16_ARRAY = 23
    INT32_ARRAY = 24
    INT64_ARRAY = 25
    UINT8_ARRAY = 26
    UINT16_ARRAY = 27
    UINT32_ARRAY = 28
    UINT64_ARRAY = 29
    FLOAT_ARRAY = 30
    DOUBLE_ARRAY = 31
    BOOLEAN_ARRAY = 32
    STRING_ARRAY = 33
    DATETIME_ARRAY = 34


class DatatypeError(PrecursorError, ValueError):
    """A value does not fit its data type."""


INTEGER_BITS: Final = {
    DataType.INT8: (8, True),
    DataType.INT16: (16, True),
    DataType.INT32: (32, True),
    DataType.INT64: (64, True),
    DataType.UINT8: (8, False),
    DataType.UINT16: (16, False),
    DataType.UINT32: (32, False),
    DataType.UINT64: (64, False),
    DataType.DATETIME: (64, False),
}
"""width in bits and whether signed"""

FIELD_OF: Final = (
    {kind: "long_value" if bits == 64 else "int_value" for kind, (bits, _) in INTEGER_BITS.items()}
    | {DataType.FLOAT: "float_value", DataType.DOUBLE: "double_value", DataType.BOOLEAN: "boolean_value"}
    | dict.fromkeys((DataType.STRING, DataType.TEXT, DataType.UUID), "string_value")
    | dict.fromkeys(
        (DataType.BYTES, DataType.FILE, *range(DataType.INT8_ARRAY, DataType.DATETIME_ARRAY + 1)), "bytes_value"
    )
    | {DataType.DATASET: "dataset_value", DataType.TEMPLATE: "template_value"}
)
"""the field of a metric in which a value of a type travels"""

ARRAY_ELEMENTS: Final = {
    DataType.INT8_ARRAY: (DataType.INT8, "b"),
    DataType.INT16_ARRAY: (DataType.INT16, "h"),
    DataType.INT32_ARRAY: (DataType.INT32, "i"),
    DataType.INT64_ARRAY: (DataType.INT64, "q"),
    DataType.UINT8_ARRAY: (DataType.UINT8, "B"),
    DataType.UINT16_ARRAY: (DataType.UINT16, "H"),
    DataType.UINT32_ARRAY: (DataType.UINT32, "I"),
    DataType.UINT64_ARRAY: (DataType.UINT64, "Q"),
    DataType.FLOAT_ARRAY: (DataType.FLOAT, "f"),
    DataType.DOUBLE_ARRAY: (DataType.DOUBLE, "d"),
    DataType.DATETIME_ARRAY: (DataType.DATETIME, "Q"),
}
"""type of the elements and their `struct` code, packed little-endian"""

_WIDTH: Final = {"int_value": 32, "long_value": 64}
_FLOAT_MAX: Final = (2 - 2**-23) * 2.0**127


def datatype_of(number: int | None) -> DataType:
    """The data type of a number on the wire; unknown where it is none or missing."""
    if number is None or number > DataType.DATETIME_ARRAY:
        return DataType.UNKNOWN
    return DataType(number)


def number_of(datatype: DataType, field: str, raw: float) -> float:
    """The number that a numeric field (`int_value`, `long_value`, `float_value` ...) means for a data type.

    Edge nodes are known to be careless about the field, so that any numeric field will do for any numeric type.
    Signed integers are accepted in two's complement of their own width and of the field's.

    >>> number_of(DataType.INT8, "int_value", 0xFFFFFFFF), number_of(DataType.INT8, "int_value", 0xFF)
    (-1, -1)

    Raises:
        DatatypeError: the number lies outside the type's range.
    """
    width = _WIDTH.get(field)
    if width is None:
        return raw
    whole = int(raw)
    if datatype in {DataType.FLOAT, DataType.DOUBLE}:
        return whole - (1 << width) if whole >> (width - 1) else whole
    if datatype is DataType.BOOLEAN and whole > 1:
        raise DatatypeError(f"{whole} is neither true nor false")
    bits, signed = INTEGER_BITS.get(datatype, (64, False))
    if signed:
        if whole >> (width - 1):
            whole -= 1 << width
        elif bits < width and whole >> (bits - 1) and not whole >> bits:
            whole -= 1 << bits
    if not _least(bits, signed) <= whole <= _most(bits, signed):
        raise DatatypeError(f"{whole} does not fit {datatype.name}")
    return whole


def wire_of(datatype: DataType, value: bool | int | float | str) -> tuple[str, bool | int | float | bytes]:
    """The field in which a value travels as a data type, and what it holds there.

    >>> wire_of(DataType.INT16, -2)
    ('int_value', 65534)

    Raises:
        DatatypeError: the value is not of the type, or out of its range.
    """
    field = FIELD_OF.get(datatype)
    if field == "string_value" and isinstance(value, str):
        return field, value.encode()
    if field == "boolean_value" and isinstance(value, bool):
        return field, value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if datatype in INTEGER_BITS and value == math.floor(value) if math.isfinite(value) else False:
            bits, signed = INTEGER_BITS[datatype]
            if not _least(bits, signed) <= value <= _most(bits, signed):
                raise DatatypeError(
                    f"{value} does not fit {datatype.name}: {_least(bits, signed)} to {_most(bits, signed)}"
                )
            return FIELD_OF[datatype], int(value) & ((1 << bits) - 1)
        if field in {"float_value", "double_value"}:
            if field == "float_value" and math.isfinite(value) and abs(value) > _FLOAT_MAX:
                raise DatatypeError(f"{value} does not fit FLOAT")
            return field, float(value)
    raise DatatypeError(f"{value!r} is no value of {datatype.name}")


def _least(bits: int, signed: bool) -> int:
    return -(1 << (bits - 1)) if signed else 0


def _most(bits: int, signed: bool) -> int:
    return (1 << (bits - signed)) - 1
