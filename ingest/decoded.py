"""What became of a batch of messages: readings, rejections, and a count that must equal their sum."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from ingest.mqtt_options import Publication
from ingest.quarantine import HeldReading
from ingest.reasons import RejectReason
from ingest.registry import DeviceChange, Sighting
from ingest.sessions import MetricRow, NodeRow
from telemetry.batch import ReadingBatch
from telemetry.waveforms import Waveform

__all__ = ["Decoded", "ReceivedWaveform", "Rejection", "WantedSensor"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """One item that arrived and cannot be stored as a reading. It is data: stored, counted, acknowledged."""

    source: str
    """whose ledger it counts in: a gateway, a site, or "unknown\""""
    topic: str
    reason: RejectReason
    payload: bytes
    """the item, or the whole message where no single item can be told; cut at the door's limit"""
    payload_bytes: int
    """length before the cut"""
    detail: str
    """what is wrong, as a sentence for a person; printable, at most a few hundred characters"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedWaveform:
    """A waveform, and whose ledger it counts in."""

    source: str
    waveform: Waveform


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedSensor:
    """A sensor that the plant does not have and is to get."""

    name: str
    """`asset.point`"""
    asset: str
    """made too, where the plant has none of this name"""
    site: str
    area: str
    """made too, where the site has none of this name"""
    asset_class: str = ""
    quantity: str = ""
    unit: str = ""
    low: float | None = None
    """physical range, in the unit"""
    high: float | None = None
    origin: Literal["birth", "provision"] = "provision"
    """a birth certificate, or a rule of the plant file"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoded:
    """The outcome of decoding some messages. Per source: received = readings + rejections."""

    batch: ReadingBatch
    """in order of arrival"""
    source: npt.NDArray[np.int16]
    """for each reading of the batch its position in `sources`"""
    sources: tuple[str, ...]
    rejections: list[Rejection]
    received: Mapping[str, int]
    """items that arrived, by source; counted from the messages, not from what became of them"""
    historical: npt.NDArray[np.bool_] | None = None
    """which readings of the batch are no news, as the device says: stored, not evaluated; None: none of them"""
    blocks: Sequence[ReceivedWaveform] = ()
    held: Sequence[HeldReading] = ()
    """of names that the plant does not have: kept aside"""
    wanted: Sequence[WantedSensor] = ()
    """names that a rule of the plant file, or a birth, would make sensors; their readings are in `held`"""
    sightings: Sequence[Sighting] = ()
    changes: Sequence[DeviceChange] = ()
    """births and deaths, in the order in which they arrived"""
    out_of_sight: Sequence[str] = ()
    """devices of which nothing is known any more: our own connection was lost"""
    nodes: Sequence[NodeRow] = ()
    """Sparkplug sessions as they stand after the batch"""
    metrics: Mapping[str, Sequence[MetricRow]] = field(default_factory=dict)
    """metrics of the births in the batch, by node or device"""
    commands: Sequence[Publication] = ()
    """to be sent once the batch is committed"""
    notes: Sequence[str] = ()
    """what a person who looks into an edge node should know, a sentence each"""
    turned_away: Mapping[tuple[int, RejectReason], int] = field(default_factory=dict)
    """how many readings of sensors were rejected for which reason, by `sensor.id` and reason"""

    def unaccounted(self) -> dict[str, int]:
        """Items by source that arrived and are neither reading nor rejection. Empty, or there is a bug."""
        missing = Counter(self.received)
        missing.subtract(rejection.source for rejection in self.rejections)
        missing.subtract(block.source for block in self.blocks)
        missing.subtract(reading.source for reading in self.held)
        for position, count in enumerate(np.bincount(self.source, minlength=len(self.sources))):
            missing[self.sources[position]] -= int(count)
        return {source: count for source, count in missing.items() if count}
