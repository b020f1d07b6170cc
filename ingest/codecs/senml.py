"""SenML packs (RFC 8428) in JSON and CBOR to items.

The pack is one array of records; base fields hold from their record on, until the next of the same name (section 4.1).
A pack is refused as a whole where no record can be told without the others' fault: no array, a base field of the wrong
type, a version we do not know (4.4), a field that has to be understood and is not (its name ends in "_"; "mandatory to
understand to correctly process the Pack", 12.2). Else each record stands alone.

Sums ("s") are not stored: with a value beside it the value is the reading, without one there is none.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ingest.codecs.contract import Block, Fault, Item
from ingest.codecs.documents import DocumentError, cbor_text, json_text, kind, number, read_cbor, read_json
from ingest.codecs.senml_units import pint_unit
from ingest.reasons import RejectReason
from telemetry.quality import Quality

__all__ = ["SENML_CBOR", "SENML_JSON", "SenmlCodec"]

_LABELS = {
    -6: "bs", -5: "bv", -4: "bu", -3: "bt", -2: "bn", -1: "bver",
    0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd",
}  # fmt: skip
"""section 6, table 4"""
_VALUES = ("v", "vb", "vs", "vd")
_BASE = frozenset({"bn", "bt", "bu", "bv", "bs", "bver"})
_DEFAULT_VERSION = 10
_SECONDARY_UNITS = 1 << 4
"""feature of RFC 9100, beside those of version 10"""
_VERSIONS = frozenset({*range(1, _DEFAULT_VERSION + 1), _DEFAULT_VERSION | _SECONDARY_UNITS})
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:./_-]*")
"""section 4.5.1"""
_RELATIVE_BELOW_S = 1 << 28
"""section 4.5.3: smaller times count from now"""
_NANOS = 1_000_000_000
_INT64_MAX = 2**63 - 1
_DEEPEST = 16
"""of containers in CBOR; a record needs 5"""

_GOOD = int(Quality.GOOD)


@dataclass(slots=True)
class _Base:
    """The base fields in force."""

    name: str = ""
    time_ns: int = 0
    unit: str | None = None
    value: float | None = None


class SenmlCodec:
    """SenML in one of its two forms."""

    def __init__(self, read: Callable[[bytes], Any], write: Callable[[object], bytes | None]) -> None:
        """
        Args:
            read: bytes to a document; raises DocumentError.
            write: a part of a document to bytes.
        """
        self._read = read
        self._write = write

    def examine(self, payload: bytes, *, named: bool, now_us: int) -> tuple[int, list[Item | Block | Fault]]:
        """See `Codec`. A record of base fields alone is no item. Units come in pint's spelling.

        Where the topic names the sensor, names of records are not needed; records of another name than the first are
        faults, for they cannot be that sensor's too.
        """
        try:
            document = self._read(payload)
            records = _checked(document)
        except DocumentError as error:
            return 1, [error.fault]
        base = _Base()
        items: list[Item | Block | Fault] = []
        first: str | None = None
        for record, sent in zip(records, document, strict=True):
            if not isinstance(record, dict):
                detail = f"A record is an object, not {kind(record)}."
                items.append(self._own(Fault(reason=RejectReason.WRONG_TYPE, detail=detail), sent, records))
                continue
            _rebase(base, record)
            if _BASE.issuperset(record):
                continue
            item = _item(record, base, now_us, named)
            if isinstance(item, Item) and not named:
                name = item.sensor or ""
                first = name if first is None else first
                if name != first:
                    detail = f"The topic names one sensor, and the pack {first[:80]!r} and {name[:80]!r}."
                    item = Fault(reason=RejectReason.UNKNOWN_SENSOR, detail=detail)
                else:
                    item = replace(item, sensor=None)
            items.append(self._own(item, sent, records))
        return len(items), items

    def _own(self, item: Item | Fault, sent: object, records: list[Any]) -> Item | Fault:
        if isinstance(item, Item) or len(records) == 1:
            return item
        return replace(item, text=self._write(sent))


def _checked(document: Any) -> list[Any]:
    """The records of a pack, with labels instead of CBOR's numbers.

    Raises:
        DocumentError: the pack cannot be used.
    """
    if not isinstance(document, list):
        raise DocumentError(RejectReason.WRONG_TYPE, f"A SenML pack is an array of records, not {kind(document)}.")
    records = [_labelled(record) if isinstance(record, dict) else record for record in document]
    versions = set()
    for position, record in enumerate(records):
        if not isinstance(record, dict):
            continue
        for label, content in record.items():
            if label.endswith("_"):
                detail = f"The field {label[:80]!r} must be understood, and this program does not know it."
                raise DocumentError(RejectReason.UNKNOWN_FIELD, detail)
            if label in _BASE and not _is_base(label, content):
                detail = f"{label} of record {position} cannot be {_shown(content)}; all records after it depend on it."
                raise DocumentError(RejectReason.WRONG_TYPE, detail)
        if position == 0 or "bver" in record:
            versions.add(record.get("bver", _DEFAULT_VERSION))
    if not versions <= _VERSIONS:
        detail = (
            f"SenML of version {_shown(max(versions))} is unknown; this program reads version 10, and 26 (RFC 9100)."
        )
        raise DocumentError(RejectReason.UNKNOWN_FIELD, detail)
    if len(versions) > 1:
        detail = "The pack names several versions (bver); all of its records must have the same."
        raise DocumentError(RejectReason.WRONG_TYPE, detail)
    return records


def _labelled(record: dict[Any, Any]) -> dict[str, Any]:
    if all(type(key) is str for key in record):
        return record
    # `type`, not `isinstance`: True is no label 1. Keys that are neither text nor a label are fields to be ignored.
    labels = ((_LABELS.get(key) if type(key) is int else key, content) for key, content in record.items())
    return {label: content for label, content in labels if isinstance(label, str)}


def _is_base(label: str, content: object) -> bool:
    if label in ("bn", "bu"):
        return isinstance(content, str)
    if label == "bver":
        return type(content) is int and content > 0
    size = number(content)
    return size is not None and (isinstance(size, int) or math.isfinite(size))


def _rebase(base: _Base, record: dict[str, Any]) -> None:
    if "bn" in record:
        base.name = record["bn"]
    if "bt" in record:
        base.time_ns = _nanos(number(record["bt"]) or 0)
    if "bu" in record:
        base.unit = record["bu"]
    if "bv" in record:
        base.value = _float(number(record["bv"]) or 0)


def _item(record: dict[str, Any], base: _Base, now_us: int, named: bool) -> Item | Fault:
    own_name = record.get("n", "")
    if not isinstance(own_name, str):
        return Fault(reason=RejectReason.WRONG_TYPE, detail=f"A name (n) is a text, not {kind(own_name)}.")
    name = base.name + own_name
    if (named or name) and not _NAME.fullmatch(name):
        detail = f"{name[:80]!r} is no name in SenML: letters, digits and -:./_ after a letter or digit."
        return Fault(reason=RejectReason.UNKNOWN_SENSOR, detail=detail)
    unit = record.get("u", base.unit)
    if unit is not None and not isinstance(unit, str):
        return Fault(reason=RejectReason.WRONG_TYPE, detail=f"A unit (u) is a text, not {kind(unit)}.")
    time = _time(record.get("t", 0), base, now_us)
    if isinstance(time, Fault):
        return time
    value = _value(record, base)
    if isinstance(value, Fault):
        return value
    return Item(sensor=name, time=time, value=value, quality=_GOOD, unit=None if unit is None else pint_unit(unit))


def _time(sent: object, base: _Base, now_us: int) -> int | Fault:
    """Microseconds since 1970 UTC."""
    seconds = number(sent)
    if seconds is None:
        return Fault(reason=RejectReason.BAD_TIMESTAMP, detail=f"A time (t) is a number of seconds, not {kind(sent)}.")
    if not isinstance(seconds, int) and not math.isfinite(seconds):
        return Fault(reason=RejectReason.BAD_TIMESTAMP, detail="The time (t) is not a finite number.")
    nanos = base.time_ns + _nanos(seconds)
    micros = (nanos + 500) // 1_000
    if nanos < _RELATIVE_BELOW_S * _NANOS:
        micros += now_us
    if abs(micros) > _INT64_MAX:
        detail = "The time (t) lies outside what 64 bits of microseconds hold."
        return Fault(reason=RejectReason.BAD_TIMESTAMP, detail=detail)
    return micros


def _nanos(seconds: float) -> int:
    # bt + t in floats would lose microseconds: whole seconds and the rest apart, both exact.
    if isinstance(seconds, int):
        return seconds * _NANOS
    whole = math.floor(seconds)
    return whole * _NANOS + round((seconds - whole) * _NANOS)


def _value(record: dict[str, Any], base: _Base) -> float | str | Fault:
    given = [label for label in _VALUES if label in record]
    if len(given) > 1:
        detail = f"A record has one value, this one has {' and '.join(given)}."
        return Fault(reason=RejectReason.WRONG_TYPE, detail=detail)
    if given == ["v"]:
        return _sum(number(record["v"]), record["v"], base)
    if given:
        return _other_value(given[0], record[given[0]])
    if "s" in record:
        detail = "The record has a sum (s) and no value; sums are not stored."
        return Fault(reason=RejectReason.UNSUPPORTED_TYPE, detail=detail)
    if base.value is None:
        return Fault(reason=RejectReason.MISSING_VALUE, detail="The record has no value (v, vb or vs).")
    return _sum(0, None, base)


def _sum(size: float | None, sent: object, base: _Base) -> float | Fault:
    """Base value and value."""
    if size is None:
        return Fault(reason=RejectReason.WRONG_TYPE, detail=f"v is a number, not {kind(sent)}.")
    value = _float(size) + (base.value or 0.0)
    if math.isfinite(value):
        return value
    detail = "The value is NaN, infinite or too large for a 64-bit number."
    return Fault(reason=RejectReason.NOT_FINITE, detail=detail)


def _other_value(label: str, content: object) -> float | str | Fault:
    if label == "vd":
        return Fault(reason=RejectReason.UNSUPPORTED_TYPE, detail="Binary data (vd) is no reading.")
    if label == "vs" and isinstance(content, str):
        return content
    if label == "vb" and isinstance(content, bool):
        return float(content)
    expected = "a text" if label == "vs" else "true or false"
    return Fault(reason=RejectReason.WRONG_TYPE, detail=f"{label} is {expected}, not {kind(content)}.")


def _float(size: float) -> float:
    try:
        return float(size)
    except OverflowError:
        # Not copysign, which makes a float of it first.
        return math.inf if size > 0 else -math.inf


def _shown(content: object) -> str:
    size = number(content)
    return kind(content) if size is None else f"{size:.10g}" if isinstance(size, float) else f"{size}"[:40]


SENML_JSON = SenmlCodec(read_json, json_text)
SENML_CBOR = SenmlCodec(lambda payload: read_cbor(payload, max_depth=_DEEPEST), cbor_text)
