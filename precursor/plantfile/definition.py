"""The plant as its file says it: checked, with full names, in stored units, not yet in any database."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rules.definition import Priority
from telemetry.plant import DetectorSpec, DoorChecks, Gateway, Machine, SensorKind, Vibration

__all__ = [
    "AreaDefinition", "AssetDefinition", "JobPlanDefinition", "PlantDefinition", "RuleDefinition",
    "SensorDefinition", "SiteDefinition",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteDefinition:
    """A place with its own broker topics."""

    name: str
    title: str
    subscribe: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaDefinition:
    """A part of a site."""

    site: str
    name: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetDefinition:
    """A machine, or a part of one."""

    name: str
    title: str
    site: str
    area: str
    parent: str | None
    asset_class: str
    criticality: int
    machine: Machine = field(default_factory=Machine)
    detector: DetectorSpec | None = None
    """how it is scored by several of its sensors together; None: not"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SensorDefinition:
    """A measuring point, or a series computed from one."""

    name: str
    """full: `asset.point`, `asset.point.score`"""
    title: str
    asset: str
    kind: SensorKind
    quantity: str
    unit: str
    """of the stored values, as the file writes it"""
    topic: str | None = None
    factor: float = 1.0
    offset: float = 0.0
    """stored = sent * factor + offset"""
    codes: Mapping[str, float] = field(default_factory=dict)
    computed: str = ""
    """derived sensors: what they are, as in `telemetry.plant.Sensor`"""
    source: str | None = None
    """derived sensors: the full name of the sensor they are computed from; None: from several"""
    detector: DetectorSpec | None = None
    vibration: Vibration | None = None
    """how its waveforms are analysed; None: they are stored only"""
    checks: DoorChecks = field(default_factory=DoorChecks)
    """in the stored unit"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleDefinition:
    """One rule on one sensor or asset, in stored units; field by field as in `rules.definition.Rule`."""

    name: str
    title: str
    subject: str
    """the sensor or the asset it is on"""
    sensor: str | None
    asset: str
    kind: str
    """limit, deviation, rate ...: see docs/rules.md"""
    unit: str
    """of what is compared with the limits"""
    high_high: float | None
    high: float | None
    low: float | None
    low_low: float | None
    deadband: float
    on_delay_s: float
    off_delay_s: float
    latching: bool
    priority: Priority
    critical_priority: Priority
    failure_mode: str | None
    job_plan: str | None
    options: Mapping[str, Any]
    """what the kind needs, by names of sensors and rules; the layout is in `rules.stored`"""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlanDefinition:
    """The prepared answer to a failure mode."""

    name: str
    title: str
    tasks: tuple[str, ...]
    parts: tuple[tuple[str, float], ...]
    """name and quantity"""
    skills: tuple[str, ...]
    labour_hours: float
    due_within_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PlantDefinition:
    """Everything a plant file says. Parents stand before their children, sources before what is computed of them."""

    sites: tuple[SiteDefinition, ...] = ()
    areas: tuple[AreaDefinition, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    assets: tuple[AssetDefinition, ...] = ()
    sensors: tuple[SensorDefinition, ...] = ()
    job_plans: tuple[JobPlanDefinition, ...] = ()
    rules: tuple[RuleDefinition, ...] = ()
