"""Payloads of Sparkplug B: bytes to records and back.

What a metric's value means depends on its data type, which data messages leave out: here it is left as it travels
(`field` and `raw`), `ingest.sparkplug.values` tells what it means.
"""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from google.protobuf.message import DecodeError

from ingest.sparkplug.datatypes import DataType, wire_of
from ingest.sparkplug.schema import WirePayload, WirePropertySet
from telemetry.errors import PrecursorError

__all__ = [
    "Cell",
    "DataSet",
    "Parameter",
    "Payload",
    "PayloadError",
    "PayloadMetric",
    "Property",
    "Template",
    "decode_payload",
    "decode_properties",
    "encode_payload",
    "metric_of",
]


class PayloadError(PrecursorError, ValueError):
    """Bytes are no Sparkplug B payload; the message says why."""


# Structs and not dataclasses: one is made per metric, see `ingest.message.Message`.
class Cell(msgspec.Struct, frozen=True, gc=False):
    """One value as it travels, of a data set or a template's parameter."""

    field: str
    """`int_value`, `long_value`, `float_value`, `double_value`, `boolean_value` or `string_value`"""
    raw: bool | int | float | str


class Property(msgspec.Struct, frozen=True, gc=False):
    """A value that a metric says about itself."""

    type: int
    """number of its data type; 0: not said"""
    value: "bool | int | float | str | Mapping[str, Property] | list[Mapping[str, Property]] | None"
    """as it travels (signed integers in two's complement); None: null, or not set"""


class DataSet(msgspec.Struct, frozen=True, gc=False):
    """A table."""

    width: int
    """number of columns, as said"""
    columns: list[str]
    types: list[int]
    rows: list[list[Cell | None]]


class Parameter(msgspec.Struct, frozen=True, gc=False):
    """A value that instances of a template have in common, or set for themselves."""

    name: str
    type: int
    value: Cell | None


class Template(msgspec.Struct, frozen=True, gc=False):
    """A group of metrics: the definition of a kind of them, or an instance of it."""

    is_definition: bool
    reference: str | None
    """an instance's definition"""
    version: str | None
    metrics: "list[PayloadMetric]"
    parameters: list[Parameter]


class PayloadMetric(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One metric of a message. None: not said."""

    name: str | None = None
    alias: int | None = None
    timestamp_ms: int | None = None
    datatype: int | None = None
    """a number of `DataType`, or one that is unknown"""
    field: str | None = None
    """which field holds the value, as in `schema.VALUE_FIELDS`; None: there is no value"""
    raw: bool | int | float | str | bytes | DataSet | Template | None = None
    """the value as it travels"""
    is_historical: bool = False
    is_transient: bool = False
    is_null: bool = False
    properties: Mapping[str, Property] | None = msgspec.field(default_factory=dict)
    """None: there are more names than values, or fewer, so that nobody can tell which belong together"""
    flaw: str | None = None
    """a text in it that is not UTF-8; shown with \\xNN"""


class Payload(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One message."""

    timestamp_ms: int | None = None
    """when it was sent, ms since 1970-01-01 UTC"""
    seq: int | None = None
    metrics: list[PayloadMetric] = msgspec.field(default_factory=list)
    uuid: str | None = None
    body: bytes | None = None
    """content of another form; Sparkplug does not say which"""


def decode_payload(data: bytes) -> Payload:
    """Take a payload apart.

    Raises:
        PayloadError: not protobuf of this form, or nested too deeply.
    """
    try:
        wire = WirePayload.FromString(data)
        return Payload(
            timestamp_ms=wire.timestamp if wire.HasField("timestamp") else None,
            seq=wire.seq if wire.HasField("seq") else None,
            metrics=[_metric(metric) for metric in wire.metrics],
            uuid=_text(wire.uuid) if wire.HasField("uuid") else None,
            body=wire.body if wire.HasField("body") else None,
        )
    except (DecodeError, RecursionError) as error:
        raise PayloadError("the payload is not protobuf of Sparkplug B") from error


@lru_cache(maxsize=1024)
def decode_properties(data: bytes) -> Mapping[str, Property] | None:
    """A property set alone; None: names and values do not belong together. Most messages repeat a few of them.

    Raises:
        PayloadError: not protobuf of this form.
    """
    try:
        return _property_set(WirePropertySet.FromString(data))
    except (DecodeError, RecursionError) as error:
        raise PayloadError("the properties are not protobuf of Sparkplug B") from error


def encode_payload(payload: Payload) -> bytes:
    """The bytes of a payload. Fields that are None or false are left out."""
    wire = WirePayload()
    if payload.timestamp_ms is not None:
        wire.timestamp = payload.timestamp_ms
    if payload.seq is not None:
        wire.seq = payload.seq
    if payload.uuid is not None:
        wire.uuid = payload.uuid.encode()
    if payload.body is not None:
        wire.body = payload.body
    for metric in payload.metrics:
        _fill_metric(wire.metrics.add(), metric)
    data: bytes = wire.SerializeToString()
    return data


def metric_of(
    name: str | None,
    datatype: DataType,
    value: bool | int | float | str | None,
    *,
    alias: int | None = None,
    timestamp_ms: int | None = None,
    with_datatype: bool = True,
    is_historical: bool = False,
    is_transient: bool = False,
    properties: Mapping[str, Property] | None = None,
) -> PayloadMetric:
    """A metric with a value of a simple type; None is null.

    Raises:
        DatatypeError: the value is not of the type, or out of its range.
    """
    field, raw = (None, None) if value is None else wire_of(datatype, value)
    return PayloadMetric(
        name=name,
        alias=alias,
        timestamp_ms=timestamp_ms,
        datatype=datatype if with_datatype else None,
        field=field,
        raw=raw.decode() if isinstance(raw, bytes) else raw,
        is_null=value is None,
        is_historical=is_historical,
        is_transient=is_transient,
        properties=properties or {},
    )


def _text(raw: bytes) -> str:
    return raw.decode(errors="backslashreplace")


def _metric(wire: Any) -> PayloadMetric:
    has = wire.HasField
    field = wire.WhichOneof("value")
    flaw = None
    name = None
    if has("name"):
        name = _text(wire.name)
        if name.encode() != wire.name:
            flaw = name
    raw: Any = None
    if field is not None:
        raw = getattr(wire, field)
        if field == "string_value":
            text = _text(raw)
            if text.encode() != raw:
                flaw = text
            raw = text
        elif field == "dataset_value":
            raw = _data_set(raw)
        elif field == "template_value":
            raw = _template(raw)
    return PayloadMetric(
        name=name,
        alias=wire.alias if has("alias") else None,
        timestamp_ms=wire.timestamp if has("timestamp") else None,
        datatype=wire.datatype if has("datatype") else None,
        field=field,
        raw=raw,
        is_historical=wire.is_historical,
        is_transient=wire.is_transient,
        is_null=wire.is_null,
        properties=_property_set(wire.properties) if has("properties") else {},
        flaw=flaw,
    )


def _property_set(wire: Any) -> dict[str, Property] | None:
    if len(wire.keys) != len(wire.values):
        return None
    return {
        _text(key): Property(value.type, _property(value)) for key, value in zip(wire.keys, wire.values, strict=True)
    }


def _property(wire: Any) -> bool | int | float | str | dict[str, Property] | list[Mapping[str, Property]] | None:
    field = None if wire.is_null else wire.WhichOneof("value")
    if field is None:
        return None
    value = getattr(wire, field)
    if field == "string_value":
        return _text(value)
    if field == "propertyset_value":
        return _property_set(value)
    if field == "propertysets_value":
        return [_property_set(one) or {} for one in value.propertyset]
    plain: bool | float = value
    return plain


def _cell(wire: Any) -> Cell | None:
    field = wire.WhichOneof("value")
    if field is None:
        return None
    raw = getattr(wire, field)
    return Cell(field, _text(raw) if field == "string_value" else raw)


def _data_set(wire: Any) -> DataSet:
    return DataSet(
        wire.num_of_columns,
        [_text(column) for column in wire.columns],
        list(wire.types),
        [[_cell(element) for element in row.elements] for row in wire.rows],
    )


def _template(wire: Any) -> Template:
    return Template(
        wire.is_definition,
        _text(wire.template_ref) if wire.HasField("template_ref") else None,
        _text(wire.version) if wire.HasField("version") else None,
        [_metric(metric) for metric in wire.metrics],
        [Parameter(_text(one.name), one.type, _cell(one)) for one in wire.parameters],
    )


def _fill_metric(wire: Any, metric: PayloadMetric) -> None:
    if metric.name is not None:
        wire.name = metric.name.encode()
    if metric.alias is not None:
        wire.alias = metric.alias
    if metric.timestamp_ms is not None:
        wire.timestamp = metric.timestamp_ms
    if metric.datatype is not None:
        wire.datatype = metric.datatype
    for flag in ("is_historical", "is_transient", "is_null"):
        if getattr(metric, flag):
            setattr(wire, flag, True)
    if metric.properties:
        _fill_properties(wire.properties, metric.properties)
    if isinstance(metric.raw, DataSet):
        _fill_data_set(wire.dataset_value, metric.raw)
    elif isinstance(metric.raw, Template):
        _fill_template(wire.template_value, metric.raw)
    elif metric.field is not None:
        _fill_value(wire, metric.field, metric.raw)


def _fill_value(wire: Any, field: str, raw: bool | int | float | str | bytes | None) -> None:
    setattr(wire, field, raw.encode() if isinstance(raw, str) else raw)


def _fill_properties(wire: Any, properties: Mapping[str, Property]) -> None:
    for key, one in properties.items():
        wire.keys.append(key.encode())
        value = wire.values.add()
        value.type = one.type
        if one.value is None:
            value.is_null = True
        elif isinstance(one.value, Mapping):
            value.propertyset_value.SetInParent()
            _fill_properties(value.propertyset_value, one.value)
        elif isinstance(one.value, list):
            value.propertysets_value.SetInParent()
            for each in one.value:
                _fill_properties(value.propertysets_value.propertyset.add(), each)
        else:
            _fill_value(value, _field_of_property(one.type, one.value), one.value)


def _field_of_property(datatype: int, value: bool | int | float | str) -> str:
    if isinstance(value, bool):
        return "boolean_value"
    if isinstance(value, str):
        return "string_value"
    if isinstance(value, float):
        return "float_value" if datatype == DataType.FLOAT else "double_value"
    return "long_value" if datatype in {DataType.INT64, DataType.UINT64, DataType.DATETIME} else "int_value"


def _fill_cells(wire: Any, cells: Iterable[Cell | None]) -> None:
    for cell in cells:
        element = wire.add()
        if cell is not None:
            _fill_value(element, cell.field, cell.raw)


def _fill_data_set(wire: Any, table: DataSet) -> None:
    wire.num_of_columns = table.width
    wire.columns.extend(column.encode() for column in table.columns)
    wire.types.extend(table.types)
    for row in table.rows:
        _fill_cells(wire.rows.add().elements, row)


def _fill_template(wire: Any, template: Template) -> None:
    wire.is_definition = template.is_definition
    if template.reference is not None:
        wire.template_ref = template.reference.encode()
    if template.version is not None:
        wire.version = template.version.encode()
    for metric in template.metrics:
        _fill_metric(wire.metrics.add(), metric)
    for parameter in template.parameters:
        one = wire.parameters.add()
        one.name = parameter.name.encode()
        one.type = parameter.type
        if parameter.value is not None:
            _fill_value(one, parameter.value.field, parameter.value.raw)
