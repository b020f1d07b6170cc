"""What a person writes of rules into a plant file, key by key: rules, templates, overrides, schedules."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from precursor.plantfile.machine_entries import MachineEntry
from precursor.plantfile.scalars import (
    NAME_RULE,
    PERIOD,
    Amount,
    Clock,
    Day,
    Duration,
    Entry,
    Limit,
    Name,
    Seconds,
    Weekdays,
)

__all__ = [
    "Kind", "MachineEntry", "OverrideEntry", "RuleEntry", "ScheduleEntry", "SensorQuality",
    "SensorQualityEntry", "SpanEntry", "TemplateEntry", "WatchEntry", "WhileEntry",
]  # fmt: skip

Kind = Literal[
    "limit", "deviation", "rate", "window", "count", "iso_20816", "flat_line", "out_of_range", "no_data", "quality",
    "usage", "expression",
]  # fmt: skip
_KINDS = (
    "limit, deviation, rate, window, count, iso_20816, flat_line, out_of_range, no_data, quality, usage or expression"
)
_PRIORITY = "low, medium or high"


def _while(found: Any) -> Any:
    return {"state": found} if isinstance(found, str) else found


def _sensor_quality(found: Any) -> Any:
    return {"off": True} if found == "off" else found


class WhileEntry(Entry):
    """When a rule applies: by the operating state of the machine, or the value of another sensor."""

    state: Literal["running", "stopped", "failed"] | None = Field(None, description="running, stopped or failed")
    sensor: str | None = Field(None, description="a measuring point of the asset, or a sensor's full name")
    low: Limit = Field(None, description='a number, or a number with a unit such as "500 rpm"')
    high: Limit = Field(None, description='a number, or a number with a unit such as "1500 rpm"')
    settle: Seconds = Field(0.0, description=PERIOD)


class WatchEntry(Entry):
    """The keys of a rule that an asset may have its own values of."""

    title: str = Field("", description="text for people")
    high_high: Limit = Field(None, description='a number, or a number with a unit such as "11 mm/s"')
    high: Limit = Field(None, description='a number, or a number with a unit such as "7.1 mm/s"')
    low: Limit = Field(None, description='a number, or a number with a unit such as "0.5 bar"')
    low_low: Limit = Field(None, description='a number, or a number with a unit such as "0.2 bar"')
    deadband: Amount = Field((0.0, None), description='a number of 0 or more, or one with a unit such as "0.3 mm/s"')
    on_delay: Seconds = Field(0.0, description=PERIOD)
    off_delay: Seconds = Field(0.0, description=PERIOD)
    for_: Duration = Field(None, alias="for", description=PERIOD)
    setpoint: Limit = Field(None, description='a number, or a number with a unit such as "60 degC"')
    reference: str | None = Field(None, description="a measuring point of the asset, or a sensor's full name")
    window: Duration = Field(None, gt=0, description=f"{PERIOD}; above 0")
    statistic: Literal["mean", "max", "min", "standard_deviation"] | None = Field(
        None, description="mean, max, min or standard_deviation"
    )
    min_readings: int = Field(2, ge=1, le=10_000, description="a whole number, 1 to 10000")
    at_least: int | None = Field(None, ge=1, le=10_000, description="a whole number, 1 to 10000")
    of: int | None = Field(None, ge=1, le=10_000, description="a whole number, 1 to 10000")
    within: Duration = Field(None, gt=0, description=f"{PERIOD}; above 0")
    group: Literal[1, 2] | None = Field(None, description="1 (above 300 kW) or 2 (15 to 300 kW)")
    foundation: Literal["rigid", "flexible"] | None = Field(None, description="rigid or flexible")
    tolerance: Amount = Field((0.0, None), description='a number of 0 or more, or one with a unit such as "0.1 bar"')
    every: Limit = Field(None, description='a number above 0, or one with a unit such as "500 h"')
    expression: str | None = Field(None, description="a CEL expression such as 'temp_de - temp_nde > 15'")
    inputs: dict[str, str] = Field({}, description="a mapping of names in the expression to sensors")
    unit: str | None = Field(None, description="the unit of the number an expression gives, e.g. kW")
    while_: Annotated[WhileEntry | None, BeforeValidator(_while)] = Field(
        None, alias="while", description="running, stopped or failed, or a mapping such as {sensor: speed, low: 500}"
    )
    schedule: str | None = Field(None, description="the name of a schedule of this file")
    suppressed_by: list[str] = Field([], description="a list of names of rules")
    suppresses_children: bool = Field(False, description="true or false")
    first_out: Name | None = Field(None, description=f"the name of a group of rules: {NAME_RULE}")
    latching: bool = Field(False, description="true or false")
    priority: Literal["low", "medium", "high"] | None = Field(None, description=_PRIORITY)
    critical_priority: Literal["low", "medium", "high"] = Field("high", description=_PRIORITY)
    failure_mode: Name | None = Field(None, description=f"what the alarm points to: {NAME_RULE}")
    job_plan: str | None = Field(None, description="the name of a job plan of this file")


class RuleEntry(WatchEntry):
    """What is watched on one or many sensors or assets."""

    name: Name = Field(description=f"the name of the rule: {NAME_RULE}")
    kind: Kind = Field("limit", description=_KINDS)
    sensors: list[str] = Field([], min_length=1, description="a list of sensor names or patterns, e.g. ['*.vib_de']")
    assets: list[str] = Field([], min_length=1, description="a list of names or patterns of assets, e.g. ['P-*']")
    priority: Literal["low", "medium", "high"] = Field(description=_PRIORITY)


class OverrideEntry(WatchEntry):
    """What is different about a rule for one asset."""

    off: bool = Field(False, description="true or false")


class TemplateEntry(Entry):
    """Rules for every asset of a class."""

    asset_class: str = Field(alias="class", min_length=1, description="the class of the assets, e.g. pump")
    rules: list[RuleEntry] = Field(min_length=1, description="a list of rules")


class SpanEntry(Entry):
    """Some hours of some weekdays."""

    days: Weekdays = Field(description="weekdays such as mon-fri or 'mon, wed, sat-sun'")
    from_: Clock = Field(0, alias="from", description='a time of day such as "06:00"')
    to: Clock = Field(86_400, description='a time of day such as "22:00"; "24:00" is midnight')


class ScheduleEntry(Entry):
    """Hours in which rules apply."""

    name: Name = Field(description=f"the name of the schedule: {NAME_RULE}")
    timezone: str = Field(description="a time zone such as Europe/Berlin or UTC")
    spans: list[SpanEntry] = Field(min_length=1, description='a list such as [{days: mon-fri, from: "06:00"}]')
    closed: list[Day] = Field([], description="a list of days such as 2026-12-25")


class SensorQualityEntry(Entry):
    """The rules that every watched sensor gets by itself."""

    off: bool = Field(False, description="true or false")
    for_: Seconds = Field(60.0, alias="for", description=PERIOD)
    priority: Literal["low", "medium", "high"] = Field("low", description=_PRIORITY)


SensorQuality = Annotated[SensorQualityEntry, BeforeValidator(_sensor_quality)]
