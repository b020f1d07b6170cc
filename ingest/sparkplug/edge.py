"""`EdgeNode`: the other side of the wire, births, data and deaths as messages; for simulators, benchmarks and tests."""

from collections.abc import Iterable

from ingest.sparkplug.datatypes import DataType
from ingest.sparkplug.metric import BD_SEQ, REBIRTH
from ingest.sparkplug.payload import Payload, PayloadMetric, encode_payload, metric_of
from ingest.sparkplug.sequence import SEQ_MODULUS
from ingest.sparkplug.topics import MessageType, Topic

__all__ = ["EdgeNode", "Wire"]

Wire = tuple[str, bytes]
"""topic and payload"""


class EdgeNode:
    """Writes what an edge node sends, with the sequence numbers that it must have."""

    def __init__(self, group: str, name: str, bd_seq: int = 0) -> None:
        self.group = group
        self.name = name
        self.bd_seq = bd_seq
        """of the session; to be raised by whoever begins a new one"""
        self.seq = 0
        """of the next message"""

    @property
    def path(self) -> str:
        """`group/node`."""
        return f"{self.group}/{self.name}"

    def birth(self, metrics: Iterable[PayloadMetric], stamp_ms: int) -> Wire:
        """NBIRTH, with the metrics that every one must have; the sequence starts over."""
        self.seq = 0
        session = metric_of(BD_SEQ, DataType.INT64, self.bd_seq, timestamp_ms=stamp_ms)
        rebirth = metric_of(REBIRTH, DataType.BOOLEAN, False, timestamp_ms=stamp_ms)
        return self._message(MessageType.NBIRTH, [session, rebirth, *metrics], stamp_ms)

    def device_birth(self, device: str, metrics: Iterable[PayloadMetric], stamp_ms: int) -> Wire:
        """DBIRTH."""
        return self._message(MessageType.DBIRTH, metrics, stamp_ms, device)

    def data(self, metrics: Iterable[PayloadMetric], stamp_ms: int, device: str | None = None) -> Wire:
        """NDATA, or DDATA of a device."""
        return self._message(MessageType.NDATA if device is None else MessageType.DDATA, metrics, stamp_ms, device)

    def device_death(self, device: str, stamp_ms: int) -> Wire:
        """DDEATH."""
        return self._message(MessageType.DDEATH, [], stamp_ms, device)

    def death(self, stamp_ms: int | None = None) -> Wire:
        """NDEATH, as the broker has it as the Will: without a number in the sequence."""
        payload = Payload(timestamp_ms=stamp_ms, metrics=[metric_of(BD_SEQ, DataType.INT64, self.bd_seq)])
        return str(Topic(MessageType.NDEATH, self.group, self.name)), encode_payload(payload)

    def _message(
        self, kind: MessageType, metrics: Iterable[PayloadMetric], stamp_ms: int, device: str | None = None
    ) -> Wire:
        payload = Payload(timestamp_ms=stamp_ms, seq=self.seq, metrics=list(metrics))
        self.seq = (self.seq + 1) % SEQ_MODULUS
        return str(Topic(kind, self.group, self.name, device)), encode_payload(payload)
