"""`Nodes`: every edge node that was heard, and what has to be remembered of it."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ingest.registry import DeviceStatus
from ingest.sessions import MetricRow, NodeRow
from ingest.sparkplug.datatypes import datatype_of
from ingest.sparkplug.metric import Definition, Metric
from ingest.sparkplug.node import Device, Node
from ingest.sparkplug.throttle import Throttle
from ingest.sparkplug.topics import MessageType, Topic

__all__ = ["Changes", "Nodes"]

_MOST_STRANGERS: Final = 10_000
"""edge nodes that were never born and are remembered, so that they are not asked too often"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """What is to be saved."""

    nodes: Sequence[NodeRow] = ()
    metrics: Mapping[str, Sequence[MetricRow]] = field(default_factory=dict)
    """by path of the node or device: all it has, in place of all it had"""

    def __bool__(self) -> bool:
        return bool(self.nodes or self.metrics)


class Nodes:
    """Edge nodes by path, those that were born and those that only talk."""

    def __init__(self, rebirth_interval_s: float) -> None:
        self._rebirth_interval_s = rebirth_interval_s
        self.born: dict[str, Node] = {}
        self._strangers: dict[str, Node] = {}
        self.by_data_topic: dict[str, tuple[Node, Device]] = {}
        """topics of data messages of all that was born"""
        self.touched: dict[str, Node] = {}
        """whose session changed since `changes` was asked"""
        self._altered: dict[str, Device] = {}
        """whose metrics changed since"""

    def node(self, path: str) -> Node:
        """The edge node of a path; a new one is a stranger until it is born."""
        node = self.born.get(path) or self._strangers.get(path)
        if node is None:
            if len(self._strangers) >= _MOST_STRANGERS:
                del self._strangers[next(iter(self._strangers))]
            node = self._strangers[path] = Node(path, Throttle(self._rebirth_interval_s))
        return node

    def admit(self, node: Node, path: str) -> Device:
        """The node's own metrics, or those of one of its devices, to which data messages lead from now on."""
        self._strangers.pop(node.path, None)
        self.born[node.path] = node
        group, name, *rest = path.split("/")
        if not rest:
            self.by_data_topic[str(Topic(MessageType.NDATA, group, name))] = (node, node.own)
            return node.own
        device = node.devices.get(path)
        if device is None:
            device = node.devices[path] = Device(path)
        self.by_data_topic[str(Topic(MessageType.DDATA, group, name, rest[0]))] = (node, device)
        return device

    def note(self, device: Device) -> None:
        """Remember to save the metrics of a device, if they changed."""
        if device.altered:
            self._altered[device.path] = device

    def device(self, path: str) -> Device | None:
        """A node or device that was born; None: there is none of this path."""
        node = self.born.get(_node_path(path))
        if node is None:
            return None
        return node.own if path == node.path else node.devices.get(path)

    def devices(self) -> Iterator[tuple[Node, Device]]:
        """Every node and device that was born."""
        for node in self.born.values():
            yield node, node.own
            for device in node.devices.values():
                yield node, device

    def changes(self) -> Changes:
        """What is to be saved since this was asked last."""
        nodes = [
            NodeRow(device=node.path, bd_seq=node.bd_seq, seq=node.sequence.settled, born_us=node.born_us)
            for node in self.touched.values()
        ]
        metrics = {path: [_row(metric) for metric in device.metrics.values()] for path, device in self._altered.items()}
        for device in self._altered.values():
            device.altered = False
        self.touched = {}
        self._altered = {}
        return Changes(nodes=nodes, metrics=metrics)

    def recall(
        self,
        nodes: Iterable[NodeRow],
        metrics: Mapping[str, Sequence[MetricRow]],
        offline: Collection[str],
        last: Mapping[tuple[str, str], tuple[int, float | str]],
    ) -> None:
        """Take over what was saved, see `SparkplugHost.restore`."""
        for row in nodes:
            node = self.node(row.device)
            self.admit(node, row.device)
            node.own.status = DeviceStatus.OFFLINE if row.device in offline else DeviceStatus.ONLINE
            node.bd_seq = row.bd_seq
            node.born_us = row.born_us
            node.sequence.begin(row.seq)
        for path, rows in metrics.items():
            parent = self.born.get(_node_path(path))
            if parent is None:
                continue
            device = self.admit(parent, path)
            device.status = DeviceStatus.OFFLINE if path in offline else DeviceStatus.ONLINE
            for metric_row in rows:
                metric = device.define(metric_row.name, _definition(metric_row))
                if metric.alias is not None:
                    device.by_alias[metric.alias] = metric
                if (path, metric.name) in last:
                    metric.time, metric.value = last[path, metric.name]
            device.altered = False


def _node_path(path: str) -> str:
    return "/".join(path.split("/", 2)[:2])


def _row(metric: Metric) -> MetricRow:
    return MetricRow(
        name=metric.name,
        alias=metric.alias,
        datatype=metric.datatype,
        unit=metric.unit,
        low=metric.low,
        high=metric.high,
    )


def _definition(row: MetricRow) -> Definition:
    return Definition(alias=row.alias, datatype=datatype_of(row.datatype), unit=row.unit, low=row.low, high=row.high)
