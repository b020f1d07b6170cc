"""What a person writes into a plant file, key by key. Every key's `description` says what is expected there."""

from typing import Annotated, Literal

from pydantic import Field

from precursor.plantfile.model_entries import AssetDetector, Detector, Detectors, RemainingLife, Vibration
from precursor.plantfile.rule_entries import (
    MachineEntry,
    OverrideEntry,
    RuleEntry,
    ScheduleEntry,
    SensorQuality,
    SensorQualityEntry,
    TemplateEntry,
)
from precursor.plantfile.scalars import NAME_RULE, Duration, Entry, Limit, Name, Range, Seconds

__all__ = [
    "AreaEntry", "AssetEntry", "FieldsEntry", "GatewayEntry", "JobPlanEntry", "KnownAssetEntry",
    "PartEntry", "PlantEntry", "ProvisionEntry", "RulesAloneEntry", "RulesEntry", "SensorEntry", "SiteEntry",
]  # fmt: skip


class SensorEntry(Entry):
    """A measuring point of an asset."""

    name: Name = Field(description=f"the measuring point: {NAME_RULE}")
    title: str = Field("", description="text for people")
    kind: Literal["measured", "state"] = Field("measured", description="measured or state")
    quantity: str = Field("", description="what is measured, e.g. vibration velocity RMS")
    unit: str | None = Field(None, description="the unit of the stored values, e.g. mm/s, degC, bar")
    sent_in: str | None = Field(None, description="the unit in the payload, where it is another than `unit`")
    topic: str | None = Field(None, description="the MQTT topic it is published on, e.g. works/P-101/vib_de")
    detector: Detector = Field(
        None, description="the kind of a detector, off, or a mapping with `kind` and its parameters"
    )
    vibration: Vibration = Field(None, description="on, or a mapping such as {bearings: [UER204 LDK]}")
    remaining_life: RemainingLife = Field(None, description="on, or a mapping such as {high: 7.1 mm/s}")
    states: dict[str, Literal["running", "stopped", "failed"]] | None = Field(
        None, description="payload text: running, stopped or failed"
    )
    codes: dict[str, Annotated[float, Field(allow_inf_nan=False)]] | None = Field(
        None, description="payload text: the number it stands for, e.g. {open: 1, closed: 0}"
    )
    range: Range = Field(
        None, description='the lowest and the highest value there can be, e.g. [0, 50] or ["-40 degC", "200 degC"]'
    )
    flat_line: Duration = Field(None, gt=0, description='a duration above 0, e.g. "10 min"')
    spike: Limit = Field(None, description='a number above 0, or one with a unit such as "5 mm/s"')
    rate: Duration = Field(None, gt=0, description='a duration above 0, e.g. "1 s"')


class AssetEntry(Entry):
    """A machine, or a part of one."""

    name: Name = Field(description=f"the tag of the asset: {NAME_RULE}")
    title: str = Field("", description="text for people")
    asset_class: str = Field("", alias="class", description="pump, motor, fan ...; free text")
    criticality: int = Field(3, ge=1, le=5, description="a whole number, 1 (hardly matters) to 5 (stops the plant)")
    sensors: list[SensorEntry] = Field([], description="a list of sensors")
    machine: MachineEntry | None = Field(None, description="a mapping such as {group: 2, foundation: rigid}")
    detector: AssetDetector = Field(
        None, description="auto, off, or a mapping of `sensors` and parameters, e.g. {sensors: [vib_de, temp_de]}"
    )
    rules: dict[str, OverrideEntry] = Field({}, description="a mapping of names of rules to what is different here")
    assets: list["AssetEntry"] = Field([], description="a list of the assets it consists of")


class AreaEntry(Entry):
    """A part of a site."""

    name: Name = Field(description=f"the name of the area: {NAME_RULE}")
    title: str = Field("", description="text for people")
    assets: list[AssetEntry] = Field([], description="a list of assets")


class FieldsEntry(Entry):
    """What the fields of our JSON are called in a gateway's."""

    ts: str = Field("ts", min_length=1, description="the name of the field with the time")
    value: str = Field("value", min_length=1, description="the name of the field with the value")
    sensor: str = Field("sensor", min_length=1, description="the name of the field with the sensor's name")
    quality: str = Field("quality", min_length=1, description="the name of the field with the quality")
    values: str = Field("values", min_length=1, description="the name of the field with the values of many sensors")


class ProvisionEntry(Entry):
    """Sensors that come into being when their first reading arrives."""

    match: str = Field(min_length=1, description="a pattern of sensor names, e.g. '*.temp'")
    area: Name = Field(description=f"the area of assets that have to be made too: {NAME_RULE}")
    asset_class: str = Field("", alias="class", description="pump, motor, fan ...; free text")
    quantity: str = Field("", description="what is measured, e.g. vibration velocity RMS")
    unit: str = Field("", description="the unit of values that come without one, e.g. mm/s, degC, bar")


class GatewayEntry(Entry):
    """A device, or many alike, that send the readings of many sensors."""

    name: Name = Field(description=f"the name of the gateway: {NAME_RULE}")
    topic: str | None = Field(
        None, description="the MQTT topic it publishes on, e.g. works/gw-1/readings or works/{line}/{machine}/data"
    )
    format: Literal["json", "senml_json", "senml_cbor", "sparkplug_b", "waveform_json", "waveform_cbor"] = Field(
        "json", description="json, senml_json, senml_cbor, sparkplug_b, waveform_json or waveform_cbor"
    )
    fields_: FieldsEntry | None = Field(
        None, alias="fields", description="a mapping of our field names to the gateway's, e.g. {ts: time}"
    )
    names: dict[str, str] = Field({}, description="a mapping of names as sent to names of sensors (asset.point)")
    asset: str | None = Field(
        None, description="the asset whose points are sent, with levels of the topic: '{line}-{machine}'"
    )
    unknown: Literal["quarantine", "provision", "reject"] | None = Field(
        None, description="quarantine, provision or reject"
    )
    provision: list[ProvisionEntry] = Field([], description="a list of rules, e.g. [{match: '*.temp', area: hall}]")


class SiteEntry(Entry):
    """A place with its own broker topics."""

    name: Name = Field(description=f"the name of the site: {NAME_RULE}")
    title: str = Field("", description="text for people")
    subscribe: list[str] | None = Field(None, min_length=1, description="a list of MQTT topic filters, e.g. [works/#]")
    gateways: list[GatewayEntry] = Field([], description="a list of gateways")
    areas: list[AreaEntry] = Field([], description="a list of areas")


class PartEntry(Entry):
    """A spare part of a job."""

    name: str = Field(min_length=1, description="the name of the part as the stores know it")
    quantity: float = Field(1.0, gt=0, description="a number above 0")


class JobPlanEntry(Entry):
    """The prepared answer to a failure mode."""

    name: Name = Field(description=f"the name of the job plan: {NAME_RULE}")
    title: str = Field("", description="text for people")
    tasks: list[str] = Field([], description="a list of what to do, in order")
    parts: list[PartEntry] = Field([], description="a list of parts, e.g. [{name: Bearing 6309, quantity: 2}]")
    skills: list[str] = Field([], description="a list of trades, e.g. [mechanic]")
    hours: float = Field(0.0, ge=0, description="person-hours, 0 or more")
    due_within: Seconds = Field(description='seconds, or text such as "12 h", "7 d"; above 0', gt=0)


class RulesEntry(Entry):
    """What is watched, and what is done about it."""

    version: Literal[1] = Field(description="1")
    rules: list[RuleEntry] = Field([], description="a list of rules")
    templates: list[TemplateEntry] = Field([], description="a list of rules by class of asset")
    schedules: list[ScheduleEntry] = Field([], description="a list of schedules")
    sensor_quality: SensorQuality = Field(
        SensorQualityEntry.model_validate({}), description="off, or a mapping such as {for: 60 s, priority: low}"
    )
    job_plans: list[JobPlanEntry] = Field([], description="a list of job plans")


class PlantEntry(RulesEntry):
    """The whole file."""

    sites: list[SiteEntry] = Field(min_length=1, description="a list of at least one site")
    detectors: Detectors = Field(None, description="auto, off, or a mapping such as {assets: off, budget: 0.2}")


class KnownAssetEntry(Entry):
    """What rules have to know of an asset that is described elsewhere; the same as in its own entry."""

    name: Name = Field(description=f"the tag of an asset of the plant: {NAME_RULE}")
    machine: MachineEntry | None = Field(None, description="a mapping such as {group: 2, foundation: rigid}")
    rules: dict[str, OverrideEntry] = Field({}, description="a mapping of names of rules to what is different here")


class RulesAloneEntry(RulesEntry):
    """A file of rules for a plant that is described elsewhere."""

    assets: list[KnownAssetEntry] = Field([], description="a list of assets on which rules are different")
