"""The plant as the engine knows it: assets, sensors, gateways. Read once from the database, immutable."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import cached_property

__all__ = ["Asset", "AssetState", "DetectorSpec", "Gateway", "Plant", "Sensor", "SensorKind"]


class SensorKind(StrEnum):
    """Where a sensor's readings come from."""

    MEASURED = "measured"
    """sent by a device"""
    STATE = "state"
    """sent by a device; the value is an `AssetState`"""
    DERIVED = "derived"
    """computed by us (a score, a feature, a health index)"""


class AssetState(IntEnum):
    """What an asset is doing, for reliability KPIs (EN 15341: only required time counts)."""

    STOPPED = 0
    """not required to run: neither uptime nor downtime"""
    RUNNING = 1
    FAILED = 2
    """down: required to run and unable to"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """A machine or part of one, in the tree of its plant."""

    id: int
    name: str
    title: str
    parent_id: int | None
    site: str
    area: str
    asset_class: str
    """pump, motor, fan ...; free text of the plant file"""
    criticality: int
    """1 (a failure hardly matters) to 5 (it stops the plant)"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSpec:
    """Which detector scores a sensor, and its parameters where they are not the defaults."""

    kind: str
    """a key of `models.registry.DETECTORS`"""
    parameters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sensor:
    """A measuring point: one series of readings."""

    id: int
    name: str
    """unique in the database; by convention `asset.point`; a score is `asset.point.score`"""
    asset_id: int
    kind: SensorKind
    quantity: str
    unit: str
    """of the stored values, as pint writes it"""
    site: str
    topic: str | None = None
    """MQTT topic on which its readings arrive alone; None: only through a gateway, or derived"""
    factor: float = 1.0
    """stored = sent * factor + offset (unit conversion at the door)"""
    offset: float = 0.0
    codes: Mapping[str, float] = field(default_factory=dict)
    """what a text value means as a number, e.g. {"running": 1}"""
    source_id: int | None = None
    """derived sensors: the sensor they are computed from"""
    detector: DetectorSpec | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A device that sends the readings of many sensors on one topic."""

    name: str
    topic: str
    site: str


@dataclass(frozen=True, kw_only=True)
class Plant:
    """Everything applied and not retired, at one revision of the plant."""

    revision: int
    """counts up with every `precursor apply` that changed something"""
    assets: tuple[Asset, ...] = ()
    sensors: tuple[Sensor, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    subscriptions: tuple[str, ...] = ()
    """MQTT topic filters to listen on"""

    @cached_property
    def sensor_by_name(self) -> Mapping[str, Sensor]:
        """Sensors by their unique name."""
        return {sensor.name: sensor for sensor in self.sensors}

    @cached_property
    def sensor_by_id(self) -> Mapping[int, Sensor]:
        """Sensors by `Sensor.id`."""
        return {sensor.id: sensor for sensor in self.sensors}

    @cached_property
    def asset_by_id(self) -> Mapping[int, Asset]:
        """Assets by `Asset.id`."""
        return {asset.id: asset for asset in self.assets}
