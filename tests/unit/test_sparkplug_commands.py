"""Commands: what may be written to nodes and devices, and how it is sent."""

from typing import Any

import pysparkplug
import pytest

from ingest.sparkplug.commands import rebirth_request, write_request
from ingest.sparkplug.datatypes import DataType, number_of
from ingest.sparkplug.edge import EdgeNode
from ingest.sparkplug.host import SparkplugHost
from ingest.sparkplug.node import Device
from ingest.sparkplug.payload import PayloadMetric, Property, decode_payload, metric_of
from ingest.sparkplug.state import HostMode
from telemetry.errors import ConfigurationError

MS = 1_700_000_000_000
NOW = MS * 1000 + 5

METRICS = [
    metric_of("setpoint", DataType.DOUBLE, 1.0, alias=4, timestamp_ms=MS),
    metric_of("offset", DataType.INT16, 1, timestamp_ms=MS),
    metric_of("count", DataType.UINT8, 1, alias=5, timestamp_ms=MS),
    metric_of("run", DataType.BOOLEAN, False, alias=6, timestamp_ms=MS),
    metric_of("recipe", DataType.STRING, "a", alias=7, timestamp_ms=MS),
    metric_of(
        "limit", DataType.DOUBLE, 1.0, timestamp_ms=MS, properties={"readOnly": Property(DataType.BOOLEAN, True)}
    ),
    PayloadMetric(name="blob", datatype=DataType.BYTES, is_null=True),
]


@pytest.fixture
def host() -> SparkplugHost:
    one = SparkplugHost(HostMode.PRIMARY)
    edge = EdgeNode("works", "line")
    one.take(*edge.birth(METRICS, MS), NOW)
    one.take(*edge.device_birth("pump", [metric_of("speed", DataType.INT32, 1, alias=9, timestamp_ms=MS)], MS), NOW)
    return one


@pytest.fixture
def node(host: SparkplugHost) -> Device:
    device = host.device("works/line")
    assert device is not None
    return device


def sent(device: Device, name: str, value: Any) -> PayloadMetric:
    payload = decode_payload(write_request(device, name, value, NOW).payload)
    (metric,) = payload.metrics
    return metric


def test_a_command_to_a_node_is_an_ncmd(node: Device) -> None:
    """tck-id-topics-ncmd-topic, tck-id-topics-ncmd-timestamp, tck-id-topics-ncmd-payload,
    tck-id-payloads-ncmd-timestamp, tck-id-payloads-ncmd-seq,
    tck-id-operational-behavior-data-commands-ncmd-verb, tck-id-payloads-name-cmd-requirement"""
    command = write_request(node, "setpoint", 2.5, NOW)
    assert command.topic == "spBv1.0/works/NCMD/line"
    payload = decode_payload(command.payload)
    assert (payload.timestamp_ms, payload.seq) == (MS, None)
    (metric,) = payload.metrics
    assert (metric.alias, metric.timestamp_ms, metric.field, metric.raw) == (4, MS, "double_value", 2.5)


def test_a_command_to_a_device_is_a_dcmd(host: SparkplugHost) -> None:
    """tck-id-topics-dcmd-topic, tck-id-topics-dcmd-timestamp, tck-id-topics-dcmd-payload,
    tck-id-payloads-dcmd-timestamp, tck-id-payloads-dcmd-seq,
    tck-id-operational-behavior-data-commands-dcmd-verb,
    tck-id-operational-behavior-data-commands-dcmd-metric-name,
    tck-id-operational-behavior-data-commands-dcmd-metric-value"""
    device = host.device("works/line/pump")
    assert device is not None
    command = write_request(device, "speed", -3, NOW)
    assert command.topic == "spBv1.0/works/DCMD/line/pump"
    payload = decode_payload(command.payload)
    assert (payload.timestamp_ms, payload.seq) == (MS, None)
    (metric,) = payload.metrics
    assert metric.alias == 9
    assert isinstance(metric.raw, int)
    assert number_of(DataType.INT32, "int_value", metric.raw) == -3


def test_commands_are_sent_at_qos_0_and_not_retained(host: SparkplugHost, node: Device) -> None:
    """tck-id-topics-ncmd-mqtt, tck-id-topics-dcmd-mqtt, tck-id-payloads-ncmd-qos, tck-id-payloads-ncmd-retain,
    tck-id-payloads-dcmd-qos, tck-id-payloads-dcmd-retain"""
    device = host.device("works/line/pump")
    assert device is not None
    requests = [write_request(node, "count", 1, NOW), write_request(device, "speed", 1, NOW)]
    assert [(one.qos, one.retain) for one in [*requests, rebirth_request("works/line", NOW)]] == [(0, False)] * 3


def test_a_metric_with_an_alias_is_written_by_alias_alone_and_one_without_by_name(node: Device) -> None:
    """tck-id-payloads-alias-data-cmd-requirement,
    tck-id-operational-behavior-data-commands-ncmd-metric-name, tck-id-payloads-name-requirement"""
    with_alias, without = sent(node, "setpoint", 1.0), sent(node, "offset", 1)
    assert (with_alias.name, with_alias.alias) == (None, 4)
    assert (without.name, without.alias) == ("offset", None)


def test_a_command_says_its_data_type_to_nodes_that_cannot_do_without(node: Device) -> None:
    assert sent(node, "offset", 1).datatype == DataType.INT16
    theirs = pysparkplug.NCmd.decode(write_request(node, "offset", -7, NOW).payload)
    (metric,) = theirs.metrics
    assert (metric.name, metric.value) == ("offset", -7)


def test_a_birth_is_asked_for_by_name(node: Device) -> None:
    """tck-id-operational-behavior-data-commands-ncmd-rebirth-verb,
    tck-id-operational-behavior-data-commands-ncmd-rebirth-name,
    tck-id-operational-behavior-data-commands-ncmd-rebirth-value,
    tck-id-operational-behavior-data-commands-rebirth-name-aliases"""
    command = rebirth_request("works/line", NOW)
    assert command.topic == "spBv1.0/works/NCMD/line"
    theirs = pysparkplug.NCmd.decode(command.payload)
    (metric,) = theirs.metrics
    assert (metric.name, metric.alias, metric.value) == ("Node Control/Rebirth", None, True)
    assert sent(node, "Node Control/Rebirth", True).name == "Node Control/Rebirth"


@pytest.mark.parametrize(
    ("name", "typed", "raw"),
    [
        ("setpoint", "2.5", 2.5),
        ("setpoint", "2", 2.0),
        ("count", "17", 17),
        ("offset", "-1", 0xFFFF),
        ("run", "True", True),
        ("run", "0", False),
        ("recipe", "17", "17"),
    ],
)
def test_a_value_typed_by_a_person_becomes_one_of_the_metric_s_type(
    node: Device, name: str, typed: str, raw: Any
) -> None:
    """tck-id-operational-behavior-data-commands-ncmd-metric-value"""
    assert sent(node, name, typed).raw == raw


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("setpont", 1.0, "did you mean 'setpoint'"),
        ("nothing like it", 1.0, "has no metric"),
        ("count", 256, "0 to 255"),
        ("count", -1, "does not fit UINT8"),
        ("count", 1.5, "no value of UINT8"),
        ("count", "many", "no value of UINT8"),
        ("run", "perhaps", "no value of BOOLEAN"),
        ("recipe", 1, "no value of STRING"),
        ("limit", 1.0, "read-only"),
        ("blob", 1, "BYTES"),
    ],
)
def test_what_cannot_be_written_is_an_error_that_says_why(node: Device, name: str, value: Any, says: str) -> None:
    """tck-id-operational-behavior-data-commands-ncmd-metric-value,
    tck-id-operational-behavior-data-commands-ncmd-metric-name"""
    with pytest.raises(ConfigurationError, match=says):
        write_request(node, name, value, NOW)


def test_a_passive_host_writes_nothing(node: Device) -> None:
    with pytest.raises(ConfigurationError, match="secondary_active"):
        write_request(node, "setpoint", 1.0, NOW, HostMode.SECONDARY_PASSIVE)


def test_nothing_is_written_to_what_is_not_there(host: SparkplugHost, node: Device) -> None:
    edge = EdgeNode("works", "line")
    host.take(*edge.death(), NOW)
    with pytest.raises(ConfigurationError, match="offline"):
        write_request(node, "setpoint", 1.0, NOW)
