"""JSON payloads to items: typed structs where all is well, a careful second pass where something is not.

What the fields are called can be chosen; here they have our names.

On a sensor's own topic: `{"ts": ..., "value": ..., "quality": "good"}`, or an array of such objects.
On a gateway's topic, besides each with `"sensor": name`: columns `{"ts": [...], "values": {name: [...]}}` and
a snapshot `{"ts": ..., "values": {name: ...}}`; there a null is no reading.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from types import GenericAlias
from typing import Any, Final, NoReturn

import msgspec
from msgspec import NODEFAULT, UNSET, UnsetType

from ingest.codecs.contract import Block, Fault, Item
from ingest.codecs.documents import DocumentError, json_text, read_json
from ingest.reasons import RejectReason
from ingest.timestamps import TimestampError, micros_of
from telemetry.quality import Quality

__all__ = [
    "QUALITIES",
    "Column",
    "Frame",
    "JsonCodec",
    "NamedPoint",
    "Point",
    "Scalar",
    "Stamp",
]

Stamp = int | float | datetime
Scalar = float | bool | str
Column = list[float | bool | str | None]

QUALITIES: dict[object, int] = {quality.name.lower(): int(quality) for quality in Quality} | {
    int(quality): int(quality) for quality in Quality
}
"""what may stand under "quality", and what it means"""

_QUALITY_WORDS = ", ".join(quality.name.lower() for quality in Quality)
_ABSENT: Final = object()


class Point(msgspec.Struct, gc=False):
    """A reading on its sensor's own topic."""

    ts: Stamp
    value: Scalar
    quality: int | str | None = None


class NamedPoint(msgspec.Struct, gc=False):
    """A reading among others on a gateway's topic."""

    sensor: str
    ts: Stamp
    value: Scalar
    quality: int | str | None = None


class Frame(msgspec.Struct, gc=False):
    """An object on a gateway's topic: a named reading, columns, or a snapshot (see the module)."""

    ts: int | float | datetime | list[int | float | datetime]
    sensor: str | UnsetType = UNSET
    value: Scalar | UnsetType = UNSET
    values: dict[str, float | bool | str | Column | None] | UnsetType = UNSET
    quality: int | str | None = None


_NAMES = {"ts": "ts", "value": "value", "sensor": "sensor", "quality": "quality", "values": "values"}


class JsonCodec:
    """Our JSON, with fields of our names or a gateway's."""

    def __init__(self, fields: Mapping[str, str] | None = None) -> None:
        """
        Args:
            fields: what our fields (ts, value, sensor, quality, values) are called there, where it is something else.
                A name with dots is looked for as it is, then as a path into nested objects; either takes the careful
                pass for every payload.
        """
        names = _NAMES | dict(fields or {})
        self._ts, self._value, self._values = names["ts"], names["value"], names["values"]
        self._sensor, self._quality = names["sensor"], names["quality"]
        self.decode_sensor: Callable[[bytes], Point | list[Point]] = _unread
        """a sensor's payload, quickly. Raises ValueError or RecursionError: then `examine` tells what is wrong"""
        self.decode_gateway: Callable[[bytes], Frame | list[NamedPoint]] = _unread
        """a gateway's payload, quickly. Raises as `decode_sensor` does"""
        if not any("." in name for name in names.values()):
            point, named, frame = (_renamed(struct, names) for struct in (Point, NamedPoint, Frame))
            self.decode_sensor = msgspec.json.Decoder(point | _list_of(point)).decode
            self.decode_gateway = msgspec.json.Decoder(frame | _list_of(named)).decode

    def examine(self, payload: bytes, *, named: bool, now_us: int) -> tuple[int, list[Item | Block | Fault]]:
        """The careful pass, see `Codec`. A column that does not fit its timestamps is one item."""
        try:
            document = read_json(payload)
        except DocumentError as error:
            return 1, [error.fault]
        if isinstance(document, list):
            return len(document), [_with_text(self._examine_one(element, named), element) for element in document]
        if named and isinstance(document, dict) and _found(document, self._values) is not _ABSENT:
            return self._frame_size(document), list(self._examine_frame(document))
        return 1, [self._examine_one(document, named)]

    def _examine_one(self, element: Any, named: bool) -> Item | Fault:
        """One object: a whole payload or an element of one."""
        if not isinstance(element, dict):
            keys = [self._sensor, self._ts, self._value] if named else [self._ts, self._value]
            form = ", ".join(f"{_short(key)}: ..." for key in keys)
            return Fault(reason=RejectReason.WRONG_TYPE, detail=f"Expected {{{form}}}, got {_kind(element)}.")
        sensor = _get(element, self._sensor) if named else None
        if named and not isinstance(sensor, str):
            detail = f"On a gateway's topic each reading names its {_short(self._sensor)} as a text; this one does not."
            return Fault(reason=RejectReason.UNKNOWN_SENSOR, detail=detail)
        stamp, value, quality = (_get(element, key) for key in (self._ts, self._value, self._quality))
        return self._item(sensor, stamp, value, quality)

    def _examine_frame(self, frame: dict[str, Any]) -> Iterator[Item | Fault]:
        stamps, columns, quality = (_get(frame, key) for key in (self._ts, self._values, self._quality))
        if not isinstance(columns, dict):
            detail = f"{_short(self._values)} must be an object of sensor names, got {_kind(columns)}."
            yield Fault(reason=RejectReason.WRONG_TYPE, detail=detail)
            return
        for sensor, column in columns.items():
            if not isinstance(stamps, list) and not isinstance(column, list):
                pairs = [(stamps, column)]
            elif isinstance(stamps, list) and isinstance(column, list) and len(stamps) == len(column):
                pairs = list(zip(stamps, column, strict=True))
            else:
                unfit = self._unfit_column(sensor, stamps, column)
                yield _with_text(unfit, {self._ts: stamps, self._values: {sensor: column}})
                continue
            for stamp, value in pairs:
                if value is not None:
                    item = self._item(sensor, stamp, value, quality)
                    sent = {self._sensor: sensor, self._ts: stamp, self._value: value, self._quality: quality}
                    yield _with_text(item, sent)

    def _unfit_column(self, sensor: str, stamps: Any, column: Any) -> Fault:
        if stamps is None:
            detail = f"The column has no {_short(self._ts)}."
            return Fault(reason=RejectReason.MISSING_TIMESTAMP, detail=detail)
        detail = f"{sensor[:80]!r} has {_length(column)}, but there is {_length(stamps)} of time."
        return Fault(reason=RejectReason.LENGTH_MISMATCH, detail=detail)

    def _frame_size(self, frame: dict[str, Any]) -> int:
        """How many items a frame carries: its values that are not null; 1 for what cannot be told apart."""
        stamps, columns = _get(frame, self._ts), _get(frame, self._values)
        if not isinstance(columns, dict):
            return 1
        size = 0
        for column in columns.values():
            if isinstance(column, list):
                fits = isinstance(stamps, list) and len(stamps) == len(column)
                size += sum(value is not None for value in column) if fits else 1
            else:
                size += 1 if isinstance(stamps, list) or column is not None else 0
        return size

    def _item(self, sensor: str | None, stamp: Any, value: Any, quality: Any) -> Item | Fault:
        if stamp is None:
            detail = f"The reading has no {_short(self._ts)}."
            return Fault(reason=RejectReason.MISSING_TIMESTAMP, detail=detail)
        try:
            time = micros_of(stamp)
        except TimestampError as error:
            return Fault(reason=RejectReason.BAD_TIMESTAMP, detail=f"The time cannot be read: {error}.")
        if value is None:
            return Fault(reason=RejectReason.MISSING_VALUE, detail=f"The reading has no {_short(self._value)}.")
        content = _content(value)
        if isinstance(content, Fault):
            return content
        code = _quality(quality)
        if code is None:
            detail = f"Quality {_short(quality)} is unknown; expected {_QUALITY_WORDS} or 0 to 3."
            return Fault(reason=RejectReason.UNKNOWN_QUALITY, detail=detail)
        return Item(sensor=sensor, time=time, value=content, quality=code)


def _renamed(struct: type[msgspec.Struct], names: Mapping[str, str]) -> Any:
    """The same struct with the gateway's names, and an instance of it to `isinstance`."""
    fields = [
        (field.name, field.type) if field.default is NODEFAULT else (field.name, field.type, field.default)
        for field in msgspec.structs.fields(struct)
    ]
    return msgspec.defstruct(struct.__name__, fields, bases=(struct,), rename=dict(names), gc=False)


def _list_of(struct: Any) -> Any:
    # Written list[struct], mypy takes a type that is made as the program runs for a mistake.
    return GenericAlias(list, (struct,))


def _unread(payload: bytes) -> NoReturn:
    raise ValueError("nested fields take the careful pass")


def _found(element: dict[str, Any], key: str) -> Any:
    """What stands under a name, or at the end of a path of names; `_ABSENT`: nothing."""
    if key in element or "." not in key:
        return element.get(key, _ABSENT)
    place: Any = element
    for step in key.split("."):
        if not isinstance(place, dict) or step not in place:
            return _ABSENT
        place = place[step]
    return place


def _get(element: dict[str, Any], key: str) -> Any:
    found = _found(element, key)
    return None if found is _ABSENT else found


def _content(value: Any) -> float | str | Fault:
    if isinstance(value, str):
        return value
    if isinstance(value, (list, dict)):
        detail = f"A value is a number, true, false or a text, not {_kind(value)}."
        return Fault(reason=RejectReason.WRONG_TYPE, detail=detail)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isfinite(number):
        return number
    detail = "The value is NaN, infinite or too large for a 64-bit number."
    return Fault(reason=RejectReason.NOT_FINITE, detail=detail)


def _with_text(item: Item | Fault, element: Any) -> Item | Fault:
    return item if isinstance(item, Item) else replace(item, text=json_text(element))


def _quality(quality: Any) -> int | None:
    if quality is None:
        return int(Quality.GOOD)
    # `type`, not `isinstance`: True == 1 would be found among the numbers.
    return QUALITIES.get(quality) if type(quality) in (int, str) else None


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    return "a text" if isinstance(value, str) else f"the bare value {_short(value)}"


def _length(value: Any) -> str:
    return f"a list of {len(value)}" if isinstance(value, list) else "a single value"


def _short(value: Any) -> str:
    text = json_text(value)
    return "(deeply nested)" if text is None else text[:80].decode("ascii")
