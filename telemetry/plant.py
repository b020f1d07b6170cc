"""The plant as the engine knows it: assets, sensors, gateways. Read once from the database, immutable."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from functools import cached_property

__all__ = [
    "Asset",
    "AssetState",
    "BearingSpec",
    "DetectorSpec",
    "DoorChecks",
    "Gateway",
    "Machine",
    "PayloadFormat",
    "Plant",
    "ProvisionRule",
    "Sensor",
    "SensorKind",
    "UnknownNames",
    "Vibration",
]


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
class DetectorSpec:
    """Which detector scores a sensor or an asset, and its parameters where they are not the defaults."""

    kind: str
    """a key of `models.kinds.DETECTORS`; of an asset: of `models.multivariate`'s kinds"""
    parameters: Mapping[str, float] = field(default_factory=dict)
    sensors: tuple[str, ...] = ()
    """of an asset: the sensors it is scored by, full names, in this order; of a speed or load that a sensor's level
    depends on: those"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BearingSpec:
    """A rolling-element bearing: by its designation in the catalogue, or by its geometry."""

    designation: str = ""
    """e.g. 6309; empty: the geometry is given"""
    rollers: int = 0
    roller_diameter_mm: float = 0.0
    pitch_diameter_mm: float = 0.0
    contact_angle_deg: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What analysis has to know of a machine. Everything may be unknown."""

    group: int | None = None
    """ISO 20816-3: 1 (above 300 kW) or 2 (15 to 300 kW)"""
    foundation: str | None = None
    """rigid or flexible"""
    speed_rpm: float | None = None
    """nominal speed of the shaft"""
    speed_sensor: str | None = None
    """full name of the sensor that measures it, in rpm or Hz"""
    bearings: tuple[BearingSpec, ...] = ()
    teeth: int | None = None
    """of the gear on the shaft"""
    blades: int | None = None
    """of impeller or rotor"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vibration:
    """How the waveforms of a sensor are analysed, where that is not as for the whole machine."""

    bearings: tuple[BearingSpec, ...] = ()
    """those near the sensor; empty: those of the machine"""


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
    machine: Machine = Machine()
    detector: DetectorSpec | None = None
    """how it is scored by several of its sensors together; None: not"""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorChecks:
    """What a sensor's readings are checked for as they arrive. None: not checked for this."""

    low: float | None = None
    """end of the physical range, in the sensor's unit: a smaller value is no measurement (bad)"""
    high: float | None = None
    """the other end"""
    flat_line_s: float | None = None
    """the same value for longer than this comes from a sensor that is stuck (uncertain), s of event time"""
    spike: float | None = None
    """a step away from both neighbours, or from the last value, larger than this is a spike (uncertain), unit"""
    rate_s: float | None = None
    """expected between readings; less than half or more than twice as much is counted as a wrong rate, s"""

    def __bool__(self) -> bool:
        return any(check is not None for check in (self.low, self.high, self.flat_line_s, self.spike, self.rate_s))


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
    computed: str = ""
    """derived sensors: what they are: score, anomaly, contribution, the name of a feature ...; empty: not derived"""
    source_id: int | None = None
    """derived sensors: the sensor they are computed from; None: from several"""
    detector: DetectorSpec | None = None
    vibration: Vibration | None = None
    """how its waveforms are analysed; None: they are stored only"""
    checks: DoorChecks = DoorChecks()


class PayloadFormat(StrEnum):
    """How a gateway writes its payloads. Stored as written here."""

    JSON = "json"
    SENML_JSON = "senml_json"
    SENML_CBOR = "senml_cbor"
    SPARKPLUG_B = "sparkplug_b"
    WAVEFORM_JSON = "waveform_json"
    WAVEFORM_CBOR = "waveform_cbor"


class UnknownNames(StrEnum):
    """What becomes of readings whose sensor the plant does not have."""

    QUARANTINE = "quarantine"
    """kept aside until somebody releases them into history, or throws them away"""
    PROVISION = "provision"
    """the sensor is made, where a `ProvisionRule` fits; else kept aside"""
    REJECT = "reject"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvisionRule:
    """Sensors that come into being when their first reading arrives."""

    match: str
    """pattern of the sensor's name with * and ?, as in a shell"""
    area: str
    """of the asset, where that has to be made too; made itself where the site has none of this name"""
    asset_class: str = ""
    quantity: str = ""
    unit: str = ""
    """of the values, where the payload names none"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """A device, or many alike, that send the readings of many sensors."""

    name: str
    topic: str
    """may hold + and #, and names of levels in braces: `works/{line}/{machine}/data`"""
    site: str
    format: PayloadFormat = PayloadFormat.JSON
    fields: Mapping[str, str] = field(default_factory=dict)
    """JSON: what our fields (ts, value, sensor, quality, values) are called there, where it is something else"""
    names: Mapping[str, str] = field(default_factory=dict)
    """name as sent: name of the sensor, where the two differ"""
    asset: str | None = None
    """the asset whose points the names sent are, with names of levels in braces: `{line}-{machine}`; None: names sent
    are names of sensors"""
    unknown: UnknownNames = UnknownNames.QUARANTINE
    provision: tuple[ProvisionRule, ...] = ()


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
