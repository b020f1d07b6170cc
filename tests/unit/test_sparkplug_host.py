"""What messages of edge nodes mean to a host application: births, data, deaths, order, and what is asked for."""

from typing import Any

import pytest

from ingest.reasons import RejectReason
from ingest.registry import DeviceKind, DeviceStatus
from ingest.sparkplug.datatypes import DataType
from ingest.sparkplug.edge import EdgeNode
from ingest.sparkplug.host import HostLimits, SparkplugHost
from ingest.sparkplug.metric import REBIRTH, Metric
from ingest.sparkplug.payload import Payload, PayloadMetric, Property, decode_payload, encode_payload, metric_of
from ingest.sparkplug.state import HostMode
from ingest.sparkplug.taken import Command, Taken
from telemetry.quality import Quality

MS = 1_700_000_000_000
NOW = MS * 1000 + 70
"""µs; a little after the messages are sent"""
SECOND = 1_000_000

GOOD, BAD, STALE = Quality.GOOD, Quality.BAD, Quality.STALE


def metric(name: str | None, value: Any, datatype: DataType = DataType.DOUBLE, **more: Any) -> PayloadMetric:
    return metric_of(name, datatype, value, timestamp_ms=more.pop("timestamp_ms", MS), **more)


def data(
    alias: int | None, value: Any, ms: int = 1, datatype: DataType = DataType.DOUBLE, **more: Any
) -> PayloadMetric:
    """A metric of a data message: by alias, without a data type, some ms after the birth."""
    return metric(None, value, datatype, alias=alias, timestamp_ms=MS + ms, with_datatype=False, **more)


class Plant:
    """An edge node `plant/line` with a device `pump`, and the host that listens."""

    def __init__(self, mode: HostMode = HostMode.SECONDARY_ACTIVE, **limits: float) -> None:
        self.edge = EdgeNode("plant", "line")
        self.host = SparkplugHost(mode, HostLimits(**limits))

    def hears(self, wire: tuple[str, bytes], now_us: int = NOW) -> Taken:
        taken = self.host.take(*wire, now_us)
        assert taken.carried == len(taken.metrics) + len(taken.faults)
        assert len(taken.metrics) == len(taken.times) == len(taken.values) == len(taken.qualities)
        return taken

    def born(self, **changes: Any) -> Taken:
        return self.hears(self.edge.birth([metric("temp", 20.0, alias=1)], MS), **changes)

    def device_born(self) -> Taken:
        return self.hears(self.edge.device_birth("pump", [metric("speed", 10, DataType.INT32, alias=2)], MS))

    def lose(self, messages: int = 1) -> None:
        """Messages that are sent and never arrive."""
        for _ in range(messages):
            self.edge.data([], MS)


@pytest.fixture
def plant() -> Plant:
    """A node and its device, both born."""
    one = Plant()
    one.born()
    one.device_born()
    return one


def readings(taken: Taken) -> list[tuple[str, int, float | str, int]]:
    """(metric, ms after the birth, value, quality)."""
    times = [(time - MS * 1000) / 1000 for time in taken.times]
    return [
        (one.name, int(time) if time.is_integer() else time, value, quality)  # type: ignore[misc]  # ms, or a fraction
        for one, time, value, quality in zip(taken.metrics, times, taken.values, taken.qualities, strict=True)
    ]


def reasons(taken: Taken) -> list[RejectReason]:
    return [fault.reason for fault in taken.faults]


def asks(commands: list[Command]) -> list[str]:
    """Topics of requests for births; each must be one in form."""
    for command in commands:
        payload = decode_payload(command.payload)
        assert payload.seq is None
        (wish,) = payload.metrics
        assert (wish.name, wish.alias, wish.raw) == (REBIRTH, None, True)
    return [command.topic for command in commands]


REBIRTH_TOPIC = "spBv1.0/plant/NCMD/line"


# Births


def test_a_birth_registers_the_node_and_stores_its_values() -> None:
    """tck-id-topics-nbirth-metrics, tck-id-topics-nbirth-timestamp, tck-id-payloads-nbirth-timestamp,
    tck-id-payloads-name-birth-data-requirement, tck-id-payloads-metric-datatype-req,
    tck-id-topics-nbirth-metric-reqs"""
    taken = Plant().born()
    assert readings(taken) == [("temp", 0, 20.0, GOOD)]
    (news,) = taken.news
    assert (news.path, news.status, news.at_us, news.is_birth) == ("plant/line", DeviceStatus.ONLINE, MS * 1000, True)
    assert (news.kind, news.parent) == (DeviceKind.NODE, None)
    (temp,) = news.metrics
    assert (temp.name, temp.alias, temp.datatype, temp.path) == ("temp", 1, DataType.DOUBLE, "plant/line")


def test_a_device_birth_registers_the_device_behind_its_node(plant: Plant) -> None:
    """tck-id-topics-dbirth-metrics, tck-id-topics-dbirth-timestamp, tck-id-payloads-dbirth-timestamp,
    tck-id-topics-dbirth-metric-reqs, tck-id-message-flow-device-birth-publish-dbirth-match-edge-node-topic"""
    taken = plant.hears(plant.edge.device_birth("fan", [metric("speed", 7, DataType.INT32, alias=3)], MS))
    assert readings(taken) == [("speed", 0, 7, GOOD)]
    (news,) = taken.news
    assert (news.path, news.kind, news.parent) == ("plant/line/fan", DeviceKind.DEVICE, "plant/line")


def test_devices_of_the_same_name_behind_different_nodes_are_different() -> None:
    """tck-id-topic-structure-namespace-duplicate-device-id-across-edge-node,
    tck-id-topic-structure-namespace-unique-edge-node-descriptor, tck-id-payloads-nbirth-edge-node-descriptor,
    tck-id-topic-structure-namespace-unique-device-id"""
    host = SparkplugHost()
    for name in ("a", "b"):
        edge = EdgeNode("plant", name)
        host.take(*edge.birth([], MS), NOW)
        host.take(*edge.device_birth("pump", [metric("speed", 1.0)], MS), NOW)
    assert sorted(one.path for one in host.metrics() if not one.about_itself) == ["plant/a/pump", "plant/b/pump"]


def test_a_birth_says_unit_range_and_what_may_be_written() -> None:
    properties = {
        "engUnit": Property(DataType.STRING, "degC"),
        "engLow": Property(DataType.INT32, 0xFFFF_FFEC),
        "engHigh": Property(DataType.DOUBLE, 150.0),
        "readOnly": Property(DataType.BOOLEAN, True),
    }
    other = {"Engineering Units": Property(DataType.STRING, "bar"), "engLow": Property(DataType.STRING, "low")}
    plant = Plant()
    taken = plant.hears(
        plant.edge.birth([metric("t", 1.0, properties=properties), metric("p", 2.0, properties=other)], MS)
    )
    t, p = taken.news[0].metrics
    assert (t.unit, t.low, t.high, t.read_only) == ("degC", -20.0, 150.0, True)
    assert (p.unit, p.low, p.high, p.read_only) == ("bar", None, None, False)


def test_what_a_birth_says_of_the_device_itself_is_no_reading() -> None:
    """tck-id-topics-nbirth-bdseq-included, tck-id-payloads-nbirth-bdseq, tck-id-topics-nbirth-rebirth-metric,
    tck-id-payloads-nbirth-rebirth-req, tck-id-operational-behavior-data-commands-rebirth-name,
    tck-id-operational-behavior-data-commands-rebirth-datatype,
    tck-id-operational-behavior-data-commands-rebirth-value"""
    about = {
        "Properties/Hardware Make": "Acme",
        "Properties/Hardware Model": "E1",
        "Properties/FW": "1.2",
        "Properties/OS": "Linux",
        "Node Info/Site": "north",
    }
    metrics = [metric(name, value, DataType.STRING) for name, value in about.items()]
    metrics += [
        metric("Node Control/Scan Rate", 500, DataType.INT32),
        metric("Node Control/Reboot", False, DataType.BOOLEAN),
    ]
    plant = Plant()
    taken = plant.hears(plant.edge.birth([*metrics, metric("temp", 20.0)], MS))
    assert readings(taken) == [("temp", 0, 20.0, GOOD)]
    (news,) = taken.news
    assert (news.hardware, news.firmware) == ("Acme E1", "1.2")
    assert news.properties == {"OS": "Linux", "Node Info/Site": "north", "Node Control/Scan Rate": 500}
    assert [one.name for one in news.metrics] == ["temp"]


def test_data_can_say_something_new_about_the_device_itself() -> None:
    plant = Plant()
    plant.hears(plant.edge.birth([metric("Properties/FW", "1.2", DataType.STRING, alias=5)], MS))
    taken = plant.hears(plant.edge.data([data(5, "1.3", datatype=DataType.STRING)], MS + 1))
    assert taken.carried == 0
    (news,) = taken.news
    assert (news.firmware, news.hardware, news.is_birth, news.status) == ("1.3", None, False, DeviceStatus.ONLINE)


def test_properties_fit_a_database_whatever_they_are() -> None:
    metrics = [
        metric("Properties/a", float("inf")),
        metric("Properties/b", "x\0", DataType.STRING),
        metric("Properties/c", "y" * 5000, DataType.STRING),
        metric("Properties/", 1.0),
        metric("Properties/d", None),
    ]
    plant = Plant()
    (news,) = plant.hears(plant.edge.birth(metrics, MS)).news
    assert news.properties == {"c": "y" * 1000}


def test_a_metric_without_a_value_at_birth_is_introduced_and_is_no_item() -> None:
    """tck-id-operational-behavior-data-publish-nbirth-values,
    tck-id-operational-behavior-data-publish-dbirth-values"""
    plant = Plant()
    taken = plant.hears(plant.edge.birth([metric("later", None, alias=9)], MS))
    assert taken.carried == 0
    assert readings(plant.hears(plant.edge.data([data(9, 4.0)], MS))) == [("later", 1, 4.0, GOOD)]


def test_a_null_after_a_value_is_the_last_value_and_bad(plant: Plant) -> None:
    """tck-id-operational-behavior-data-publish-nbirth-values,
    tck-id-operational-behavior-data-publish-dbirth-values"""
    plant.hears(plant.edge.data([data(1, 21.5)], MS))
    assert readings(plant.hears(plant.edge.data([data(1, None, 2)], MS))) == [("temp", 2, 21.5, BAD)]


def test_a_null_that_was_never_anything_else_is_a_missing_value() -> None:
    plant = Plant()
    plant.hears(plant.edge.birth([metric("later", None, alias=9)], MS))
    assert reasons(plant.hears(plant.edge.data([data(9, None)], MS))) == [RejectReason.MISSING_VALUE]


def test_a_new_birth_replaces_the_metrics_of_the_one_before(plant: Plant) -> None:
    """tck-id-operational-behavior-data-publish-nbirth, tck-id-operational-behavior-data-publish-dbirth"""
    taken = plant.hears(plant.edge.birth([metric("load", 5.0, alias=1)], MS + 9), NOW + 10_000)
    assert readings(taken) == [("load", 0, 5.0, GOOD), ("temp", 10.07, 20.0, STALE)]
    assert readings(plant.hears(plant.edge.data([data(1, 6.0)], MS))) == [("load", 1, 6.0, GOOD)]
    assert {one.name for one in plant.host.metrics() if one.path == "plant/line"} >= {"load"}


def test_a_metric_keeps_its_sensor_through_a_birth_that_says_the_same(plant: Plant) -> None:
    def temp() -> Metric:
        (found,) = [one for one in plant.host.metrics() if one.name == "temp"]
        return found

    before = temp()
    before.sensor = 7
    plant.born()
    assert temp().sensor == 7
    plant.hears(plant.edge.birth([metric("temp", 20, DataType.INT32, alias=1)], MS))
    assert temp().sensor is None
    assert temp() is before


def test_aliases_are_those_of_the_topic_s_device(plant: Plant) -> None:
    """tck-id-payloads-alias-uniqueness"""
    plant.hears(plant.edge.device_birth("fan", [metric("load", 1.0, alias=2)], MS))
    taken = plant.hears(plant.edge.data([data(2, 2.0)], MS, "fan"))
    assert [(one.path, one.name) for one in taken.metrics] == [("plant/line/fan", "load")]
    taken = plant.hears(plant.edge.data([data(2, 3, datatype=DataType.INT32)], MS, "pump"))
    assert [(one.path, one.name) for one in taken.metrics] == [("plant/line/pump", "speed")]


def test_an_alias_of_two_names_stands_for_neither() -> None:
    """tck-id-payloads-alias-uniqueness"""
    plant = Plant()
    taken = plant.hears(plant.edge.birth([metric("a", 1.0, alias=1), metric("b", 2.0, alias=1)], MS))
    assert any("alias 1" in note for note in taken.notes)
    taken = plant.hears(plant.edge.data([data(1, 3.0), metric("a", 4.0, with_datatype=False)], MS))
    assert reasons(taken) == [RejectReason.UNKNOWN_ALIAS]
    assert readings(taken) == [("a", 0, 4.0, GOOD)]


def test_data_by_alias_and_data_by_name_are_the_same_metric(plant: Plant) -> None:
    """tck-id-payloads-name-requirement, tck-id-payloads-alias-birth-requirement,
    tck-id-payloads-alias-data-cmd-requirement, tck-id-payloads-metric-datatype-not-req,
    tck-id-topics-ndata-payload, tck-id-topics-ddata-payload"""
    by_alias = plant.hears(plant.edge.data([data(1, 21.0)], MS))
    by_name = plant.hears(plant.edge.data([metric("temp", 22.0, with_datatype=False)], MS))
    assert by_alias.metrics == by_name.metrics
    assert by_alias.values + by_name.values == [21.0, 22.0]


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        (metric("", 1.0), RejectReason.WRONG_TYPE),
        (metric(None, 1.0, alias=4), RejectReason.WRONG_TYPE),
        (metric("a\0b", 1.0), RejectReason.WRONG_TYPE),
        (metric("n" * 900, 1.0), RejectReason.WRONG_TYPE),
        (
            PayloadMetric(name="x", datatype=17, field="bytes_value", raw=b"1", timestamp_ms=MS),
            RejectReason.UNSUPPORTED_TYPE,
        ),
        (metric("x", 1.0, timestamp_ms=2**63), RejectReason.BAD_TIMESTAMP),
        (metric("x", float("nan")), RejectReason.NOT_FINITE),
        (metric("x", 1.0, is_transient=True), RejectReason.TRANSIENT),
    ],
    ids=["empty name", "no name", "NUL", "long name", "bytes", "time", "NaN", "transient"],
)
def test_what_is_wrong_in_a_birth_costs_its_neighbours_nothing(broken: PayloadMetric, reason: RejectReason) -> None:
    """tck-id-payloads-name-requirement"""
    plant = Plant()
    taken = plant.hears(plant.edge.birth([broken, metric("temp", 20.0)], MS))
    assert reasons(taken) == [reason]
    assert readings(taken) == [("temp", 0, 20.0, GOOD)]


def test_a_datatype_nobody_knows_is_taken_for_what_its_field_holds() -> None:
    """tck-id-payloads-metric-datatype-value"""
    plant = Plant()
    strange = PayloadMetric(name="x", datatype=99, field="int_value", raw=7, timestamp_ms=MS)
    assert readings(plant.hears(plant.edge.birth([strange], MS))) == [("x", 0, 7, GOOD)]


# Data


def test_times_are_those_of_the_metrics_else_of_the_message(plant: Plant) -> None:
    """tck-id-payloads-timestamp-in-UTC, tck-id-payloads-metric-timestamp-in-UTC,
    tck-id-payloads-ndata-timestamp, tck-id-topics-ndata-timestamp, tck-id-payloads-name-birth-data-requirement"""
    without = metric(None, 2.0, alias=1, timestamp_ms=None, with_datatype=False)
    taken = plant.hears(plant.edge.data([data(1, 1.0, 3), without], MS + 8))
    assert readings(taken) == [("temp", 3, 1.0, GOOD), ("temp", 8, 2.0, GOOD)]
    assert taken.sent_ms == MS + 8
    alone = plant.hears(plant.edge.data([without], MS + 9))
    assert readings(alone) == [("temp", 9, 2.0, GOOD)]


def test_a_reading_without_any_time_is_rejected(plant: Plant) -> None:
    """tck-id-payloads-ddata-timestamp, tck-id-topics-ddata-timestamp"""
    payload = Payload(metrics=[metric(None, 2.0, alias=1, timestamp_ms=None)])
    taken = plant.hears(("spBv1.0/plant/NDATA/line", encode_payload(payload)))
    assert reasons(taken) == [RejectReason.MISSING_TIMESTAMP]


def test_several_values_of_a_metric_in_one_message_are_several_readings(plant: Plant) -> None:
    """tck-id-operational-behavior-data-publish-nbirth-order,
    tck-id-operational-behavior-data-publish-dbirth-order"""
    taken = plant.hears(plant.edge.data([data(1, 1.0, 1), data(1, 3.0, 3), data(1, 2.0, 2)], MS))
    assert readings(taken) == [("temp", 1, 1.0, GOOD), ("temp", 3, 3.0, GOOD), ("temp", 2, 2.0, GOOD)]
    assert taken.metrics[0].value == 3.0


def test_quality_comes_from_the_property(plant: Plant) -> None:
    """tck-id-payloads-propertyset-quality-value-value"""
    stale = {"Quality": Property(DataType.INT32, 500)}
    taken = plant.hears(plant.edge.data([data(1, 1.0, 1, properties=stale), data(1, 2.0, 2)], MS))
    assert readings(taken) == [("temp", 1, 1.0, STALE), ("temp", 2, 2.0, GOOD)]


def test_historical_values_are_readings_and_not_the_live_value(plant: Plant) -> None:
    taken = plant.hears(plant.edge.data([data(1, 1.0, 5, is_historical=True), data(1, 2.0, 4)], MS))
    assert readings(taken) == [("temp", 5, 1.0, GOOD), ("temp", 4, 2.0, GOOD)]
    assert taken.historical == [0]
    assert taken.metrics[0].value == 2.0


def test_transient_values_are_rejected_as_such(plant: Plant) -> None:
    taken = plant.hears(plant.edge.data([data(1, 1.0, is_transient=True)], MS))
    assert reasons(taken) == [RejectReason.TRANSIENT]


def test_texts_go_on_as_texts() -> None:
    plant = Plant()
    plant.hears(plant.edge.birth([metric("mode", "auto", DataType.STRING, alias=1)], MS))
    taken = plant.hears(plant.edge.data([data(1, "hand", datatype=DataType.STRING)], MS))
    assert readings(taken) == [("mode", 1, "hand", GOOD)]


def test_a_text_that_is_not_utf_8_is_rejected_alone() -> None:
    plant = Plant()
    plant.hears(plant.edge.birth([metric("mode", "auto", DataType.STRING, alias=1), metric("temp", 1.0, alias=2)], MS))
    wire = plant.edge.data([data(1, "hand", datatype=DataType.STRING), data(2, 3.0)], MS)
    taken = plant.hears((wire[0], wire[1].replace(b"hand", b"\xff\xfe\xfd\xfc")))
    assert reasons(taken) == [RejectReason.INVALID_UTF8]
    assert readings(taken) == [("temp", 1, 3.0, GOOD)]


def test_an_unknown_alias_or_name_is_rejected_alone_and_asks_for_a_birth(plant: Plant) -> None:
    """tck-id-operational-behavior-data-publish-nbirth, tck-id-payloads-alias-data-cmd-requirement"""
    taken = plant.hears(plant.edge.data([data(77, 1.0), metric("nobody", 2.0), data(1, 3.0)], MS))
    assert reasons(taken) == [RejectReason.UNKNOWN_ALIAS, RejectReason.UNKNOWN_ALIAS]
    assert readings(taken) == [("temp", 1, 3.0, GOOD)]
    assert asks(taken.commands) == [REBIRTH_TOPIC]


@pytest.mark.parametrize(
    "wire",
    [
        EdgeNode("plant", "line").data([data(1, 1.0)], MS),
        EdgeNode("plant", "line").data([data(1, 1.0)], MS, "pump"),
        EdgeNode("plant", "line").device_birth("pump", [metric("speed", 1.0)], MS),
    ],
    ids=["NDATA", "DDATA", "DBIRTH"],
)
def test_what_comes_before_the_birth_of_its_node_is_refused_and_asks_for_it(wire: tuple[str, bytes]) -> None:
    """tck-id-payloads-ndata-order, tck-id-payloads-ddata-order,
    tck-id-message-flow-device-birth-publish-nbirth-wait, tck-id-payloads-dbirth-order"""
    taken = Plant().hears(wire)
    assert taken.refused is not None
    assert reasons(taken) == [RejectReason.UNKNOWN_ALIAS]
    assert asks(taken.commands) == [REBIRTH_TOPIC]


def test_the_death_of_a_device_that_was_never_born_asks_for_a_birth() -> None:
    plant = Plant()
    taken = plant.hears(plant.edge.device_death("pump", MS))
    assert taken.carried == 0
    assert asks(taken.commands) == [REBIRTH_TOPIC]


def test_data_of_a_device_that_was_not_born_asks_for_a_birth(plant: Plant) -> None:
    """tck-id-payloads-ddata-order"""
    taken = plant.hears(plant.edge.data([data(9, 1.0)], MS, "fan"))
    assert reasons(taken) == [RejectReason.UNKNOWN_ALIAS]
    assert asks(taken.commands) == [REBIRTH_TOPIC]


@pytest.mark.parametrize(
    "topic",
    ["spBv1.0/plant/NCMD/line", "spBv1.0/plant/DCMD/line/pump", "spBv1.0/STATE/other"],
)
def test_what_others_say_to_each_other_is_counted_and_no_item(plant: Plant, topic: str) -> None:
    taken = plant.hears((topic, b"\xff anything"))
    assert taken == Taken()
    assert sum(plant.host.counts.values()) == 1


@pytest.mark.parametrize(
    ("topic", "payload", "reason"),
    [
        ("spBv1.0/plant/NDATA/line", b"", RejectReason.EMPTY_PAYLOAD),
        ("spBv1.0/plant/NDATA/line", b"\xff", RejectReason.MALFORMED_PROTOBUF),
        ("spBv1.0/plant/NBIRTH/line", b"", RejectReason.EMPTY_PAYLOAD),
        ("spBv1.0/plant/NBIRTH/line", b'{"ts": 1}', RejectReason.MALFORMED_PROTOBUF),
        ("spBv1.0/plant/NDATA/line", encode_payload(Payload(body=b"zip")), RejectReason.UNSUPPORTED_TYPE),
        ("spBv1.0/plant/DDATA/line", b"x", RejectReason.UNKNOWN_SENSOR),
        ("elsewhere", b"x", RejectReason.UNKNOWN_SENSOR),
    ],
)
def test_a_message_that_is_none_is_refused_as_one_item(
    plant: Plant, topic: str, payload: bytes, reason: RejectReason
) -> None:
    """tck-id-message-flow-edge-node-birth-publish-nbirth-payload,
    tck-id-message-flow-device-birth-publish-dbirth-payload,
    tck-id-topic-structure-namespace-device-id-associated-message-types"""
    taken = plant.hears((topic, payload))
    assert taken.carried == 1
    assert taken.refused is not None
    assert taken.refused.reason is reason


# Deaths


def test_the_death_of_a_node_makes_it_and_its_devices_stale_at_the_host_s_time(plant: Plant) -> None:
    """tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-offline,
    tck-id-operational-behavior-edge-node-termination-host-action-ndeath-node-tags-stale,
    tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-offline,
    tck-id-operational-behavior-edge-node-termination-host-action-ndeath-devices-tags-stale,
    tck-id-payloads-ndeath-seq, tck-id-topics-ndeath-seq, tck-id-topics-ndeath-payload"""
    taken = plant.hears(plant.edge.death(stamp_ms=MS - 5_000_000), NOW + 7_930)
    assert readings(taken) == [("temp", 8, 20.0, STALE), ("speed", 8, 10, STALE)]
    assert [(news.path, news.status, news.at_us) for news in taken.news] == [
        ("plant/line", DeviceStatus.OFFLINE, NOW + 7_930),
        ("plant/line/pump", DeviceStatus.OFFLINE, NOW + 7_930),
    ]


def test_a_death_of_another_session_does_not_count(plant: Plant) -> None:
    """tck-id-payloads-ndeath-bdseq, tck-id-payloads-nbirth-bdseq-repeat, tck-id-topics-nbirth-bdseq-matching,
    tck-id-message-flow-edge-node-birth-publish-will-message-payload-bdSeq,
    tck-id-message-flow-edge-node-birth-publish-nbirth-payload-bdSeq, tck-id-topics-nbirth-bdseq-increment"""
    old = plant.edge.death()
    plant.edge.bd_seq = 1
    plant.born()
    taken = plant.hears(old)
    assert (taken.carried, taken.news) == (0, [])
    assert readings(plant.hears(plant.edge.data([data(1, 2.0)], MS))) == [("temp", 1, 2.0, GOOD)]
    assert plant.hears(plant.edge.death()).carried > 0


@pytest.mark.parametrize(
    "payload", [Payload(timestamp_ms=MS), Payload(metrics=[metric("bdSeq", "0", DataType.STRING)])]
)
def test_a_death_that_does_not_say_of_which_session_does_not_count(plant: Plant, payload: Payload) -> None:
    """tck-id-payloads-ndeath-bdseq"""
    taken = plant.hears(("spBv1.0/plant/NDEATH/line", encode_payload(payload)))
    assert (taken.carried, taken.news) == (0, [])
    assert plant.host.counts["death_of_another_session"] == 1


def test_any_death_counts_where_the_birth_did_not_say_of_which_session_it_is() -> None:
    plant = Plant()
    birth = Payload(timestamp_ms=MS, seq=0, metrics=[metric("temp", 1.0)])
    assert plant.hears(("spBv1.0/plant/NBIRTH/line", encode_payload(birth))).notes
    assert plant.hears(plant.edge.death()).carried == 1


def test_a_second_death_of_the_same_session_is_ignored(plant: Plant) -> None:
    """tck-id-operational-behavior-edge-node-intentional-disconnect-ndeath"""
    plant.hears(plant.edge.death())
    assert plant.hears(plant.edge.death(), NOW + SECOND) == Taken(path="plant/line")
    assert plant.host.counts["death_again"] == 1


def test_the_death_of_a_device_counts_from_its_own_time(plant: Plant) -> None:
    """tck-id-operational-behavior-edge-node-termination-host-action-ddeath-devices-offline,
    tck-id-operational-behavior-edge-node-termination-host-action-ddeath-devices-tags-stale,
    tck-id-payloads-ddeath-timestamp, tck-id-payloads-ddeath-seq, tck-id-payloads-ddeath-seq-number,
    tck-id-topics-ddeath-seq-num"""
    taken = plant.hears(plant.edge.device_death("pump", MS + 4), NOW + 60 * SECOND)
    assert readings(taken) == [("speed", 4, 10, STALE)]
    assert [(news.path, news.status, news.at_us) for news in taken.news] == [
        ("plant/line/pump", DeviceStatus.OFFLINE, (MS + 4) * 1000)
    ]


def test_a_marker_comes_after_the_value_it_marks(plant: Plant) -> None:
    plant.hears(plant.edge.data([data(2, 11, 6, datatype=DataType.INT32)], MS, "pump"))
    assert readings(plant.hears(plant.edge.device_death("pump", MS + 6))) == [("speed", 6.001, 11, STALE)]


def test_what_died_with_its_device_is_not_marked_again_with_its_node(plant: Plant) -> None:
    plant.hears(plant.edge.device_death("pump", MS + 4))
    assert [one[0] for one in readings(plant.hears(plant.edge.death()))] == ["temp"]


def test_what_is_stale_is_not_marked_again_by_a_birth_that_no_longer_has_it(plant: Plant) -> None:
    plant.hears(plant.edge.death())
    plant.edge.bd_seq = 1
    assert readings(plant.hears(plant.edge.birth([metric("load", 5.0)], MS))) == [("load", 0, 5.0, GOOD)]


def test_aliases_of_a_session_mean_nothing_after_its_death(plant: Plant) -> None:
    plant.hears(plant.edge.death())
    taken = plant.hears(plant.edge.data([data(1, 1.0), metric("temp", 2.0, with_datatype=False)], MS))
    assert reasons(taken) == [RejectReason.UNKNOWN_ALIAS]
    assert readings(taken) == [("temp", 0, 2.0, GOOD)]
    assert asks(taken.commands) == [REBIRTH_TOPIC]


def test_a_node_that_comes_back_goes_on(plant: Plant) -> None:
    """tck-id-payloads-nbirth-seq, tck-id-payloads-sequence-num-req-nbirth"""
    plant.hears(plant.edge.death())
    plant.edge.bd_seq = 1
    taken = plant.born()
    assert [(news.path, news.status) for news in taken.news] == [("plant/line", DeviceStatus.ONLINE)]
    assert (
        reasons(plant.hears(plant.edge.device_birth("pump", [metric("speed", 3, DataType.INT32, alias=2)], MS))) == []
    )
    assert readings(plant.hears(plant.edge.data([data(2, 4, datatype=DataType.INT32)], MS, "pump"))) == [
        ("speed", 1, 4, GOOD)
    ]


def test_a_new_session_whose_death_was_missed_ends_the_devices_of_the_old_one(plant: Plant) -> None:
    plant.edge.bd_seq = 1
    taken = plant.born()
    assert ("speed", 0.07, 10, STALE) in readings(taken)
    assert [(news.path, news.status) for news in taken.news] == [
        ("plant/line/pump", DeviceStatus.OFFLINE),
        ("plant/line", DeviceStatus.ONLINE),
    ]
    late = plant.hears(plant.edge.data([data(2, 4)], MS, "pump"))
    assert reasons(late) == [RejectReason.UNKNOWN_ALIAS]


def test_a_birth_again_in_the_same_session_ends_nothing(plant: Plant) -> None:
    """tck-id-operational-behavior-data-commands-rebirth-action-3"""
    taken = plant.born()
    assert readings(taken) == [("temp", 0, 20.0, GOOD)]
    assert [news.path for news in taken.news] == ["plant/line"]


def test_what_the_host_was_cut_off_from_is_stale_until_it_speaks_again(plant: Plant) -> None:
    taken = plant.host.cut_off(NOW + 930)
    assert readings(taken) == [("temp", 1, 20.0, STALE), ("speed", 1, 10, STALE)]
    assert {news.status for news in taken.news} == {DeviceStatus.STALE}
    assert plant.host.cut_off(NOW + SECOND).carried == 0
    taken = plant.hears(plant.edge.data([data(1, 21.0, 5)], MS))
    assert readings(taken) == [("temp", 5, 21.0, GOOD)]
    assert [(news.path, news.status) for news in taken.news] == [("plant/line", DeviceStatus.ONLINE)]


def test_after_a_connect_every_node_that_may_be_there_is_asked_for_its_birth(plant: Plant) -> None:
    other = EdgeNode("plant", "gone")
    plant.hears(other.birth([], MS))
    plant.hears(other.death())
    assert asks(plant.host.ask_all(NOW)) == [REBIRTH_TOPIC]


# Order


def test_messages_in_order_ask_for_nothing(plant: Plant) -> None:
    """tck-id-payloads-sequence-num-incrementing, tck-id-payloads-ndata-seq-inc, tck-id-payloads-ddata-seq-inc,
    tck-id-payloads-ndata-seq, tck-id-payloads-ddata-seq, tck-id-payloads-dbirth-seq-inc,
    tck-id-payloads-dbirth-seq, tck-id-topics-dbirth-seq, tck-id-topics-ndata-seq-num,
    tck-id-topics-ddata-seq-num, tck-id-payloads-ddeath-seq-inc,
    tck-id-message-flow-device-birth-publish-dbirth-payload-seq"""
    for count in range(600):
        device = "pump" if count % 3 else None
        taken = plant.hears(plant.edge.data([metric("temp" if device is None else "speed", 1.0)], MS, device))
        assert (taken.commands, taken.notes) == ([], [])
    assert plant.host.tick(NOW + 60 * SECOND) == []
    assert plant.host.counts == {}


@pytest.mark.parametrize("seq", [0, 7, 255])
def test_the_sequence_goes_on_from_whatever_number_a_birth_has(seq: int) -> None:
    """tck-id-payloads-nbirth-seq, tck-id-payloads-sequence-num-req-nbirth, tck-id-topics-nbirth-seq-num,
    tck-id-message-flow-edge-node-birth-publish-nbirth-payload-seq"""
    plant = Plant()
    birth = Payload(timestamp_ms=MS, seq=seq, metrics=[metric("temp", 1.0)])
    plant.hears(("spBv1.0/plant/NBIRTH/line", encode_payload(birth)))
    plant.edge.seq = (seq + 1) % 256
    assert plant.hears(plant.edge.data([metric("temp", 2.0)], MS)).notes == []


def test_a_gap_that_does_not_fill_asks_for_a_birth_when_its_time_is_over() -> None:
    """tck-id-operational-behavior-host-reordering-param, tck-id-operational-behavior-host-reordering-start,
    tck-id-operational-behavior-host-reordering-rebirth,
    tck-id-operational-behavior-data-commands-ncmd-rebirth-verb,
    tck-id-operational-behavior-data-commands-ncmd-rebirth-name,
    tck-id-operational-behavior-data-commands-ncmd-rebirth-value, tck-id-topics-ncmd-topic"""
    plant = Plant(reorder_s=5)
    plant.born()
    plant.lose()
    taken = plant.hears(plant.edge.data([data(1, 3.0)], MS))
    assert readings(taken) == [("temp", 1, 3.0, GOOD)]
    assert taken.commands == []
    assert plant.host.tick(NOW + 5 * SECOND - 1) == []
    assert asks(plant.host.tick(NOW + 5 * SECOND)) == [REBIRTH_TOPIC]


def test_a_gap_that_fills_in_time_asks_for_nothing() -> None:
    """tck-id-operational-behavior-host-reordering-success"""
    plant = Plant(reorder_s=5)
    plant.born()
    first, second, third = (plant.edge.data([data(1, float(step), step)], MS) for step in (1, 2, 3))
    assert readings(plant.hears(third)) == [("temp", 3, 3.0, GOOD)]
    assert readings(plant.hears(first)) == [("temp", 1, 1.0, GOOD)]
    assert readings(plant.hears(second)) == [("temp", 2, 2.0, GOOD)]
    assert plant.host.tick(NOW + 60 * SECOND) == []
    assert plant.hears(plant.edge.data([data(1, 4.0, 4)], MS)).notes == []


def test_a_new_gap_after_one_that_was_filled_starts_its_own_time() -> None:
    """tck-id-operational-behavior-host-reordering-success"""
    plant = Plant(reorder_s=5)
    plant.born()
    first, second = (plant.edge.data([data(1, float(step), step)], MS) for step in (1, 2))
    plant.hears(second)
    plant.hears(first)
    plant.lose()
    plant.hears(plant.edge.data([data(1, 4.0, 4)], MS), NOW + 4 * SECOND)
    assert plant.host.tick(NOW + 6 * SECOND) == []
    assert asks(plant.host.tick(NOW + 9 * SECOND)) == [REBIRTH_TOPIC]


def test_a_second_gap_does_not_prolong_the_time_of_the_first() -> None:
    """tck-id-operational-behavior-host-reordering-start"""
    plant = Plant(reorder_s=5)
    plant.born()
    for later_s in (0, 4):
        plant.lose()
        plant.hears(plant.edge.data([data(1, 3.0)], MS), NOW + later_s * SECOND)
    assert asks(plant.host.tick(NOW + 5 * SECOND)) == [REBIRTH_TOPIC]


def test_without_time_to_reorder_a_gap_asks_at_once() -> None:
    """tck-id-operational-behavior-host-reordering-param"""
    plant = Plant(reorder_s=0)
    plant.born()
    plant.lose(3)
    assert asks(plant.hears(plant.edge.data([data(1, 3.0)], MS)).commands) == [REBIRTH_TOPIC]


def test_a_gap_over_the_wrap_of_the_sequence_is_one(plant: Plant) -> None:
    """tck-id-payloads-sequence-num-incrementing"""
    for _ in range(252):
        plant.hears(plant.edge.data([data(1, 3.0)], MS))
    plant.lose(3)
    assert plant.hears(plant.edge.data([data(1, 3.0)], MS)).notes != []
    assert plant.host.changes().nodes[0].seq == 253


def test_a_birth_settles_what_was_missing(plant: Plant) -> None:
    """tck-id-operational-behavior-data-commands-rebirth-action-2"""
    plant.lose()
    plant.hears(plant.edge.data([data(1, 3.0)], MS))
    plant.born()
    assert plant.host.tick(NOW + 60 * SECOND) == []


def test_the_same_message_again_is_stored_and_asks_for_nothing(plant: Plant) -> None:
    wire = plant.edge.data([data(1, 3.0)], MS)
    plant.hears(wire)
    assert readings(plant.hears(wire)) == [("temp", 1, 3.0, GOOD)]
    assert plant.host.tick(NOW + 60 * SECOND) == []


@pytest.mark.parametrize("seq", [None, 256])
def test_a_message_without_a_number_is_stored_and_counted(plant: Plant, seq: int | None) -> None:
    """tck-id-payloads-sequence-num-always-included"""
    payload = Payload(timestamp_ms=MS, seq=seq, metrics=[data(1, 3.0)])
    assert readings(plant.hears(("spBv1.0/plant/NDATA/line", encode_payload(payload)))) == [("temp", 1, 3.0, GOOD)]
    assert plant.host.counts == {"without_seq": 1}


# Asking


def test_requests_for_births_are_throttled_and_grow_rarer(plant: Plant) -> None:
    times = []
    for step in range(300):
        now = NOW + step * SECOND // 2
        asked = [*plant.hears(plant.edge.data([data(99, 1.0)], MS), now).commands, *plant.host.tick(now)]
        times += [step / 2 for _ in asks(asked)]
    assert times == [0, 1, 3, 7, 15, 31, 63, 127]


def test_a_node_that_behaved_for_long_is_asked_at_once_again(plant: Plant) -> None:
    unknown = [data(99, 1.0)]
    for second in (0, 1, 3):
        assert plant.hears(plant.edge.data(unknown, MS), NOW + second * SECOND).commands
    plant.born()
    for later_s, asked in ((100.0, True), (100.5, False), (101.0, True)):
        commands = plant.hears(plant.edge.data(unknown, MS), NOW + round(later_s * SECOND)).commands
        assert bool(commands) is asked


def test_a_request_that_was_lost_is_repeated_until_the_birth_comes(plant: Plant) -> None:
    plant.lose()
    plant.hears(plant.edge.data([data(1, 3.0)], MS))
    assert asks(plant.host.tick(NOW + 2 * SECOND)) == [REBIRTH_TOPIC]
    assert asks(plant.host.tick(NOW + 3 * SECOND)) == [REBIRTH_TOPIC]
    plant.born()
    assert plant.host.tick(NOW + 90 * SECOND) == []


def test_a_passive_host_never_sends_anything() -> None:
    plant = Plant(HostMode.SECONDARY_PASSIVE, reorder_s=0)
    assert "passive" in plant.hears(plant.edge.data([data(1, 1.0)], MS)).notes[-1]
    plant.born()
    plant.lose()
    taken = [plant.hears(plant.edge.data([data(99, 1.0)], MS)), plant.hears(plant.edge.device_death("pump", MS))]
    assert [one.commands for one in taken] == [[], []]
    assert plant.host.tick(NOW + 60 * SECOND) == plant.host.ask_all(NOW) == []
    assert plant.host.counts["rebirth_wanted"] > 0
    assert plant.host.counts["rebirth_asked"] == 0


def test_nodes_that_were_never_born_are_remembered_in_bounds() -> None:
    host = SparkplugHost(HostMode.PRIMARY)
    for number in range(12_000):
        host.take(*EdgeNode("plant", f"n{number}").data([], MS), NOW)
    assert host.tick(NOW + 60 * SECOND) == []
    assert list(host.metrics()) == []
    assert not host.changes()
    assert len(host._nodes._strangers) == 10_000


def test_a_request_says_when_it_was_sent_and_has_no_number(plant: Plant) -> None:
    """tck-id-payloads-ncmd-timestamp, tck-id-topics-ncmd-timestamp, tck-id-payloads-ncmd-seq,
    tck-id-topics-ncmd-payload, tck-id-operational-behavior-data-commands-rebirth-name-aliases"""
    (command,) = plant.hears(plant.edge.data([data(99, 1.0)], MS)).commands
    payload = decode_payload(command.payload)
    assert (payload.timestamp_ms, payload.seq) == (NOW // 1000, None)
    (wish,) = payload.metrics
    assert (wish.name, wish.alias, wish.datatype, wish.raw) == (REBIRTH, None, DataType.BOOLEAN, True)
