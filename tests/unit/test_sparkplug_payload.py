"""Sparkplug B payloads: every data type, both ways, and beside an implementation that we did not write."""

import contextlib
import struct
from datetime import UTC, datetime
from typing import Any

import pysparkplug
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.reasons import RejectReason
from ingest.sparkplug.datatypes import FIELD_OF, INTEGER_BITS, DataType, DatatypeError, number_of, wire_of
from ingest.sparkplug.payload import (
    Cell,
    DataSet,
    Parameter,
    Payload,
    PayloadError,
    PayloadMetric,
    Property,
    Template,
    decode_payload,
    encode_payload,
    metric_of,
)
from ingest.sparkplug.values import MOST_MEMBERS, UnfitValueError, parts_of, quality_of
from telemetry.quality import Quality

MS = 1_700_000_000_000

_REAL = {
    DataType.FLOAT: st.floats(width=32, allow_nan=False, allow_infinity=False),
    DataType.DOUBLE: st.floats(allow_nan=False, allow_infinity=False),
    DataType.BOOLEAN: st.booleans(),
    DataType.STRING: st.text(),
    DataType.TEXT: st.text(),
    DataType.UUID: st.uuids().map(str),
}


def values_of(datatype: DataType) -> st.SearchStrategy[Any]:
    """Anything a simple type can hold."""
    if datatype not in INTEGER_BITS:
        return _REAL[datatype]
    bits, signed = INTEGER_BITS[datatype]
    low = -(2 ** (bits - 1)) if signed else 0
    return st.integers(low, 2 ** (bits - signed) - 1)


SIMPLE = [*INTEGER_BITS, *_REAL]


def round_trip(metric: PayloadMetric) -> PayloadMetric:
    (back,) = decode_payload(encode_payload(Payload(metrics=[metric]))).metrics
    return back


def parts(metric: PayloadMetric) -> list[Any]:
    """The readings of a metric, as (part, value)."""
    return [(name, value) for name, _, value in parts_of(metric, DataType(metric.datatype or 0))]


def raw(datatype: DataType, field: str, value: Any) -> PayloadMetric:
    return PayloadMetric(name="m", datatype=datatype, field=field, raw=value)


@settings(deadline=None, max_examples=40)
@given(st.data())
@pytest.mark.parametrize("datatype", SIMPLE, ids=lambda datatype: datatype.name)
def test_a_value_of_a_simple_type_comes_back_as_it_was(datatype: DataType, data: st.DataObject) -> None:
    """tck-id-payloads-metric-datatype-value, tck-id-payloads-metric-datatype-value-type"""
    value = data.draw(values_of(datatype))
    metric = round_trip(metric_of("m", datatype, value, timestamp_ms=MS))
    assert metric.datatype == datatype
    if isinstance(value, str) and "\0" in value:
        return
    assert parts(metric) == [("", value)]


@pytest.mark.parametrize("datatype", SIMPLE, ids=lambda datatype: datatype.name)
@settings(deadline=None, max_examples=40)
@given(st.data())
def test_our_bytes_mean_the_same_to_pysparkplug(datatype: DataType, data: st.DataObject) -> None:
    """tck-id-payloads-metric-datatype-value"""
    value = data.draw(values_of(datatype) if datatype is not DataType.DATETIME else st.integers(0, 4_000_000_000_000))
    sent = metric_of("m", datatype, value, alias=7, timestamp_ms=MS, is_historical=True)
    theirs = pysparkplug.NData.decode(encode_payload(Payload(timestamp_ms=MS, seq=9, metrics=[sent])))
    (metric,) = theirs.metrics
    assert (theirs.timestamp, theirs.seq, metric.name, metric.alias, metric.is_historical) == (MS, 9, "m", 7, True)
    if datatype is DataType.DATETIME:
        value = datetime.fromtimestamp(value * 1e-3, tz=UTC)
    assert metric.value == value


@pytest.mark.parametrize("datatype", SIMPLE, ids=lambda datatype: datatype.name)
@settings(deadline=None, max_examples=40)
@given(st.data())
def test_the_bytes_of_pysparkplug_mean_the_same_to_us(datatype: DataType, data: st.DataObject) -> None:
    """tck-id-payloads-metric-datatype-value, tck-id-payloads-sequence-num-always-included"""
    value: Any = data.draw(values_of(datatype))
    if datatype is DataType.DATETIME:
        value = datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    metric = pysparkplug.Metric(
        timestamp=MS, name="m", datatype=pysparkplug.DataType(datatype), value=value, alias=3, is_transient=True
    )
    payload = decode_payload(pysparkplug.NBirth(timestamp=MS, seq=4, metrics=[metric]).encode())
    (ours,) = payload.metrics
    assert (payload.timestamp_ms, payload.seq, ours.name, ours.alias, ours.is_transient) == (MS, 4, "m", 3, True)
    if datatype is DataType.DATETIME:
        value = MS
    if isinstance(value, str) and "\0" in value:
        return
    assert parts(ours) == [("", value)]


def test_a_null_of_pysparkplug_is_a_null_of_ours() -> None:
    """tck-id-operational-behavior-data-publish-nbirth-values"""
    metric = pysparkplug.Metric(timestamp=MS, name="m", datatype=pysparkplug.DataType.INT32, value=None)
    (ours,) = decode_payload(pysparkplug.NData(timestamp=MS, seq=0, metrics=[metric]).encode()).metrics
    assert ours.is_null
    assert ours.field is None


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_bytes_are_a_payload_or_a_payload_error(data: bytes) -> None:
    with contextlib.suppress(PayloadError):
        decode_payload(data)


_TEXT = st.text(max_size=12)
_PROPERTY = st.one_of(
    st.builds(Property, st.just(int(DataType.INT32)), st.integers(0, 2**32 - 1)),
    st.builds(Property, st.just(int(DataType.DOUBLE)), st.floats(allow_nan=False)),
    st.builds(Property, st.just(int(DataType.BOOLEAN)), st.booleans()),
    st.builds(Property, st.just(int(DataType.STRING)), _TEXT),
    st.builds(Property, st.just(int(DataType.STRING)), st.none()),
)
_PROPERTIES = st.dictionaries(
    _TEXT,
    _PROPERTY
    | st.builds(Property, st.just(int(DataType.PROPERTY_SET)), st.dictionaries(_TEXT, _PROPERTY, max_size=2))
    | st.builds(
        Property,
        st.just(int(DataType.PROPERTY_SET_LIST)),
        st.lists(st.dictionaries(_TEXT, _PROPERTY, max_size=2), max_size=2),
    ),
    max_size=3,
)
_CELL = st.one_of(
    st.builds(Cell, st.just("int_value"), st.integers(0, 2**32 - 1)),
    st.builds(Cell, st.just("long_value"), st.integers(0, 2**64 - 1)),
    st.builds(Cell, st.just("double_value"), st.floats(allow_nan=False)),
    st.builds(Cell, st.just("boolean_value"), st.booleans()),
    st.builds(Cell, st.just("string_value"), _TEXT),
)
_TABLE = st.builds(
    DataSet,
    st.integers(0, 2**64 - 1),
    st.lists(_TEXT, max_size=3),
    st.lists(st.integers(0, 40), max_size=3),
    st.lists(st.lists(st.none() | _CELL, max_size=3), max_size=2),
)
_MEMBER = st.builds(PayloadMetric, name=_TEXT, field=st.just("string_value"), raw=_TEXT)
_TEMPLATE = st.builds(
    Template,
    st.booleans(),
    st.none() | _TEXT,
    st.none() | _TEXT,
    st.lists(_MEMBER, max_size=2),
    st.lists(st.builds(Parameter, _TEXT, st.integers(0, 40), st.none() | _CELL), max_size=2),
)


@settings(deadline=None)
@given(
    st.builds(
        Payload,
        timestamp_ms=st.none() | st.integers(0, 2**64 - 1),
        seq=st.none() | st.integers(0, 2**64 - 1),
        uuid=st.none() | _TEXT,
        body=st.none() | st.binary(max_size=5),
        metrics=st.lists(
            st.builds(
                PayloadMetric,
                name=st.none() | _TEXT,
                alias=st.none() | st.integers(0, 2**64 - 1),
                timestamp_ms=st.none() | st.integers(0, 2**64 - 1),
                datatype=st.none() | st.integers(0, 2**32 - 1),
                is_historical=st.booleans(),
                is_null=st.booleans(),
                properties=_PROPERTIES,
            ).flatmap(
                lambda metric: st.sampled_from(["dataset_value", "template_value", "bytes_value"]).flatmap(
                    lambda field: {
                        "dataset_value": _TABLE,
                        "template_value": _TEMPLATE,
                        "bytes_value": st.binary(max_size=5),
                    }[field].map(lambda value: replaced(metric, field, value))
                )
            ),
            max_size=3,
        ),
    )
)
def test_any_payload_comes_back_as_it_was(payload: Payload) -> None:
    """tck-id-payloads-template-dataset-value, tck-id-payloads-template-parameter-value,
    tck-id-payloads-metric-propertyvalue-type-value, tck-id-payloads-metric-propertyvalue-type-type,
    tck-id-payloads-template-version, tck-id-payloads-template-ref-instance,
    tck-id-payloads-template-is-definition, tck-id-payloads-dataset-types-def,
    tck-id-payloads-template-parameter-name-type, tck-id-payloads-template-parameter-value-type"""
    assert decode_payload(encode_payload(payload)) == payload


def replaced(metric: PayloadMetric, field: str, value: Any) -> PayloadMetric:
    kept = {name: getattr(metric, name) for name in metric.__struct_fields__ if name not in {"field", "raw"}}
    return PayloadMetric(field=field, raw=value, **kept)


@pytest.mark.parametrize(
    ("datatype", "field", "sent", "meant"),
    [
        (DataType.INT8, "int_value", 0xFF, -1),
        (DataType.INT8, "int_value", 0xFFFF_FFFF, -1),
        (DataType.INT8, "int_value", 127, 127),
        (DataType.INT16, "int_value", 0x8000, -32768),
        (DataType.INT32, "int_value", 0xFFFF_FFFE, -2),
        (DataType.INT32, "long_value", 2**64 - 2, -2),
        (DataType.INT64, "long_value", 2**64 - 1, -1),
        (DataType.INT64, "int_value", 5, 5),
        (DataType.UINT64, "long_value", 2**64 - 1, 2**64 - 1),
        (DataType.UINT32, "long_value", 9, 9),
        (DataType.DOUBLE, "int_value", 3, 3),
        (DataType.DOUBLE, "int_value", 0xFFFF_FFFF, -1),
        (DataType.FLOAT, "double_value", 0.5, 0.5),
        (DataType.BOOLEAN, "int_value", 1, 1),
        (DataType.UNKNOWN, "long_value", 9, 9),
    ],
)
def test_a_number_is_understood_in_whatever_field_it_comes(
    datatype: DataType, field: str, sent: float, meant: float
) -> None:
    assert number_of(datatype, field, sent) == meant
    assert parts(round_trip(raw(datatype, field, sent))) == [("", meant)]


@pytest.mark.parametrize(
    ("datatype", "field", "sent", "reason"),
    [
        (DataType.INT8, "int_value", 300, RejectReason.WRONG_TYPE),
        (DataType.UINT8, "int_value", 256, RejectReason.WRONG_TYPE),
        (DataType.UINT32, "long_value", 2**32, RejectReason.WRONG_TYPE),
        (DataType.BOOLEAN, "int_value", 2, RejectReason.WRONG_TYPE),
        (DataType.DOUBLE, "string_value", "1.5", RejectReason.WRONG_TYPE),
        (DataType.STRING, "double_value", 1.5, RejectReason.WRONG_TYPE),
        (DataType.STRING, "string_value", "a\0b", RejectReason.WRONG_TYPE),
        (DataType.INT32_ARRAY, "double_value", 1.5, RejectReason.WRONG_TYPE),
        (DataType.DOUBLE, "double_value", float("nan"), RejectReason.NOT_FINITE),
        (DataType.FLOAT, "float_value", float("inf"), RejectReason.NOT_FINITE),
        (DataType.BYTES, "bytes_value", b"abc", RejectReason.UNSUPPORTED_TYPE),
        (DataType.FILE, "bytes_value", b"abc", RejectReason.UNSUPPORTED_TYPE),
        (DataType.INT32_ARRAY, "bytes_value", b"abcde", RejectReason.WRONG_TYPE),
        (DataType.INT8_ARRAY, "bytes_value", bytes(MOST_MEMBERS + 1), RejectReason.UNSUPPORTED_TYPE),
        (DataType.BOOLEAN_ARRAY, "bytes_value", b"\x09\0\0\0\xff", RejectReason.WRONG_TYPE),
        (DataType.BOOLEAN_ARRAY, "bytes_value", b"\xff\xff\0\0" + bytes(0x2000), RejectReason.UNSUPPORTED_TYPE),
        (DataType.STRING_ARRAY, "bytes_value", b"abc", RejectReason.WRONG_TYPE),
        (DataType.STRING_ARRAY, "bytes_value", b"\xff\0", RejectReason.INVALID_UTF8),
        (DataType.STRING_ARRAY, "bytes_value", b"\0" * (MOST_MEMBERS + 1), RejectReason.UNSUPPORTED_TYPE),
        (DataType.DOUBLE_ARRAY, "bytes_value", struct.pack("<2d", 1, float("inf")), RejectReason.NOT_FINITE),
    ],
)
def test_what_is_no_value_of_its_type_is_rejected_with_the_reason(
    datatype: DataType, field: str, sent: Any, reason: RejectReason
) -> None:
    with pytest.raises(UnfitValueError) as caught:
        parts(round_trip(raw(datatype, field, sent)))
    assert caught.value.reason is reason


@pytest.mark.parametrize(
    ("datatype", "data", "values"),
    [
        (DataType.INT8_ARRAY, "ef7b", [-17, 123]),
        (DataType.INT16_ARRAY, "d08a3075", [-30000, 30000]),
        (DataType.INT32_ARRAY, "fffffffffaafcb12", [-1, 315338746]),
        (DataType.INT64_ARRAY, "ce0672ac189cbac4", [-4270929666821191986]),
        (DataType.UINT8_ARRAY, "17fa", [23, 250]),
        (DataType.UINT16_ARRAY, "1e0088cc", [30, 52360]),
        (DataType.UINT32_ARRAY, "3400000049fb55c4", [52, 3293969225]),
        (DataType.UINT64_ARRAY, "3400000000000000", [52]),
        (DataType.FLOAT_ARRAY, "0000003f", [0.5]),
        (DataType.DOUBLE_ARRAY, "000000000000e0bf", [-0.5]),
        (DataType.BOOLEAN_ARRAY, "0c00000034d0", [0, 0, 1, 1, 0, 1, 0, 0, 1, 1, 0, 1]),
        (DataType.STRING_ARRAY, "41424300" + "68656c6c6f00", ["ABC", "hello"]),
        (DataType.DATETIME_ARRAY, struct.pack("<Q", MS).hex(), [MS]),
        (DataType.DOUBLE_ARRAY, "", []),
    ],
    ids=lambda value: value.name if isinstance(value, DataType) else "",
)
def test_the_elements_of_an_array_are_readings_by_their_position(
    datatype: DataType, data: str, values: list[Any]
) -> None:
    """tck-id-payloads-metric-datatype-value"""
    metric = round_trip(raw(datatype, "bytes_value", bytes.fromhex(data)))
    assert parts(metric) == [(str(place), value) for place, value in enumerate(values)]


def table(rows: list[list[Cell | None]], columns: list[str] | None = None, types: list[int] | None = None) -> Any:
    columns = ["speed", "load", "mode"] if columns is None else columns
    types = [DataType.INT16, DataType.DOUBLE, DataType.STRING] if types is None else types
    return round_trip(raw(DataType.DATASET, "dataset_value", DataSet(3, columns, types, rows)))


ROW: list[Cell | None] = [Cell("int_value", 0xFFFF), Cell("double_value", 0.5), Cell("string_value", "auto")]


def test_the_columns_of_a_table_with_one_row_are_readings_by_their_name() -> None:
    """tck-id-payloads-template-dataset-value, tck-id-payloads-dataset-types-type,
    tck-id-payloads-dataset-types-value, tck-id-payloads-dataset-parameter-type-req"""
    assert parts(table([ROW])) == [("speed", -1), ("load", 0.5), ("mode", "auto")]


def test_a_table_with_several_rows_is_no_reading() -> None:
    with pytest.raises(UnfitValueError, match="2 rows") as caught:
        parts(table([ROW, ROW]))
    assert caught.value.reason is RejectReason.UNSUPPORTED_TYPE


@pytest.mark.parametrize(
    "broken",
    [
        table([ROW], columns=["speed", "load"]),
        table([ROW], types=[DataType.INT16, DataType.DOUBLE]),
        table([ROW], types=[]),
        table([ROW], columns=["a", "b", "c", "d"], types=[3, 3, 3, 3]),
        table([ROW[:2]]),
        table([ROW], columns=["speed", "speed", "mode"]),
        table([ROW], columns=["speed", "", "mode"]),
    ],
    ids=["columns", "types", "no types", "width", "row", "same name", "no name"],
)
def test_a_table_whose_parts_do_not_match_is_rejected(broken: PayloadMetric) -> None:
    """tck-id-payloads-dataset-column-num-headers, tck-id-payloads-dataset-types-num,
    tck-id-payloads-dataset-column-size, tck-id-payloads-dataset-parameter-type-req"""
    with pytest.raises(UnfitValueError) as caught:
        parts(broken)
    assert caught.value.reason is RejectReason.WRONG_TYPE


@pytest.mark.parametrize(
    ("code", "quality"),
    [
        (0, Quality.BAD),
        (192, Quality.GOOD),
        (500, Quality.STALE),
        (216, Quality.GOOD),
        (28, Quality.BAD),
        (64, Quality.UNCERTAIN),
        (88, Quality.UNCERTAIN),
        (600, Quality.BAD),
        (0x4000_0000, Quality.UNCERTAIN),
        (0x8000_0000, Quality.BAD),
    ],
)
def test_the_property_quality_says_what_a_value_is_worth(code: int, quality: Quality) -> None:
    """tck-id-payloads-propertyset-quality-value-value, tck-id-payloads-propertyset-quality-value-type"""
    metric = metric_of("m", DataType.DOUBLE, 1.0, properties={"Quality": Property(DataType.INT32, code)})
    assert quality_of(round_trip(metric).properties) is quality


def test_a_metric_without_quality_is_good() -> None:
    """tck-id-payloads-propertyset-quality-value-value"""
    assert quality_of(round_trip(metric_of("m", DataType.DOUBLE, 1.0)).properties) is Quality.GOOD


def test_a_quality_that_is_no_number_is_rejected() -> None:
    """tck-id-payloads-propertyset-quality-value-type"""
    with pytest.raises(UnfitValueError) as caught:
        quality_of({"Quality": Property(DataType.STRING, "good")})
    assert caught.value.reason is RejectReason.UNKNOWN_QUALITY


@pytest.mark.parametrize("data", ["1207" + "4a05" + "0a034f6e65", "1206" + "4a04" + "12020803"], ids=["name", "value"])
def test_properties_with_more_names_than_values_or_fewer_are_no_properties(data: str) -> None:
    """tck-id-payloads-propertyset-keys-array-size, tck-id-payloads-propertyset-values-array-size"""
    (metric,) = decode_payload(bytes.fromhex(data)).metrics
    assert metric.properties is None
    with pytest.raises(UnfitValueError) as caught:
        quality_of(metric.properties)
    assert caught.value.reason is RejectReason.UNKNOWN_QUALITY


def test_a_name_that_is_not_utf_8_spoils_its_own_metric_only() -> None:
    bad, good = decode_payload(bytes.fromhex("12040a02fffe" + "12030a0161")).metrics
    assert bad.flaw == "\\xff\\xfe"
    assert (good.name, good.flaw) == ("a", None)


@pytest.mark.parametrize(
    ("datatype", "value"),
    [
        (DataType.INT8, 128),
        (DataType.UINT16, -1),
        (DataType.UINT64, 2**64),
        (DataType.INT32, 1.5),
        (DataType.INT32, "1"),
        (DataType.INT32, True),
        (DataType.FLOAT, 1e39),
        (DataType.BOOLEAN, 1),
        (DataType.STRING, 1),
        (DataType.DATASET, 1),
        (DataType.INT32, float("nan")),
        (DataType.INT64, float("inf")),
    ],
)
def test_a_value_that_is_not_of_a_type_cannot_be_written_as_one(datatype: DataType, value: Any) -> None:
    """tck-id-operational-behavior-data-commands-ncmd-metric-value"""
    with pytest.raises(DatatypeError):
        wire_of(datatype, value)


def test_every_data_type_of_a_metric_has_its_field() -> None:
    """tck-id-payloads-metric-datatype-value"""
    apart = {DataType.UNKNOWN, DataType.PROPERTY_SET, DataType.PROPERTY_SET_LIST}
    assert set(FIELD_OF) == set(DataType) - apart
    assert [int(datatype) for datatype in DataType] == list(range(35))
