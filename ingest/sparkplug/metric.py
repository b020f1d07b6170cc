"""`Metric`: a name that a birth certificate gave a meaning, and what it was worth last."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ingest.sparkplug.datatypes import FIELD_OF, INTEGER_BITS, DataType, DatatypeError, number_of
from ingest.sparkplug.payload import Property
from ingest.sparkplug.schema import VALUE_FIELDS

__all__ = ["BD_SEQ", "LONGEST_NAME", "REBIRTH", "Definition", "Metric", "definition_of", "is_about_itself"]

BD_SEQ: Final = "bdSeq"
REBIRTH: Final = "Node Control/Rebirth"
LONGEST_NAME: Final = 800
"""bytes of a metric's name; it is a key in the database, which keys of any length do not fit"""
_LONGEST_UNIT: Final = 64

_ABOUT_ITSELF: Final = frozenset({"Node Control", "Device Control", "Properties", "Node Info", "Device Info"})
_UNIT_KEYS: Final = ("engunit", "engunits", "engineeringunit", "engineeringunits", "unit", "units")
_LOW_KEYS: Final = ("englow", "engineeringlow", "rangelow", "low")
_HIGH_KEYS: Final = ("enghigh", "engineeringhigh", "rangehigh", "high")
_NARROWEST_FIELD: Final = 32
_WIRE_TYPE: Final = {"float_value": 5, "double_value": 1, "string_value": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """What a birth certificate says of a metric besides its name."""

    alias: int | None
    datatype: DataType
    unit: str = ""
    """as sent; empty: not said"""
    low: float | None = None
    """ends of the range, in its unit"""
    high: float | None = None
    read_only: bool = False


class Metric:
    """A series of values of an edge node or of one of its devices. Mutable: it lives as long as its name."""

    __slots__ = (
        "about_itself",
        "alias",
        "by_alias",
        "by_name",
        "datatype",
        "field",
        "high",
        "low",
        "name",
        "path",
        "read_only",
        "sensor",
        "tag",
        "time",
        "top",
        "unit",
        "value",
        "wrap",
    )

    def __init__(self, path: str, name: str, definition: Definition) -> None:
        self.path = path
        """of the node or device, `group/node` or `group/node/device`"""
        self.name = name
        self.about_itself = is_about_itself(name)
        """whether it tells of the device and not of the plant: no sensor"""
        self.sensor: int | None = None
        """for the decoder: position of the sensor it is; None: not looked up since the birth that defined it"""
        self.time = -1
        """of its last live value, µs since 1970-01-01 UTC; -1: there was none"""
        self.value: float | str | None = None
        """the last live value"""
        encoded = name.encode()
        self.by_name = b"\x0a" + _varint(len(encoded)) + encoded
        """how a metric of a message begins that is sent under this name"""
        self.alias: int | None = None
        self.by_alias = b""
        """the same for the alias"""
        self.define(definition)

    def define(self, definition: Definition) -> None:
        """Take over what a birth says. Which sensor it is has to be looked up again if that changed."""
        if self.sensor is not None and definition != self.definition():
            self.sensor = None
        self.rename(definition.alias)
        self.datatype = definition.datatype
        self.unit = definition.unit
        self.low = definition.low
        self.high = definition.high
        self.read_only = definition.read_only
        field = FIELD_OF.get(definition.datatype, "")
        if self.about_itself or VALUE_FIELDS.get(field, 16) > VALUE_FIELDS["string_value"]:
            field = ""
        self.field = field
        """where a value travels that is taken as it is; empty: every value is looked at closely"""
        self.tag = VALUE_FIELDS[field] << 3 | _WIRE_TYPE.get(field, 0) if field else 0
        """the byte before such a value"""
        bits, signed = INTEGER_BITS.get(definition.datatype, (64, False))
        self.top = (1 << (bits - signed)) - 1
        """integers up to this one are taken as they travel"""
        self.wrap = 1 << bits if signed and bits >= _NARROWEST_FIELD else 0
        """what to take off a larger one, where its field is as wide as its type; 0: it needs a close look"""

    def definition(self) -> Definition:
        """What its birth said."""
        return Definition(
            alias=self.alias,
            datatype=self.datatype,
            unit=self.unit,
            low=self.low,
            high=self.high,
            read_only=self.read_only,
        )

    def rename(self, alias: int | None) -> None:
        """The number it is sent under from now on; None: its name alone."""
        self.alias = alias
        self.by_alias = b"" if alias is None else b"\x10" + _varint(alias)

    def __repr__(self) -> str:
        return f"<Metric {self.path} {self.name!r} {self.datatype.name}>"


def is_about_itself(name: str) -> bool:
    """Whether a metric of this name tells of the node or device: its controls, make, firmware, session."""
    return name == BD_SEQ or name.partition("/")[0] in _ABOUT_ITSELF


def definition_of(alias: int | None, datatype: DataType, properties: Mapping[str, Property] | None) -> Definition:
    """What a birth says of a metric. Properties that make no sense are as good as none."""
    plain = {key.casefold().replace(" ", "").replace("_", ""): one for key, one in (properties or {}).items()}
    unit = next((one.value for key in _UNIT_KEYS if (one := plain.get(key)) and isinstance(one.value, str)), "")
    low, high = (
        next((number for key in keys if key in plain and (number := _number(plain[key])) is not None), None)
        for keys in (_LOW_KEYS, _HIGH_KEYS)
    )
    if low is not None and high is not None and low >= high:
        low = high = None
    return Definition(
        alias=alias,
        datatype=datatype,
        unit=unit.replace("\0", "").strip()[:_LONGEST_UNIT],
        low=low,
        high=high,
        read_only="readonly" in plain and plain["readonly"].value is True,
    )


def _number(one: Property) -> float | None:
    """The number that a property is; None: it is none."""
    value = one.value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    kind = DataType(one.type) if one.type in INTEGER_BITS else None
    try:
        number = value if kind is None else number_of(kind, FIELD_OF[kind], value)
    except DatatypeError:
        return None
    return float(number) if math.isfinite(number) else None


def _varint(number: int) -> bytes:
    parts = bytearray()
    while number > 0x7F:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)
