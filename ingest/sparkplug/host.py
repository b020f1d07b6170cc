"""`SparkplugHost`: what messages of edge nodes mean, in the light of those before them."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ingest.reasons import RejectReason
from ingest.registry import DeviceStatus
from ingest.sessions import MetricRow, NodeRow
from ingest.sparkplug.births import bd_seq_of, introduce, self_description
from ingest.sparkplug.commands import rebirth_request
from ingest.sparkplug.metric import Metric
from ingest.sparkplug.node import Device, Node
from ingest.sparkplug.nodes import Changes, Nodes
from ingest.sparkplug.payload import Payload, PayloadError, PayloadMetric, decode_payload
from ingest.sparkplug.quick import LATEST_MS, read_quickly, remember_live
from ingest.sparkplug.readings import read_metric
from ingest.sparkplug.sequence import SEQ_MODULUS
from ingest.sparkplug.state import HostMode
from ingest.sparkplug.taken import Command, DeviceNews, Taken
from ingest.sparkplug.topics import MessageType, Topic, TopicError, parse_topic
from telemetry.quality import Quality

__all__ = ["HostLimits", "SparkplugHost"]

_NOT_OURS = frozenset({MessageType.STATE, MessageType.NCMD, MessageType.DCMD})


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLimits:
    """How patient a host is."""

    reorder_s: float = 2.0
    """how long a message that is missing may still come before the edge node is asked for its birth, s"""
    rebirth_interval_s: float = 1.0
    """an edge node is asked at most once in this time, s; doubles up to 64 times while that does not help"""


class SparkplugHost:
    """The edge nodes of a broker. Deterministic: messages and times come in, readings and commands go out.

    Messages are stored as they come, in whatever order; only the question whether to ask for a birth depends on order.
    """

    def __init__(self, mode: HostMode = HostMode.SECONDARY_PASSIVE, limits: HostLimits | None = None) -> None:
        self._mode = mode
        limits = limits or HostLimits()
        self._wait_us = round(limits.reorder_s * 1_000_000)
        self._nodes = Nodes(limits.rebirth_interval_s)
        self._watched: dict[str, Node] = {}
        """edge nodes for which `tick` has something to do"""
        self.counts: Counter[str] = Counter()
        """what happened that makes no reading, by kind"""

    @classmethod
    def restore(
        cls,
        nodes: Iterable[NodeRow],
        metrics: Mapping[str, Sequence[MetricRow]],
        *,
        offline: Collection[str] = (),
        last: Mapping[tuple[str, str], tuple[int, float | str]] | None = None,
        mode: HostMode = HostMode.SECONDARY_PASSIVE,
        limits: HostLimits | None = None,
    ) -> "SparkplugHost":
        """A host that goes on where another one stopped: it understands aliases without new births.

        `offline`: paths of nodes and devices that died. `last`: the time (µs) and value of the last live reading by
        path and metric, as the device sent it; without one a death marks nothing as STALE before the next value.
        """
        host = cls(mode, limits)
        host._nodes.recall(nodes, metrics, offline, last or {})
        return host

    def take(self, topic: str, payload: bytes, now_us: int) -> Taken:
        """What a message is, at the wall-clock time `now_us` (µs since 1970-01-01 UTC). Never raises."""
        known = self._nodes.by_data_topic.get(topic)
        if known is None:
            return self._take_other(topic, payload, now_us)
        node, device = known
        quick = read_quickly(payload, device.by_alias, device.by_name)
        if quick is None:
            return self._take_carefully(node, device, payload, now_us)
        taken = Taken(
            path=device.path,
            sent_ms=quick.sent_ms,
            metrics=quick.metrics,
            times=quick.times,
            values=quick.values,
            qualities=quick.qualities,
            historical=quick.historical,
            plain=quick.plain,
        )
        if quick.historical:
            remember_live(quick)
        else:
            for metric, time, value in zip(quick.metrics, quick.times, quick.values, strict=True):
                if time >= metric.time:
                    metric.time = time
                    metric.value = value
        self._follow(node, device, quick.seq, taken, now_us)
        return taken

    def tick(self, now_us: int) -> list[Command]:
        """What to send because time went by: to be called every second or so."""
        commands: list[Command] = []
        for node in list(self._watched.values()):
            self._give_up(node, now_us)
            if node.wanting is not None and self._mode.sends_commands:
                self._ask(node, now_us, commands)
            elif node.sequence.deadline_us is None:
                del self._watched[node.path]
        return commands

    def ask_all(self, now_us: int) -> list[Command]:
        """Requests for the births of all edge nodes that are not known to be gone: after each CONNECT.

        While the host was away they may have been born anew, with other aliases.
        """
        taken = Taken()
        for node in self._nodes.born.values():
            if node.own.status is not DeviceStatus.OFFLINE:
                self._want(node, "the host was away", now_us, taken)
        return taken.commands

    def cut_off(self, now_us: int) -> Taken:
        """The host lost its connection, so that nobody knows what holds: all metrics are STALE."""
        taken = Taken()
        for _, device in self._nodes.devices():
            if device.status is DeviceStatus.ONLINE:
                self._end(device, DeviceStatus.STALE, now_us, taken)
        return taken

    def metrics(self) -> Iterator[Metric]:
        """All metrics of everything that was ever born, for the decoder to find their sensors."""
        for _, device in self._nodes.devices():
            yield from device.metrics.values()

    def device(self, path: str) -> Device | None:
        """A node or device that was born; None: there is none of this path."""
        return self._nodes.device(path)

    def changes(self) -> Changes:
        """What is to be saved since this was asked last: sessions, and metrics of nodes and devices that changed."""
        return self._nodes.changes()

    def _take_other(self, name: str, payload: bytes, now_us: int) -> Taken:
        """A message that is not data of something known."""
        try:
            topic = parse_topic(name)
        except TopicError as error:
            taken = Taken()
            taken.refuse(RejectReason.UNKNOWN_SENSOR, f"No message of Sparkplug B: {error}.")
            return taken
        if topic.type in _NOT_OURS:
            self.counts[topic.type.lower()] += 1
            return Taken()
        taken = Taken(path=topic.path)
        content = _content(taken, payload)
        if content is None:
            return taken
        if topic.type is MessageType.NBIRTH:
            self._node_is_born(topic, content, now_us, taken)
        elif topic.type is MessageType.NDEATH:
            self._node_dies(topic, content, now_us, taken)
        elif topic.type is MessageType.DBIRTH:
            self._device_is_born(topic, content, now_us, taken)
        elif topic.type is MessageType.DDEATH:
            self._device_dies(topic, content, now_us, taken)
        else:
            self._take_unborn(topic, content, now_us, taken)
        return taken

    def _take_carefully(self, node: Node, device: Device, payload: bytes, now_us: int) -> Taken:
        """A data message that is not plain: metric by metric."""
        taken = Taken(path=device.path)
        content = _content(taken, payload)
        if content is None:
            return taken
        about: list[PayloadMetric] = []
        unknown = False
        for sent in content.metrics:
            metric = device.metric_of(sent)
            if metric is None:
                unknown = True
                called = f"alias {sent.alias}" if sent.name is None else f"name {sent.name[:80]!r}"
                detail = f"{device.path}: no birth has given the {called} a meaning."
                taken.reject(RejectReason.UNKNOWN_ALIAS, detail, sent.name or "", sent)
            elif metric.about_itself:
                about.append(sent)
            else:
                read_metric(taken, device, metric, sent, content.timestamp_ms, is_birth=False)
        self._nodes.note(device)
        if about:
            self._describe(device, about, now_us, taken)
        self._follow(node, device, content.seq, taken, now_us)
        if unknown:
            self._want(node, f"{device.path} sent a metric that no birth named", now_us, taken)
        return taken

    def _take_unborn(self, topic: Topic, content: Payload, now_us: int, taken: Taken) -> None:
        """Data of a node or device that was never born."""
        node = self._nodes.node(topic.node_path)
        taken.refuse(RejectReason.UNKNOWN_ALIAS, f"{topic.path} sends data and was never born.")
        self._order(node, content.seq, now_us, taken)
        self._want(node, f"{topic.path} sent data and was never born", now_us, taken)

    def _node_is_born(self, topic: Topic, content: Payload, now_us: int, taken: Taken) -> None:
        node = self._nodes.node(topic.node_path)
        bd_seq = bd_seq_of(content)
        if bd_seq is None:
            taken.notes.append(f"{node.path}: the birth has no bdSeq, so that any death will count")
        if bd_seq is None or bd_seq != node.bd_seq:
            # Another session: what was behind the node is not there until it is born again.
            self._end_all(node.devices.values(), now_us, taken)
        node.bd_seq = bd_seq
        node.born_us = _micros(content.timestamp_ms, now_us)
        self._settle(node, content.seq if content.seq is not None and content.seq < SEQ_MODULUS else None)
        self._is_born(self._nodes.admit(node, node.path), content, now_us, taken)

    def _device_is_born(self, topic: Topic, content: Payload, now_us: int, taken: Taken) -> None:
        node = self._nodes.node(topic.node_path)
        self._order(node, content.seq, now_us, taken)
        if node.born_us is None:
            taken.refuse(RejectReason.UNKNOWN_ALIAS, f"{topic.path} was born before its edge node.")
            self._want(node, f"{topic.path} was born before it", now_us, taken)
            return
        if node.own.status is DeviceStatus.OFFLINE:
            self._want(node, f"{topic.path} was born after its death", now_us, taken)
        self._is_born(self._nodes.admit(node, topic.path), content, now_us, taken)

    def _is_born(self, device: Device, content: Payload, now_us: int, taken: Taken) -> None:
        device.status = DeviceStatus.ONLINE
        introduce(taken, device, content, now_us)
        self._nodes.note(device)
        description = self_description(device, content.metrics)
        device.about = dict(description.properties)
        news = DeviceNews(
            path=device.path,
            status=device.status,
            at_us=_micros(content.timestamp_ms, now_us),
            is_birth=True,
            hardware=description.hardware,
            firmware=description.firmware,
            properties=description.properties,
            metrics=tuple(metric for metric in device.metrics.values() if not metric.about_itself),
        )
        taken.news.append(news)

    def _node_dies(self, topic: Topic, content: Payload, now_us: int, taken: Taken) -> None:
        node = self._nodes.born.get(topic.node_path)
        if node is None or node.own.status is DeviceStatus.OFFLINE:
            self.counts["death_again"] += 1
            return
        if node.bd_seq is not None and bd_seq_of(content) != node.bd_seq:
            self.counts["death_of_another_session"] += 1
            taken.notes.append(f"{node.path}: a death of another session than {node.bd_seq} does not count")
            return
        self._end_all((node.own, *node.devices.values()), now_us, taken)
        self._settle(node, None)

    def _device_dies(self, topic: Topic, content: Payload, now_us: int, taken: Taken) -> None:
        node = self._nodes.node(topic.node_path)
        self._order(node, content.seq, now_us, taken)
        device = node.devices.get(topic.path)
        if device is None or node.own.status is DeviceStatus.OFFLINE:
            self._want(node, f"{topic.path} died and was not born in this session", now_us, taken)
        if device is None or device.status is DeviceStatus.OFFLINE:
            self.counts["death_again"] += 1
            return
        self._end(device, DeviceStatus.OFFLINE, _micros(content.timestamp_ms, now_us), taken)

    def _end_all(self, devices: Iterable[Device], now_us: int, taken: Taken) -> None:
        """A session is over."""
        for device in devices:
            if device.status is not DeviceStatus.OFFLINE:
                self._end(device, DeviceStatus.OFFLINE, now_us, taken)
            device.forget_aliases()
            self._nodes.note(device)

    def _end(self, device: Device, status: DeviceStatus, at_us: int, taken: Taken) -> None:
        """A node or device is gone, or out of sight: what it said is STALE from then on.

        A marker never stands before the value it marks, nor at its instant, where it would be another value for it.
        """
        device.status = status
        for metric in device.metrics.values():
            if metric.value is not None:
                taken.add(metric, max(at_us, metric.time + 1), metric.value, Quality.STALE)
                metric.value = None
        taken.news.append(DeviceNews(path=device.path, status=status, at_us=at_us))

    def _describe(self, device: Device, about: list[PayloadMetric], now_us: int, taken: Taken) -> None:
        """A data message says something about the device itself."""
        said = self_description(device, about)
        changed = {key: value for key, value in said.properties.items() if device.about.get(key) != value}
        device.about |= changed
        if changed or said.hardware is not None or said.firmware is not None:
            news = DeviceNews(
                path=device.path,
                status=device.status,
                at_us=now_us,
                hardware=said.hardware,
                firmware=said.firmware,
                properties=changed,
            )
            taken.news.append(news)

    def _follow(self, node: Node, device: Device, seq: int | None, taken: Taken, now_us: int) -> None:
        """What a data message means for the session it belongs to."""
        if seq is not None and seq == node.sequence.expected:
            node.sequence.expected = (seq + 1) % SEQ_MODULUS
            self._nodes.touched[node.path] = node
        else:
            self._order(node, seq, now_us, taken)
        if device.status is DeviceStatus.OFFLINE:
            self._want(node, f"{device.path} sent data after its death", now_us, taken)
        elif device.status is not DeviceStatus.ONLINE:
            device.status = DeviceStatus.ONLINE
            taken.news.append(DeviceNews(path=device.path, status=device.status, at_us=now_us))

    def _order(self, node: Node, seq: int | None, now_us: int, taken: Taken) -> None:
        """Look whether a message came in its place."""
        if node.born_us is None:
            return
        if seq is None or seq >= SEQ_MODULUS:
            self.counts["without_seq"] += 1
            return
        self._nodes.touched[node.path] = node
        if not node.sequence.take(seq, now_us, self._wait_us):
            self.counts["out_of_order"] += 1
            taken.notes.append(f"{node.path}: the message of number {seq} came out of order")
            self._watched[node.path] = node
            self._give_up(node, now_us)
            if node.wanting is not None and self._mode.sends_commands:
                self._ask(node, now_us, taken.commands)

    def _give_up(self, node: Node, now_us: int) -> None:
        """No longer wait for messages whose time is over."""
        missing = node.sequence.give_up(now_us)
        if missing:
            self.counts["gap"] += 1
            self.counts["rebirth_wanted"] += 1
            node.wanting = f"{len(missing)} messages are missing"
            self._nodes.touched[node.path] = node

    def _settle(self, node: Node, seq: int | None) -> None:
        """A session begins or ends: nothing is missing, nothing is wanted."""
        node.sequence.begin(seq)
        node.wanting = None
        self._nodes.touched[node.path] = node

    def _want(self, node: Node, reason: str, now_us: int, taken: Taken) -> None:
        """Ask an edge node for its birth, now or when that is allowed again."""
        self.counts["rebirth_wanted"] += 1
        node.wanting = reason
        if not self._mode.sends_commands:
            taken.notes.append(f"{node.path}: a birth is needed, {reason}; a passive host does not ask for it")
            return
        if node.born_us is not None:
            self._watched[node.path] = node
        self._ask(node, now_us, taken.commands)

    def _ask(self, node: Node, now_us: int, commands: list[Command]) -> None:
        if node.throttle.allows(now_us):
            self.counts["rebirth_asked"] += 1
            commands.append(rebirth_request(node.path, now_us))


def _content(taken: Taken, payload: bytes) -> Payload | None:
    """The payload taken apart; None: it cannot be, and the message is refused."""
    if not payload:
        taken.refuse(RejectReason.EMPTY_PAYLOAD, "The message has no payload.")
        return None
    try:
        content = decode_payload(payload)
    except PayloadError as error:
        taken.refuse(RejectReason.MALFORMED_PROTOBUF, f"{taken.path}: {error}.")
        return None
    if not content.metrics and content.body is not None:
        taken.refuse(RejectReason.UNSUPPORTED_TYPE, f"{taken.path}: the payload is of a form of its own.")
        return None
    taken.sent_ms = content.timestamp_ms
    return content


def _micros(stamp_ms: int | None, now_us: int) -> int:
    return now_us if stamp_ms is None or stamp_ms > LATEST_MS else stamp_ms * 1000
