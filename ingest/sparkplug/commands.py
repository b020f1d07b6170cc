"""Commands: metrics of a birth to write to, as messages to edge nodes and devices."""

import difflib

from ingest.registry import DeviceStatus
from ingest.sparkplug.datatypes import FIELD_OF, DataType, DatatypeError
from ingest.sparkplug.metric import REBIRTH, Metric
from ingest.sparkplug.node import Device
from ingest.sparkplug.payload import Payload, encode_payload, metric_of
from ingest.sparkplug.state import HostMode
from ingest.sparkplug.taken import Command
from ingest.sparkplug.topics import MessageType, Topic
from telemetry.errors import ConfigurationError

__all__ = ["rebirth_request", "write_request"]

_WRITABLE_FIELDS = frozenset(
    {"int_value", "long_value", "float_value", "double_value", "boolean_value", "string_value"}
)


def rebirth_request(node_path: str, now_us: int) -> Command:
    """Ask an edge node to send its birth and those of its devices once more.

    By name and with the data type, since the node may be one whose birth was never seen.
    """
    stamp = now_us // 1000
    metric = metric_of(REBIRTH, DataType.BOOLEAN, True, timestamp_ms=stamp)
    return _command(node_path, metric=encode_payload(Payload(timestamp_ms=stamp, metrics=[metric])))


def write_request(
    device: Device, name: str, value: bool | float | str, now_us: int, mode: HostMode = HostMode.SECONDARY_ACTIVE
) -> Command:
    """Ask a node or device to set one of its metrics.

    The value is checked against the data type of its birth. It goes by alias where the birth gave one, else by name,
    and with its data type, though it should not: some edge nodes cannot read a value without one.

    Raises:
        ConfigurationError: the host is passive, the device is not there, has no such metric, says that it is read-only,
            or the value does not fit.
    """
    if not mode.sends_commands:
        raise ConfigurationError(
            f"{device.path} cannot be written to: the host is {mode}; set its mode to secondary_active or primary"
        )
    metric = device.metrics.get(name)
    if metric is None:
        close = difflib.get_close_matches(name, device.metrics, n=3)
        meant = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
        raise ConfigurationError(f"{device.path} has no metric {name!r}{meant}")
    if device.status is not DeviceStatus.ONLINE:
        raise ConfigurationError(f"{device.path} is {device.status}: it would not hear the command")
    if metric.read_only:
        raise ConfigurationError(f"{device.path} says that {name!r} is read-only")
    if FIELD_OF.get(metric.datatype) not in _WRITABLE_FIELDS:
        raise ConfigurationError(f"{name!r} of {device.path} is a {metric.datatype.name}, which cannot be written to")
    stamp = now_us // 1000
    try:
        sent = metric_of(
            name if metric.alias is None or name == REBIRTH else None,
            metric.datatype,
            _fitting(value, metric),
            alias=None if name == REBIRTH else metric.alias,
            timestamp_ms=stamp,
        )
    except DatatypeError as error:
        raise ConfigurationError(f"{name!r} of {device.path} cannot be set: {error}") from error
    return _command(device.path, metric=encode_payload(Payload(timestamp_ms=stamp, metrics=[sent])))


def _fitting(value: bool | float | str, metric: Metric) -> bool | float | str:
    """A text as a person types it, as a value of the metric's type where that can be told."""
    if not isinstance(value, str) or FIELD_OF[metric.datatype] == "string_value":
        return value
    if metric.datatype is DataType.BOOLEAN:
        return {"true": True, "false": False, "1": True, "0": False}.get(value.casefold(), value)
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _command(path: str, *, metric: bytes) -> Command:
    group, node, *rest = path.split("/")
    topic = Topic(MessageType.DCMD, group, node, rest[0]) if rest else Topic(MessageType.NCMD, group, node)
    return Command(topic=str(topic), payload=metric)
