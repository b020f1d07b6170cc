"""The quick reading of data messages: a whole message at once, as columns, where every metric is plain.

`WireColumns` merges the metrics of a message into columns. That loses which value belonged to which metric, unless it
can be shown again, and that is what is done here: as many aliases (or names) as metrics means one each; as many values
as metrics, all of one field, means one each too; and where fields differ, the bytes of each metric are asked for its
field. Anything else (a null, a value of an unexpected field, an unknown alias) is for the careful reading, which must
give the same: a test compares the two on every message it can think of.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from google.protobuf.message import DecodeError

from ingest.sparkplug.datatypes import DatatypeError, number_of
from ingest.sparkplug.metric import Metric
from ingest.sparkplug.payload import PayloadError, decode_properties
from ingest.sparkplug.schema import WireColumns, WireFrames
from ingest.sparkplug.values import UnfitValueError, quality_of

__all__ = ["LATEST_MS", "Quick", "read_quickly", "remember_live"]

LATEST_MS: Final = (2**63 - 1) // 1000
"""the last millisecond whose microseconds fit into 64 bits"""

_TIMESTAMP_TAG: Final = 0x18
_SIX_BYTES_FROM_MS: Final = 2**35
_SIX_BYTES_BELOW_MS: Final = 2**42
"""times whose encoding has six bytes: 1971 to 2109"""


class Quick(NamedTuple):
    """What a data message says. Equal positions belong together."""

    sent_ms: int | None
    seq: int | None
    metrics: list[Metric]
    times: list[int]
    """microseconds since 1970-01-01 UTC"""
    values: list[float | str]
    qualities: list[int]
    historical: list[int]
    """positions"""
    plain: bool
    """good numbers all of them, and none historical"""


class _NotPlainError(Exception):
    """The message has to be read carefully."""


def read_quickly(data: bytes, by_alias: Mapping[int, Metric], by_name: Mapping[bytes, Metric]) -> Quick | None:
    """What a data message of a node or device with these metrics says; None: it has to be read carefully."""
    try:
        wire = WireColumns.FromString(data)
        columns = wire.metrics
        # A slice is a list: going through the field itself takes twice as long.
        aliases = columns.alias[:]
        names = columns.name[:]
        if aliases and names:
            return None
        metrics = list(map(by_alias.__getitem__, aliases) if aliases else map(by_name.__getitem__, names))
        # One identity each: as many as there are metrics.
        frames = WireFrames.FromString(data).metrics
        if not metrics or len(frames) != len(metrics) or _has_more(columns):
            return None
        sent_ms = wire.timestamp if wire.HasField("timestamp") else None
        times = _times(columns.timestamp[:], sent_ms, len(metrics))
        qualities = _qualities(columns.properties, len(metrics))
        historical = _historical(columns.is_historical, len(metrics))
        values = _values(columns, metrics, frames, named=not aliases)
        seq = wire.seq if wire.HasField("seq") else None
        plain = not (historical or columns.string_value or any(qualities))
        return Quick(sent_ms, seq, metrics, times, values, qualities, historical, plain)
    except (DecodeError, KeyError, UnicodeDecodeError, _NotPlainError, DatatypeError, PayloadError, UnfitValueError):
        return None


def remember_live(quick: Quick) -> None:
    """Keep the last values of a message some of which are not live."""
    past = set(quick.historical)
    for position, (metric, time, value) in enumerate(zip(quick.metrics, quick.times, quick.values, strict=True)):
        if position not in past and time >= metric.time:
            metric.time = time
            metric.value = value


def _has_more(columns: Any) -> bool:
    """Whether there is anything that only the careful reading understands."""
    return bool(
        columns.metadata
        or columns.bytes_value
        or columns.dataset_value
        or columns.template_value
        or any(columns.is_null)
        or any(columns.is_transient)
    )


def _times(stamps: list[int], sent_ms: int | None, count: int) -> list[int]:
    if not stamps:
        if sent_ms is None or sent_ms > LATEST_MS:
            raise _NotPlainError
        return [sent_ms * 1000] * count
    if len(stamps) != count or max(stamps) > LATEST_MS:
        raise _NotPlainError
    return [stamp * 1000 for stamp in stamps]


def _qualities(properties: Any, count: int) -> list[int]:
    if not properties:
        return [0] * count
    if len(properties) != count:
        raise _NotPlainError
    return [int(quality_of(decode_properties(one))) for one in properties]


def _historical(flags: Any, count: int) -> list[int]:
    if not flags:
        return []
    if len(flags) != count:
        raise _NotPlainError
    return [position for position, flag in enumerate(flags) if flag]


def _values(columns: Any, metrics: list[Metric], frames: Any, *, named: bool) -> list[float | str]:
    datatypes = columns.datatype
    if datatypes and [metric.datatype for metric in metrics] != datatypes[:]:
        raise _NotPlainError
    fields = {metric.field for metric in metrics}
    if "" in fields:
        raise _NotPlainError
    if len(fields) == 1:
        return _column(columns, fields.pop(), metrics)
    _check_tags(columns, metrics, frames, named=named)
    by_field = {
        field: iter(_column(columns, field, [metric for metric in metrics if metric.field == field]))
        for field in fields
    }
    return [next(by_field[metric.field]) for metric in metrics]


def _column(columns: Any, field: str, metrics: Sequence[Metric]) -> list[float | str]:
    """The values of one field, as they are meant."""
    raw: list[Any] = getattr(columns, field)[:]
    if len(raw) != len(metrics):
        raise _NotPlainError
    if field == "string_value":
        if any(b"\0" in text for text in raw):
            raise _NotPlainError
        return [text.decode() for text in raw]
    if field == "boolean_value":
        return [float(value) for value in raw]
    if field in {"int_value", "long_value"}:
        return [
            value
            if value <= metric.top
            else (value - metric.wrap if metric.wrap else number_of(metric.datatype, field, value))
            for value, metric in zip(raw, metrics, strict=True)
        ]
    # A sum is finite only if all of it is.
    if not math.isfinite(sum(raw)):
        raise _NotPlainError
    return raw


def _check_tags(columns: Any, metrics: list[Metric], frames: Any, *, named: bool) -> None:
    """Whether each metric's bytes are: alias or name, time, what else all have, and a value in the expected field.

    Properties are there for all metrics or for none.
    """
    stamps = columns.timestamp
    if not stamps or min(stamps) < _SIX_BYTES_FROM_MS or max(stamps) >= _SIX_BYTES_BELOW_MS:
        raise _NotPlainError
    behind = 7
    for flags in (columns.datatype, columns.is_historical, columns.is_transient, columns.is_null):
        if flags:
            behind += 2
            if len(flags) != len(metrics):
                raise _NotPlainError
    properties = columns.properties
    for place, (frame, metric) in enumerate(zip(frames, metrics, strict=True)):
        start = metric.by_name if named else metric.by_alias
        tag = len(start) + behind
        if properties:
            size = len(properties[place])
            tag += size + 2
            if size > 0x7F:
                raise _NotPlainError
        if (
            not frame.startswith(start)
            or len(frame) <= tag
            or frame[len(start)] != _TIMESTAMP_TAG
            or frame[tag] != metric.tag
        ):
            raise _NotPlainError
