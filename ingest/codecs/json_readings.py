"""JSON payloads to items: typed structs where all is well, a careful second pass where something is not.

On a sensor's own topic: `{"ts": ..., "value": ..., "quality": "good"}`, or an array of such objects.
On a gateway's topic, besides each with `"sensor": name`: columns `{"ts": [...], "values": {name: [...]}}` and
a snapshot `{"ts": ..., "values": {name: ...}}`; there a null is no reading.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from ingest.codecs.contract import Fault, Item
from ingest.reasons import RejectReason
from ingest.timestamps import TimestampError, micros_of
from telemetry.quality import Quality

__all__ = [
    "QUALITIES",
    "Column",
    "Frame",
    "NamedPoint",
    "Point",
    "Scalar",
    "Stamp",
    "decode_gateway",
    "decode_sensor",
    "examine",
]

Stamp = int | float | datetime
Scalar = float | bool | str
Column = list[float | bool | str | None]

QUALITIES: dict[object, int] = {quality.name.lower(): int(quality) for quality in Quality} | {
    int(quality): int(quality) for quality in Quality
}
"""what may stand under "quality", and what it means"""

_QUALITY_WORDS = ", ".join(quality.name.lower() for quality in Quality)
_LONGEST_INTEGER = 400


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


decode_sensor = msgspec.json.Decoder(Point | list[Point]).decode
"""A sensor's payload, quickly. Raises ValueError or RecursionError: then `examine` tells what is wrong."""

decode_gateway = msgspec.json.Decoder(Frame | list[NamedPoint]).decode
"""A gateway's payload, quickly. Raises as `decode_sensor` does."""


def examine(payload: bytes, *, gateway: bool) -> tuple[int, list[Item | Fault]]:
    """The careful pass: how many items the payload carries, and each of them, good or faulty. Never raises.

    A payload that cannot be taken apart is one item, and so is a column that does not fit its timestamps.
    """
    try:
        document = json.loads(payload.decode("utf-8"), parse_int=_integer)
    except UnicodeDecodeError as error:
        return 1, [Fault(reason=RejectReason.INVALID_UTF8, detail=f"Byte {error.start} is not UTF-8 text.")]
    except RecursionError:
        return 1, [Fault(reason=RejectReason.MALFORMED_JSON, detail="The JSON is nested too deeply.")]
    except ValueError as error:
        return 1, [Fault(reason=RejectReason.MALFORMED_JSON, detail=f"This is not JSON: {error}.")]
    if isinstance(document, list):
        return len(document), [_with_text(_examine_one(element, gateway), element) for element in document]
    if gateway and isinstance(document, dict) and "values" in document:
        return _frame_size(document), list(_examine_frame(document))
    return 1, [_examine_one(document, gateway)]


def _integer(digits: str) -> int | float:
    # Python refuses to read integers of thousands of digits; as a float they are infinite, as is right.
    return int(digits) if len(digits) <= _LONGEST_INTEGER else float(digits)


def _examine_one(element: Any, gateway: bool) -> Item | Fault:
    """One object: a whole payload or an element of one."""
    if not isinstance(element, dict):
        form = '{"sensor": ..., "ts": ..., "value": ...}' if gateway else '{"ts": ..., "value": ...}'
        return Fault(reason=RejectReason.WRONG_TYPE, detail=f"Expected {form}, got {_kind(element)}.")
    sensor = element.get("sensor") if gateway else None
    if gateway and not isinstance(sensor, str):
        detail = 'On a gateway\'s topic each reading names its "sensor" as a text; this one does not.'
        return Fault(reason=RejectReason.UNKNOWN_SENSOR, detail=detail)
    return _item(sensor, element.get("ts"), element.get("value"), element.get("quality"))


def _examine_frame(frame: dict[str, Any]) -> Iterator[Item | Fault]:
    stamps, columns, quality = frame.get("ts"), frame["values"], frame.get("quality")
    if not isinstance(columns, dict):
        detail = f'"values" must be an object of sensor names, got {_kind(columns)}.'
        yield Fault(reason=RejectReason.WRONG_TYPE, detail=detail)
        return
    for sensor, column in columns.items():
        if not isinstance(stamps, list) and not isinstance(column, list):
            pairs = [(stamps, column)]
        elif isinstance(stamps, list) and isinstance(column, list) and len(stamps) == len(column):
            pairs = list(zip(stamps, column, strict=True))
        else:
            yield _with_text(_unfit_column(sensor, stamps, column), {"ts": stamps, "values": {sensor: column}})
            continue
        for stamp, value in pairs:
            if value is not None:
                item = _item(sensor, stamp, value, quality)
                yield _with_text(item, {"sensor": sensor, "ts": stamp, "value": value, "quality": quality})


def _unfit_column(sensor: str, stamps: Any, column: Any) -> Fault:
    if stamps is None:
        return Fault(reason=RejectReason.MISSING_TIMESTAMP, detail='The column has no "ts".')
    detail = f"{sensor[:80]!r} has {_length(column)}, but there is {_length(stamps)} of time."
    return Fault(reason=RejectReason.LENGTH_MISMATCH, detail=detail)


def _frame_size(frame: dict[str, Any]) -> int:
    """How many items a frame carries: its values that are not null; 1 for what cannot be told apart."""
    stamps, columns = frame.get("ts"), frame["values"]
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


def _item(sensor: str | None, stamp: Any, value: Any, quality: Any) -> Item | Fault:
    if stamp is None:
        return Fault(reason=RejectReason.MISSING_TIMESTAMP, detail='The reading has no "ts".')
    try:
        time = micros_of(stamp)
    except TimestampError as error:
        return Fault(reason=RejectReason.BAD_TIMESTAMP, detail=f"The time cannot be read: {error}.")
    content = _value(value)
    if isinstance(content, Fault):
        return content
    code = _quality(quality)
    if code is None:
        detail = f"Quality {_short(quality)} is unknown; expected {_QUALITY_WORDS} or 0 to 3."
        return Fault(reason=RejectReason.UNKNOWN_QUALITY, detail=detail)
    return Item(sensor=sensor, time=time, value=content, quality=code)


def _value(value: Any) -> float | str | Fault:
    if value is None:
        return Fault(reason=RejectReason.MISSING_VALUE, detail='The reading has no "value".')
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
    return item if isinstance(item, Item) else replace(item, text=_text_of(element))


def _quality(quality: Any) -> int | None:
    if quality is None:
        return int(Quality.GOOD)
    # `type`, not `isinstance`: True == 1 would be found among the numbers.
    return QUALITIES.get(quality) if type(quality) in (int, str) else None


def _text_of(element: Any) -> bytes | None:
    try:
        return json.dumps(element).encode("ascii")
    except RecursionError:
        return None


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    return "a text" if isinstance(value, str) else f"the bare value {_short(value)}"


def _length(value: Any) -> str:
    return f"a list of {len(value)}" if isinstance(value, list) else "a single value"


def _short(value: Any) -> str:
    text = _text_of(value)
    return "(deeply nested)" if text is None else text[:80].decode("ascii")


class JsonCodec:
    decode_sensor = staticmethod(decode_sensor)
    decode_gateway = staticmethod(decode_gateway)

    def examine(self, payload: bytes, *, named: bool, now_us: int):
        return examine(payload, gateway=named)
