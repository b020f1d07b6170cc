"""`Taken`: what one message, or a death, turned out to be."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ingest.codecs.contract import Fault
from ingest.reasons import RejectReason
from ingest.registry import DeviceKind, DeviceStatus
from ingest.sparkplug.metric import Metric
from ingest.sparkplug.payload import PayloadMetric
from telemetry.quality import Quality

__all__ = ["Command", "DeviceNews", "Taken"]

_LONGEST_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A message to send after COMMIT."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceNews:
    """A birth, a death, or news of an edge node or device about itself, for the register of devices."""

    path: str
    """`group/node` or `group/node/device`"""
    status: DeviceStatus
    """online, offline, or stale: the host was cut off from it, so that nobody knows"""
    at_us: int
    """microseconds since 1970-01-01 UTC"""
    is_birth: bool = False
    hardware: str | None = None
    """None: not said in this message"""
    firmware: str | None = None
    properties: Mapping[str, bool | float | str] = field(default_factory=dict)
    """what else it says about itself; all of it at a birth, else what changed"""
    metrics: Sequence[Metric] = ()
    """at a birth: all it will ever send, without those that only tell of itself"""

    @property
    def kind(self) -> DeviceKind:
        """Whether it is an edge node or a device behind one."""
        return DeviceKind.NODE if self.parent is None else DeviceKind.DEVICE

    @property
    def parent(self) -> str | None:
        """The edge node that a device is behind."""
        node, _, device = self.path.rpartition("/")
        return node if "/" in node and device else None


@dataclass(slots=True, kw_only=True)
class Taken:
    """What came of a message. `metrics`, `times`, `values` and `qualities` belong together by position."""

    path: str | None = None
    """whose message it was; None: nobody's, or the host's own"""
    sent_ms: int | None = None
    """when it was sent, by the sender's clock, ms since 1970-01-01 UTC"""
    metrics: list[Metric] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    """microseconds since 1970-01-01 UTC"""
    values: list[float | str] = field(default_factory=list)
    """numbers are finite"""
    qualities: list[int] = field(default_factory=list)
    """a `telemetry.quality.Quality`"""
    historical: list[int] = field(default_factory=list)
    """positions of readings that are stored and alarm nobody as if they were live"""
    plain: bool = False
    """known to be good numbers, all of them, and none historical"""
    faults: list[Fault] = field(default_factory=list)
    refused: Fault | None = None
    """the fault of the message as a whole, which is then the only one of `faults`"""
    news: list[DeviceNews] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """what a person who looks into this node should know, a sentence each"""

    @property
    def carried(self) -> int:
        """Items: each became a reading or a fault."""
        return len(self.metrics) + len(self.faults)

    def refuse(self, reason: RejectReason, detail: str) -> None:
        """Turn the whole message away."""
        self.refused = Fault(reason=reason, detail=detail)
        self.faults.append(self.refused)

    def reject(self, reason: RejectReason, detail: str, name: str, sent: PayloadMetric) -> None:
        """Turn one metric away."""
        self.faults.append(Fault(reason=reason, detail=detail, text=_text_of(name, sent)))

    def add(self, metric: Metric, time: int, value: float | str, quality: Quality, *, historical: bool = False) -> None:
        """One reading."""
        if historical:
            self.historical.append(len(self.metrics))
        self.metrics.append(metric)
        self.times.append(time)
        self.values.append(value)
        self.qualities.append(quality)


def _text_of(name: str, sent: PayloadMetric) -> bytes:
    value = sent.raw if isinstance(sent.raw, (bool, int, float, str)) else repr(sent.raw)
    if isinstance(value, str):
        value = value[:_LONGEST_SHOWN]
    shown = {"sensor": name[:_LONGEST_SHOWN], "alias": sent.alias, "ts": sent.timestamp_ms, "value": value}
    return json.dumps({key: one for key, one in shown.items() if one is not None}).encode()
