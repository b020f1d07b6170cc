"""Devices and gateways: what is known of each, and what messages say about them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from telemetry.errors import ConfigurationError

__all__ = [
    "Birth",
    "Death",
    "Device",
    "DeviceChange",
    "DeviceKind",
    "DeviceStatus",
    "Sighting",
    "TakenNameError",
    "UnknownDeviceError",
    "blocked",
]


class DeviceKind(StrEnum):
    """What a device is."""

    GATEWAY = "gateway"
    """of the plant file: a topic, and what sends on it"""
    NODE = "node"
    """an edge node of Sparkplug: `group/node`"""
    DEVICE = "device"
    """a device behind a node, `group/node/device`, or behind a gateway"""


class DeviceStatus(StrEnum):
    """How a device is doing. Stored as written here."""

    ONLINE = "online"
    OFFLINE = "offline"
    """said goodbye, or never heard yet"""
    STALE = "stale"
    """silent for longer than `Device.stale_after_s`"""
    QUARANTINED = "quarantined"
    """its readings are kept aside until somebody approves it"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A device or gateway of the registry."""

    name: str
    """unique: a gateway's name, `group/node`, or `group/node/device`"""
    kind: DeviceKind
    title: str
    source: str
    """the gateway of the plant file it was heard through last; "": none yet"""
    parent: str | None
    """the node it is behind"""
    origin: str
    """who made it known: plant, birth or person"""
    status: DeviceStatus
    status_at: datetime
    """since when"""
    registered_at: datetime
    last_seen_at: datetime | None
    clock_offset_s: float | None
    """the device's clock minus ours, s; None: no reading yet that tells"""
    hardware: str
    firmware: str
    properties: Mapping[str, object]
    """whatever else its birth says about it"""
    credentials: str
    """where its secret is kept, never the secret"""
    stale_after_s: float | None
    """silent for longer: stale, s; None: never"""
    decommissioned_at: datetime | None
    """None: in use"""

    @property
    def blocked(self) -> bool:
        """Whether its readings are kept aside."""
        return self.status is DeviceStatus.QUARANTINED or self.decommissioned_at is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """That a device was heard, as a batch of messages tells it."""

    device: str
    source: str
    """the gateway of the plant file it was heard through"""
    newest_us: int | None = None
    """the latest time that its own clock gave in the batch, µs since 1970-01-01 UTC; None: it gave none"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Birth:
    """A device says that it is there, and what it is."""

    name: str
    kind: DeviceKind
    source: str
    parent: str | None = None
    """the node it is behind"""
    hardware: str = ""
    firmware: str = ""
    properties: Mapping[str, object] = field(default_factory=dict)
    """as JSON holds them"""
    time_us: int | None = None
    """by its own clock, µs since 1970-01-01 UTC"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Death:
    """A device is gone; of a node: everything behind it, too."""

    name: str


DeviceChange = Birth | Death


class UnknownDeviceError(ConfigurationError):
    """The registry has no device of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no device {name[:200]!r}; `precursor devices list` shows those there are")
        self.name = name


class TakenNameError(ConfigurationError):
    """The registry has a device of this name already."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is a device {name[:200]!r} already; change it with `precursor devices configure`")
        self.name = name


def blocked(devices: Iterable[Device]) -> frozenset[str]:
    """Names of devices whose readings are kept aside: quarantined or decommissioned ones, and all behind such a node.

    A device that is born behind a blocked node is not among them yet: whoever asks for a device asks for its node, too.
    """
    known = tuple(devices)
    own = frozenset(device.name for device in known if device.blocked)
    return own | frozenset(device.name for device in known if device.parent in own)
