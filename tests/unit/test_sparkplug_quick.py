"""The quick reading of a message says the same as the careful one, or leaves it to that."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.sparkplug import host as host_module
from ingest.sparkplug.datatypes import INTEGER_BITS, DataType
from ingest.sparkplug.host import SparkplugHost
from ingest.sparkplug.payload import Payload, PayloadMetric, Property, encode_payload, metric_of
from ingest.sparkplug.quick import read_quickly
from ingest.sparkplug.taken import Taken

MS = 1_700_000_000_000
NOW = MS * 1000
TOPIC = "spBv1.0/g/NDATA/n"
TYPES = [
    DataType.INT8,
    DataType.INT16,
    DataType.INT32,
    DataType.INT64,
    DataType.UINT8,
    DataType.UINT32,
    DataType.UINT64,
    DataType.FLOAT,
    DataType.DOUBLE,
    DataType.BOOLEAN,
    DataType.STRING,
    DataType.DATETIME,
    DataType.UNKNOWN,
]
NAMES = [f"{datatype.name.lower()} {number}" for datatype in TYPES for number in (1, 2)]
KINDS = {name: datatype for datatype in TYPES for name in NAMES if name.startswith(datatype.name.lower() + " ")}
ALIASES = {name: place * 60 + 1 for place, name in enumerate(NAMES)}


def born() -> SparkplugHost:
    host = SparkplugHost()
    metrics = [
        PayloadMetric(name=name, alias=ALIASES[name], datatype=KINDS[name], is_null=True, timestamp_ms=MS)
        for name in NAMES
    ]
    host.take("spBv1.0/g/NBIRTH/n", encode_payload(Payload(timestamp_ms=MS, seq=0, metrics=metrics)), NOW)
    return host


def value_of(datatype: DataType) -> st.SearchStrategy[Any]:
    if datatype in INTEGER_BITS:
        bits, signed = INTEGER_BITS[datatype]
        return st.integers(-(2 ** (bits - 1)) if signed else 0, 2 ** (bits - signed) - 1)
    return {
        DataType.BOOLEAN: st.booleans(),
        DataType.STRING: st.text(max_size=4),
        DataType.FLOAT: st.floats(width=32),
    }.get(datatype, st.floats())


@st.composite
def plain(draw: st.DrawFn, /, datatype: DataType, **more: Any) -> PayloadMetric:
    """A metric as it should be."""
    name = draw(st.sampled_from([name for name in NAMES if KINDS[name] is datatype]))
    kind = DataType.DOUBLE if datatype is DataType.UNKNOWN else datatype
    named = more.pop("named", None)
    return metric_of(
        name if named else None,
        kind,
        draw(value_of(datatype)),
        alias=None if named else ALIASES[name],
        timestamp_ms=draw(st.integers(MS, MS + 50)),
        **more,
    )


RAW: dict[str, st.SearchStrategy[Any]] = {
    "int_value": st.integers(0, 2**32 - 1),
    "long_value": st.integers(0, 2**64 - 1),
    "float_value": st.floats(width=32),
    "double_value": st.floats(),
    "boolean_value": st.booleans(),
    "string_value": st.text(max_size=3),
    "bytes_value": st.binary(max_size=3),
}


@st.composite
def odd(draw: st.DrawFn) -> PayloadMetric:
    """A metric as careless or broken nodes send it."""
    field = draw(st.sampled_from(sorted(RAW)))
    name = draw(st.sampled_from(NAMES))
    return PayloadMetric(
        name=draw(st.sampled_from([None, name, "bdSeq", "nobody"])),
        alias=draw(st.sampled_from([None, ALIASES[name], 3, 2**64 - 1])),
        timestamp_ms=draw(st.none() | st.integers(0, 2**64 - 1) | st.integers(MS, MS + 5)),
        datatype=draw(st.none() | st.integers(0, 40)),
        field=draw(st.sampled_from([field, field, None])),
        raw=draw(RAW[field]),
        is_historical=draw(st.booleans()),
        is_transient=draw(st.sampled_from([False, False, True])),
        is_null=draw(st.sampled_from([False, False, True])),
        properties=draw(st.sampled_from([{}, {}, {"Quality": Property(3, 500)}, {"Quality": Property(12, "x")}])),
    )


@st.composite
def uniform(draw: st.DrawFn) -> list[PayloadMetric]:
    """Metrics all written in one way, of one type or of several: what the quick reading is for."""
    types = draw(st.lists(st.sampled_from(TYPES), min_size=1, max_size=3))
    style = {
        "named": draw(st.booleans()),
        "with_datatype": draw(st.booleans()),
        "is_historical": draw(st.booleans()),
        "properties": draw(st.sampled_from([None, {"Quality": Property(3, 192)}, {"Quality": Property(3, 0)}])),
    }
    return draw(st.lists(st.sampled_from(types).flatmap(lambda kind: plain(kind, **style)), max_size=6))


SPOILED: list[dict[str, Any]] = [
    {"is_null": True},
    {"is_null": True, "field": None, "raw": None},
    {"is_transient": True},
    {"is_historical": True},
    {"is_historical": False},
    {"properties": {}},
    {"properties": {"Quality": Property(3, 500)}},
    {"properties": {"Quality": Property(12, "x")}},
    {"timestamp_ms": None},
    {"timestamp_ms": 2**63},
    {"timestamp_ms": 5},
    {"datatype": None},
    {"datatype": int(DataType.DOUBLE)},
    {"name": None, "alias": None},
    {"name": "bdSeq", "alias": None},
    {"name": None, "alias": 2**64 - 1},
    {"name": NAMES[0], "alias": ALIASES[NAMES[0]]},
    {"field": None, "raw": None},
    {"field": "double_value", "raw": float("nan")},
    {"field": "float_value", "raw": float("inf")},
    {"field": "double_value", "raw": 0.5},
    {"field": "int_value", "raw": 2**32 - 1},
    {"field": "long_value", "raw": 2**64 - 1},
    {"field": "string_value", "raw": "a\0b"},
    {"field": "bytes_value", "raw": b"x"},
]
"""what may be different about one metric of many"""


@st.composite
def spoiled(draw: st.DrawFn) -> list[PayloadMetric]:
    """A message that would be read quickly, but for one of its metrics."""
    metrics = draw(uniform().filter(bool))
    place = draw(st.integers(0, len(metrics) - 1))
    metrics[place] = msgspec.structs.replace(metrics[place], **draw(st.sampled_from(SPOILED)))
    return metrics


MESSAGES = st.builds(
    Payload,
    timestamp_ms=st.none() | st.just(MS),
    seq=st.none() | st.integers(0, 300),
    metrics=st.one_of(
        uniform(),
        spoiled(),
        spoiled(),
        st.lists(st.one_of(odd(), *(plain(datatype, with_datatype=False) for datatype in TYPES)), max_size=5),
    ),
)


def taken_both_ways(data: bytes) -> tuple[Taken, Taken, bool]:
    """By the quick reading where it takes it, by the careful reading alone, and whether the first was quick."""
    quick, careful = born(), born()
    device = careful.device("g/n")
    assert device is not None
    was_quick = read_quickly(data, device.by_alias, device.by_name) is not None
    one = quick.take(TOPIC, data, NOW)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host_module, "read_quickly", lambda *_: None)
        other = careful.take(TOPIC, data, NOW)
    last = [
        {metric.name: (metric.time, metric.value) for metric in host.metrics() if metric.value is not None}
        for host in (quick, careful)
    ]
    assert last[0] == last[1]
    texts = [value for value in one.values if isinstance(value, str)]
    assert one.plain is (was_quick and not (texts or one.historical or any(one.qualities)))
    return one, other, was_quick


def seen(taken: Taken) -> Any:
    """All there is, with metrics by name: the two hosts have their own."""
    rows = zip(taken.metrics, taken.times, taken.values, taken.qualities, strict=True)
    return (
        [(metric.name, time, value, quality) for metric, time, value, quality in rows],
        taken.historical,
        taken.faults,
        taken.sent_ms,
        taken.notes,
        [(news.path, news.status) for news in taken.news],
    )


@settings(max_examples=300, deadline=None)
@given(MESSAGES)
def test_both_readings_say_the_same(payload: Payload) -> None:
    one, other, _ = taken_both_ways(encode_payload(payload))
    assert seen(one) == seen(other)


@settings(max_examples=200, deadline=None)
@given(MESSAGES, st.data())
def test_both_readings_say_the_same_of_bytes_that_were_damaged(payload: Payload, data: st.DataObject) -> None:
    body = bytearray(encode_payload(payload))
    for _ in range(data.draw(st.integers(1, 3))):
        if body:
            body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    one, other, was_quick = taken_both_ways(bytes(body))
    # Metrics that no encoder writes, with a field twice: the quick reading may see another one of the two.
    if not was_quick:
        assert seen(one) == seen(other)
    assert one.carried == len(one.metrics) + len(one.faults)


@pytest.mark.parametrize(
    "datatype", [kind for kind in TYPES if kind is not DataType.UNKNOWN], ids=lambda kind: kind.name
)
@pytest.mark.parametrize("named", [False, True], ids=["alias", "name"])
@pytest.mark.parametrize("with_datatype", [False, True], ids=["bare", "typed"])
def test_plain_messages_are_read_quickly(datatype: DataType, named: bool, with_datatype: bool) -> None:
    value: Any = {DataType.STRING: "on", DataType.BOOLEAN: True}.get(datatype, 5)
    for other in (datatype, DataType.DOUBLE):
        metrics = [
            metric_of(
                name if named else None,
                KINDS[name],
                value if KINDS[name] is datatype else 2.5,
                alias=None if named else ALIASES[name],
                timestamp_ms=MS,
                with_datatype=with_datatype,
            )
            for name in NAMES
            if KINDS[name] in {datatype, other}
        ]
        one, careful, was_quick = taken_both_ways(encode_payload(Payload(seq=1, metrics=metrics)))
        assert was_quick
        assert seen(one) == seen(careful)


@pytest.mark.parametrize(
    "change", SPOILED, ids=lambda change: " ".join(f"{key}={value!r:.12}" for key, value in change.items())
)
def test_one_metric_that_is_not_plain_is_read_as_it_is(change: dict[str, Any]) -> None:
    for datatype in TYPES[:-1]:
        value: Any = {DataType.STRING: "on", DataType.BOOLEAN: True}.get(datatype, 5)
        for with_datatype, style in ((True, {}), (False, {"Quality": Property(3, 192)})):
            metrics = [
                metric_of(
                    None,
                    datatype,
                    value,
                    alias=ALIASES[name],
                    timestamp_ms=MS,
                    with_datatype=with_datatype,
                    properties=style,
                )
                for name in NAMES
                if KINDS[name] is datatype
            ]
            metrics[-1] = msgspec.structs.replace(metrics[-1], **change)
            one, careful, _ = taken_both_ways(encode_payload(Payload(timestamp_ms=MS, metrics=metrics)))
            assert seen(one) == seen(careful)


def test_values_that_changed_places_between_types_are_not_mixed_up() -> None:
    """A whole number where a fraction is due and the other way round: the columns alone could not tell."""
    metrics = [
        PayloadMetric(alias=ALIASES["double 1"], timestamp_ms=MS, field="long_value", raw=7),
        PayloadMetric(alias=ALIASES["int64 1"], timestamp_ms=MS, field="double_value", raw=0.5),
    ]
    one, careful, was_quick = taken_both_ways(encode_payload(Payload(metrics=metrics)))
    assert not was_quick
    assert seen(one) == seen(careful)
    assert [(metric.name, value) for metric, value in zip(one.metrics, one.values, strict=True)] == [
        ("double 1", 7),
        ("int64 1", 0.5),
    ]


def test_a_metric_that_says_nothing_is_not_overlooked() -> None:
    metrics = [
        PayloadMetric(alias=ALIASES["double 1"], timestamp_ms=MS, field="double_value", raw=0.5),
        PayloadMetric(),
    ]
    one, careful, was_quick = taken_both_ways(encode_payload(Payload(metrics=metrics)))
    assert not was_quick
    assert seen(one) == seen(careful)
    assert one.carried == 2
