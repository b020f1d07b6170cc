"""`Node` and `Device`: an edge node, the devices behind it, and what their births said."""

from ingest.registry import DeviceStatus
from ingest.sparkplug.datatypes import DataType
from ingest.sparkplug.metric import Definition, Metric
from ingest.sparkplug.payload import PayloadMetric
from ingest.sparkplug.sequence import Sequence
from ingest.sparkplug.throttle import Throttle

__all__ = ["Device", "Node"]


class Device:
    """A device, or an edge node as far as it has metrics of its own. Mutable."""

    __slots__ = ("about", "altered", "by_alias", "by_name", "former", "metrics", "path", "status")

    def __init__(self, path: str) -> None:
        self.path = path
        self.status = DeviceStatus.OFFLINE
        self.metrics: dict[str, Metric] = {}
        """by name; parts of arrays, tables and templates among them as `metric/part`"""
        self.by_alias: dict[int, Metric] = {}
        """as its last birth numbered them; empty when that no longer holds.

        A table for each device, though numbers are unique across an edge node: nodes that number each device's metrics
        from 1 are understood as well, since the topic names the device.
        """
        self.by_name: dict[bytes, Metric] = {}
        """by name as it travels"""
        self.former: dict[str, Metric] = {}
        """during a birth, the metrics of the one before"""
        self.about: dict[str, bool | float | str] = {}
        """what it says about itself"""
        self.altered = False
        """metrics changed since `SparkplugHost.changes` was asked"""

    def metric_of(self, sent: PayloadMetric) -> Metric | None:
        """The metric that a message means; None: no birth named it."""
        if sent.name is not None:
            return self.metrics.get(sent.name)
        return None if sent.alias is None else self.by_alias.get(sent.alias)

    def define(self, name: str, definition: Definition) -> Metric:
        """The metric of a name as it is defined now; the same object as before where there was one."""
        metric = self.metrics.get(name) or self.former.get(name)
        if metric is None:
            metric = Metric(self.path, name, definition)
            self.altered = True
        elif metric.definition() != definition:
            metric.define(definition)
            self.altered = True
        self.metrics[name] = metric
        self.by_name[name.encode()] = metric
        return metric

    def member(self, parent: Metric, part: str, datatype: DataType) -> Metric:
        """The metric that a part of another one is; of the data type given where the birth did not name it."""
        name = f"{parent.name}/{part}"
        metric = self.metrics.get(name)
        if metric is not None:
            return metric
        # The range of an array or template is that of its parts.
        low, high = parent.low, parent.high
        return self.define(name, Definition(alias=None, datatype=datatype, unit=parent.unit, low=low, high=high))

    def forget_aliases(self) -> None:
        """A session is over: numbers mean nothing until the next birth."""
        if not self.by_alias:
            return
        for metric in self.by_alias.values():
            metric.rename(None)
        self.by_alias = {}
        self.altered = True


class Node:
    """The session of an edge node. Mutable."""

    __slots__ = ("bd_seq", "born_us", "devices", "own", "path", "sequence", "throttle", "wanting")

    def __init__(self, path: str, throttle: Throttle) -> None:
        self.path = path
        self.own = Device(path)
        """its own metrics"""
        self.devices: dict[str, Device] = {}
        """by path"""
        self.bd_seq: int | None = None
        """number of the session, 0 to 255; None: its birth did not say"""
        self.born_us: int | None = None
        """when its last birth was sent, µs since 1970-01-01 UTC; None: it was never born"""
        self.sequence = Sequence()
        self.throttle = throttle
        self.wanting: str | None = None
        """why a birth was asked for that has not come; None: none was"""
