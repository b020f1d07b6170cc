"""Arrays, tables and templates: parts that are numbers or texts become readings of their own, in bounds."""

import struct
from typing import Any

import pytest

from ingest.reasons import RejectReason
from ingest.sparkplug.datatypes import DataType
from ingest.sparkplug.edge import EdgeNode
from ingest.sparkplug.host import SparkplugHost
from ingest.sparkplug.payload import Cell, DataSet, Parameter, PayloadMetric, Property, Template, metric_of
from ingest.sparkplug.taken import Taken
from telemetry.quality import Quality

MS = 1_700_000_000_000
NOW = MS * 1000


def composite(name: str | None, datatype: DataType, raw: Any, **more: Any) -> PayloadMetric:
    field = {DataType.DATASET: "dataset_value", DataType.TEMPLATE: "template_value"}.get(datatype, "bytes_value")
    return PayloadMetric(name=name, datatype=datatype, field=field, raw=raw, timestamp_ms=MS, **more)


def array(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}i", *values)


def row(speed: int, load: float | None) -> DataSet:
    cells = [Cell("int_value", speed), None if load is None else Cell("double_value", load)]
    return DataSet(2, ["speed", "load"], [DataType.INT32, DataType.DOUBLE], [cells])


def instance(*members: PayloadMetric) -> Template:
    return Template(False, "Motor", "1", list(members), [Parameter("rating", DataType.INT32, Cell("int_value", 5))])


def member(name: str | None, value: Any, datatype: DataType | None = DataType.DOUBLE, **more: Any) -> PayloadMetric:
    return metric_of(name, datatype or DataType.DOUBLE, value, with_datatype=datatype is not None, **more)


def hear(*births: PayloadMetric, data: list[PayloadMetric] | None = None) -> Taken:
    """What a birth of a node, or the data message after it, turns out to be."""
    edge, host = EdgeNode("g", "n"), SparkplugHost()
    taken = host.take(*edge.birth(births, MS), NOW)
    return taken if data is None else host.take(*edge.data(data, MS), NOW)


def readings(taken: Taken) -> list[tuple[str, float | str]]:
    return [(metric.name, value) for metric, value in zip(taken.metrics, taken.values, strict=True)]


def reasons(taken: Taken) -> list[RejectReason]:
    return [fault.reason for fault in taken.faults]


def test_the_elements_of_an_array_are_sensors_by_position_with_its_unit_and_range() -> None:
    properties = {"engUnit": Property(DataType.STRING, "mm"), "engHigh": Property(DataType.INT32, 9)}
    taken = hear(composite("pos", DataType.INT32_ARRAY, array(3, -4), properties=properties))
    assert readings(taken) == [("pos/0", 3), ("pos/1", -4)]
    assert [(metric.unit, metric.high) for metric in taken.metrics] == [("mm", 9.0), ("mm", 9.0)]
    assert [metric.name for metric in taken.news[0].metrics] == ["pos", "pos/0", "pos/1"]


def test_data_by_alias_may_be_longer_than_the_array_of_the_birth() -> None:
    birth = composite("pos", DataType.INT32_ARRAY, array(3), alias=1)
    update = PayloadMetric(alias=1, field="bytes_value", raw=array(5, 6), timestamp_ms=MS)
    taken = hear(birth, data=[update])
    assert readings(taken) == [("pos/0", 5), ("pos/1", 6)]
    assert {metric.datatype for metric in taken.metrics} == {DataType.INT32}


def test_a_table_s_columns_are_sensors_and_one_without_a_value_is_a_missing_value() -> None:
    taken = hear(composite("run", DataType.DATASET, row(7, None)))
    assert readings(taken) == [("run/speed", 7)]
    assert reasons(taken) == [RejectReason.MISSING_VALUE]


def test_the_members_of_a_template_instance_are_sensors_with_their_own_times_and_quality() -> None:
    """tck-id-payloads-template-instance-is-definition, tck-id-payloads-template-instance-ref,
    tck-id-payloads-template-instance-members, tck-id-payloads-template-instance-members-birth,
    tck-id-payloads-template-instance-parameters, tck-id-payloads-template-is-definition-instance,
    tck-id-payloads-template-ref-instance"""
    stale = {"Quality": Property(DataType.INT32, 500)}
    taken = hear(
        composite(
            "M1",
            DataType.TEMPLATE,
            instance(
                member("amps", 4.5, timestamp_ms=MS + 3),
                member("mode", "auto", DataType.STRING, properties=stale),
                composite("axes", DataType.INT32_ARRAY, array(1, 2)),
                composite("drive", DataType.TEMPLATE, instance(member("hz", 50.0))),
            ),
        )
    )
    assert readings(taken) == [
        ("M1/amps", 4.5),
        ("M1/mode", "auto"),
        ("M1/axes/0", 1),
        ("M1/axes/1", 2),
        ("M1/drive/hz", 50.0),
    ]
    assert [(time - NOW) // 1000 for time in taken.times] == [3, 0, 0, 0, 0]
    assert taken.qualities[:2] == [Quality.GOOD, Quality.STALE]


def test_an_instance_in_data_may_have_some_of_its_members_without_their_types() -> None:
    """tck-id-payloads-template-instance-members-data"""
    birth = composite("M1", DataType.TEMPLATE, instance(member("amps", 1, DataType.INT16), member("hz", 50.0)), alias=2)
    partial = instance(member("amps", None), metric_of("amps", DataType.INT16, -2, with_datatype=False))
    update = PayloadMetric(alias=2, field="template_value", raw=partial, timestamp_ms=MS)
    taken = hear(birth, data=[update])
    assert readings(taken) == [("M1/amps", 1), ("M1/amps", -2)]
    assert taken.qualities == [Quality.BAD, Quality.GOOD]


def test_the_definition_of_a_template_is_no_item() -> None:
    """tck-id-topics-nbirth-templates, tck-id-payloads-template-definition-is-definition,
    tck-id-payloads-template-definition-ref, tck-id-payloads-template-is-definition-definition,
    tck-id-payloads-template-ref-definition, tck-id-payloads-template-definition-members,
    tck-id-payloads-template-definition-nbirth, tck-id-payloads-template-definition-parameters,
    tck-id-payloads-template-definition-parameters-default, tck-id-payloads-template-parameter-name-required,
    tck-id-payloads-template-parameter-type-value, tck-id-payloads-template-parameter-type-req"""
    definition = Template(True, None, "1", [member("amps", 0.0)], [Parameter("rating", DataType.INT32, None)])
    taken = hear(composite("Motor", DataType.TEMPLATE, definition))
    assert taken.carried == 0
    assert taken.news[0].metrics == ()


def test_a_definition_outside_a_node_s_birth_is_rejected() -> None:
    """tck-id-payloads-template-definition-nbirth-only"""
    definition = Template(True, None, None, [member("amps", 0.0)], [])
    birth = composite("M1", DataType.TEMPLATE, instance(member("amps", 1.0)))
    taken = hear(birth, data=[composite("M1", DataType.TEMPLATE, definition)])
    assert reasons(taken) == [RejectReason.UNSUPPORTED_TYPE]


def nested(depth: int) -> Template:
    return instance(member("v", 1.0) if depth == 0 else composite("t", DataType.TEMPLATE, nested(depth - 1)))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (instance(member(None, 1.0)), RejectReason.WRONG_TYPE),
        (instance(member("", 1.0)), RejectReason.WRONG_TYPE),
        (instance(member("x" * 900, 1.0)), RejectReason.WRONG_TYPE),
        (instance(*(member(f"m{number}", 1.0) for number in range(257))), RejectReason.UNSUPPORTED_TYPE),
        (nested(8), RejectReason.UNSUPPORTED_TYPE),
    ],
    ids=["no name", "empty name", "long name", "many members", "deep"],
)
def test_a_template_out_of_bounds_is_rejected(raw: Template, reason: RejectReason) -> None:
    assert reasons(hear(composite("M1", DataType.TEMPLATE, raw))) == [reason]


def test_nesting_beyond_what_protobuf_takes_refuses_the_message() -> None:
    taken = hear(data=[composite("M1", DataType.TEMPLATE, nested(60))])
    assert taken.refused is not None
    assert taken.refused.reason is RejectReason.MALFORMED_PROTOBUF


def test_parts_keep_their_sensors_through_a_birth_whose_value_is_null() -> None:
    edge, host = EdgeNode("g", "n"), SparkplugHost()
    host.take(*edge.birth([composite("pos", DataType.INT32_ARRAY, array(3))], MS), NOW)
    (part,) = [metric for metric in host.metrics() if metric.name == "pos/0"]
    part.sensor = 5
    host.take(*edge.birth([PayloadMetric(name="pos", datatype=DataType.INT32_ARRAY, is_null=True)], MS), NOW)
    assert part in list(host.metrics())
    assert part.sensor == 5
