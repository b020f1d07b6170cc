"""What a person writes into a plant file, key by key. Every key's `description` says what is expected there."""

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

__all__ = [
    "AreaEntry", "AssetEntry", "DetectorEntry", "FieldsEntry", "GatewayEntry", "JobPlanEntry", "PartEntry",
    "PlantEntry", "ProvisionEntry", "RuleEntry", "SensorEntry", "SiteEntry",
]  # fmt: skip

_SECONDS = {
    "s": 1.0, "sec": 1.0, "second": 1.0, "min": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0,
    "d": 86_400.0, "day": 86_400.0, "w": 604_800.0, "week": 604_800.0,
}  # fmt: skip
_DURATION = re.compile(r"\s*([-+]?[0-9]+(?:\.[0-9]+)?)\s*([a-z]+?)s?\s*")
_LONGEST_S = 10 * 366 * 86_400.0
_AMOUNT = re.compile(
    r"\s*([-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?)(?:\s+(\S.*?)|([^\W\d].*?|%|°.*?))?\s*"
)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def _is_number(found: object) -> bool:
    return isinstance(found, (int, float)) and not isinstance(found, bool) and math.isfinite(found)


def _seconds(found: Any) -> float:
    if _is_number(found):
        seconds = float(found)
    else:
        match = _DURATION.fullmatch(found) if isinstance(found, str) else None
        unit = match and (_SECONDS.get(match[2]) or _SECONDS.get(match[2] + "s"))
        if not match or not unit:
            raise PydanticCustomError("duration", "is no duration")
        seconds = float(match[1]) * unit
    if seconds < 0:
        raise PydanticCustomError("duration", "is negative")
    if seconds > _LONGEST_S:
        raise PydanticCustomError("duration", "is longer than ten years")
    return seconds


def _amount(found: Any) -> tuple[float, str | None]:
    """A number and its unit; None: the unit of the sensor."""
    if _is_number(found):
        return float(found), None
    match = _AMOUNT.fullmatch(found) if isinstance(found, str) else None
    if not match or not math.isfinite(float(match[1])):
        raise PydanticCustomError("amount", "is no number, with or without a unit")
    return float(match[1]), match[2] or match[3]


def _limit(found: Any) -> tuple[float, str | None] | None:
    return None if found is None else _amount(found)


def _range(found: Any) -> tuple[tuple[float, str | None] | None, ...]:
    """Both ends of a range, None where it has none."""
    if not isinstance(found, list) or len(found) != 2 or found == [None, None]:
        raise PydanticCustomError("range", "is no range")
    return tuple(_limit(end) for end in found)


def _name(found: Any) -> Any:
    if isinstance(found, str) and not _NAME.fullmatch(found):
        raise PydanticCustomError("name", "is no name")
    return found


def _detector(found: Any) -> Any:
    return {"kind": found} if isinstance(found, str) else found


_NAME_RULE = "1 to 64 letters (A-Z), digits, '_' or '-'"
Name = Annotated[str, BeforeValidator(_name)]
# Read by the validator before pydantic sees them, so that a file may say "60 s" or 60.
Seconds = Annotated[float, BeforeValidator(_seconds)]
Amount = Annotated[tuple[float, str | None], BeforeValidator(_amount)]
Limit = Annotated[tuple[float, str | None] | None, BeforeValidator(_limit)]
Range = Annotated[
    tuple[tuple[float, str | None] | None, tuple[float, str | None] | None] | None, BeforeValidator(_range)
]
Span = Annotated[float | None, BeforeValidator(_seconds)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class DetectorEntry(BaseModel):
    """Which detector scores a sensor; every further key is a parameter of that detector."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, float]

    kind: str = Field(description="the kind of detector, e.g. ewma or half_space_trees")


class SensorEntry(_Entry):
    """A measuring point of an asset."""

    name: Name = Field(description=f"the measuring point: {_NAME_RULE}")
    title: str = Field("", description="text for people")
    kind: Literal["measured", "state"] = Field("measured", description="measured or state")
    quantity: str = Field("", description="what is measured, e.g. vibration velocity RMS")
    unit: str | None = Field(None, description="the unit of the stored values, e.g. mm/s, degC, bar")
    sent_in: str | None = Field(None, description="the unit in the payload, where it is another than `unit`")
    topic: str | None = Field(None, description="the MQTT topic it is published on, e.g. works/P-101/vib_de")
    detector: Annotated[DetectorEntry | None, BeforeValidator(_detector)] = Field(
        None, description="the kind of a detector, or a mapping with `kind` and its parameters"
    )
    states: dict[str, Literal["running", "stopped", "failed"]] | None = Field(
        None, description="payload text: running, stopped or failed"
    )
    range: Range = Field(
        None, description='the lowest and the highest value there can be, e.g. [0, 50] or ["-40 degC", "200 degC"]'
    )
    flat_line: Span = Field(None, gt=0, description='a duration above 0, e.g. "10 min"')
    spike: Limit = Field(None, description='a number above 0, or one with a unit such as "5 mm/s"')
    rate: Span = Field(None, gt=0, description='a duration above 0, e.g. "1 s"')


class AssetEntry(_Entry):
    """A machine, or a part of one."""

    name: Name = Field(description=f"the tag of the asset: {_NAME_RULE}")
    title: str = Field("", description="text for people")
    asset_class: str = Field("", alias="class", description="pump, motor, fan ...; free text")
    criticality: int = Field(3, ge=1, le=5, description="a whole number, 1 (hardly matters) to 5 (stops the plant)")
    sensors: list[SensorEntry] = Field([], description="a list of sensors")
    assets: list["AssetEntry"] = Field([], description="a list of the assets it consists of")


class AreaEntry(_Entry):
    """A part of a site."""

    name: Name = Field(description=f"the name of the area: {_NAME_RULE}")
    title: str = Field("", description="text for people")
    assets: list[AssetEntry] = Field([], description="a list of assets")


class FieldsEntry(_Entry):
    """What the fields of our JSON are called in a gateway's."""

    ts: str = Field("ts", min_length=1, description="the name of the field with the time")
    value: str = Field("value", min_length=1, description="the name of the field with the value")
    sensor: str = Field("sensor", min_length=1, description="the name of the field with the sensor's name")
    quality: str = Field("quality", min_length=1, description="the name of the field with the quality")
    values: str = Field("values", min_length=1, description="the name of the field with the values of many sensors")


class ProvisionEntry(_Entry):
    """Sensors that come into being when their first reading arrives."""

    match: str = Field(min_length=1, description="a pattern of sensor names, e.g. '*.temp'")
    area: Name = Field(description=f"the area of assets that have to be made too: {_NAME_RULE}")
    asset_class: str = Field("", alias="class", description="pump, motor, fan ...; free text")
    quantity: str = Field("", description="what is measured, e.g. vibration velocity RMS")
    unit: str = Field("", description="the unit of values that come without one, e.g. mm/s, degC, bar")


class GatewayEntry(_Entry):
    """A device, or many alike, that send the readings of many sensors."""

    name: Name = Field(description=f"the name of the gateway: {_NAME_RULE}")
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


class SiteEntry(_Entry):
    """A place with its own broker topics."""

    name: Name = Field(description=f"the name of the site: {_NAME_RULE}")
    title: str = Field("", description="text for people")
    subscribe: list[str] | None = Field(None, min_length=1, description="a list of MQTT topic filters, e.g. [works/#]")
    gateways: list[GatewayEntry] = Field([], description="a list of gateways")
    areas: list[AreaEntry] = Field([], description="a list of areas")


class RuleEntry(_Entry):
    """Limits on one or many sensors."""

    name: Name = Field(description=f"the name of the rule: {_NAME_RULE}")
    title: str = Field("", description="text for people")
    sensors: list[str] = Field(min_length=1, description="a list of sensor names or patterns, e.g. ['*.vib_de']")
    high: Limit = Field(None, description='a number, or a number with a unit such as "7.1 mm/s"')
    low: Limit = Field(None, description='a number, or a number with a unit such as "0.5 bar"')
    deadband: Amount = Field((0.0, None), description='a number of 0 or more, or one with a unit such as "0.3 mm/s"')
    on_delay: Seconds = Field(0.0, description='seconds, or text such as "60 s", "5 min", "2 h", "7 d"')
    off_delay: Seconds = Field(0.0, description='seconds, or text such as "60 s", "5 min", "2 h", "7 d"')
    priority: Literal["low", "medium", "high"] = Field(description="low, medium or high")
    failure_mode: Name | None = Field(None, description=f"what the alarm points to: {_NAME_RULE}")
    job_plan: str | None = Field(None, description="the name of a job plan of this file")


class PartEntry(_Entry):
    """A spare part of a job."""

    name: str = Field(min_length=1, description="the name of the part as the stores know it")
    quantity: float = Field(1.0, gt=0, description="a number above 0")


class JobPlanEntry(_Entry):
    """The prepared answer to a failure mode."""

    name: Name = Field(description=f"the name of the job plan: {_NAME_RULE}")
    title: str = Field("", description="text for people")
    tasks: list[str] = Field([], description="a list of what to do, in order")
    parts: list[PartEntry] = Field([], description="a list of parts, e.g. [{name: Bearing 6309, quantity: 2}]")
    skills: list[str] = Field([], description="a list of trades, e.g. [mechanic]")
    hours: float = Field(0.0, ge=0, description="person-hours, 0 or more")
    due_within: Seconds = Field(description='seconds, or text such as "12 h", "7 d"; above 0', gt=0)


class PlantEntry(_Entry):
    """The whole file."""

    version: Literal[1] = Field(description="1")
    sites: list[SiteEntry] = Field(min_length=1, description="a list of at least one site")
    rules: list[RuleEntry] = Field([], description="a list of rules")
    job_plans: list[JobPlanEntry] = Field([], description="a list of job plans")
