"""A definition as rows: what the tables of the plant would hold, by the names that people use."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from precursor.plantfile.definition import AssetDefinition, PlantDefinition, RuleDefinition, SensorDefinition
from telemetry.plant import Gateway, PayloadFormat, UnknownNames

__all__ = ["TABLES", "Row", "rows"]

Row = Mapping[str, Any]

TABLES = ("site", "area", "gateway", "asset", "sensor", "job_plan", "rule")
"""in the order of writing: what a row points to stands before it"""

_RULE_FIELDS = tuple(field.name for field in fields(RuleDefinition))
_OURS: Row = {"origin": "plant"}
"""what others made becomes the file's when the file names it"""


def rows(definition: PlantDefinition) -> dict[str, dict[str, Row]]:
    """Table, key, row. A key is what the `read_...` queries call `key`."""
    return {
        "site": {site.name: {**asdict(site), "subscribe": list(site.subscribe)} for site in definition.sites},
        "area": {f"{area.site}/{area.name}": {**asdict(area), **_OURS} for area in definition.areas},
        "gateway": {gateway.name: _gateway(gateway) for gateway in definition.gateways},
        "asset": {asset.name: _asset(asset) for asset in definition.assets},
        "sensor": {sensor.name: _sensor(sensor) for sensor in definition.sensors},
        "job_plan": {
            plan.name: {
                **asdict(plan),
                "tasks": list(plan.tasks),
                "parts": [{"name": name, "quantity": quantity} for name, quantity in plan.parts],
                "skills": list(plan.skills),
            }
            for plan in definition.job_plans
        },
        "rule": {
            f"{rule.name} on {rule.subject}": {name: getattr(rule, name) for name in _RULE_FIELDS}
            for rule in definition.rules
        },
    }


def _asset(asset: AssetDefinition) -> Row:
    return {
        **asdict(asset),
        "machine": _stated(asdict(asset.machine)),
        "detector": asset.detector and _stated(asdict(asset.detector)),
        **_OURS,
    }


def _stated(found: Mapping[str, Any]) -> dict[str, Any]:
    """As it is written down as JSON: what is not said is not written."""
    return {name: _json(value) for name, value in found.items() if value not in (None, (), "", {}, 0)}


def _json(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_stated(each) if isinstance(each, Mapping) else each for each in value]
    return dict(value) if isinstance(value, Mapping) else value


def _sensor(sensor: SensorDefinition) -> Row:
    return {
        **asdict(sensor),
        "kind": str(sensor.kind),
        "codes": dict(sensor.codes),
        "detector": sensor.detector and _stated(asdict(sensor.detector)),
        "vibration": sensor.vibration and _stated(asdict(sensor.vibration)),
        "checks": {name: limit for name, limit in asdict(sensor.checks).items() if limit is not None},
        **_OURS,
    }


def _gateway(gateway: Gateway) -> Row:
    options: dict[str, Any] = {
        "fields": dict(gateway.fields),
        "names": dict(gateway.names),
        "asset": gateway.asset,
        "provision": [asdict(rule) for rule in gateway.provision],
    }
    if gateway.format is not PayloadFormat.JSON:
        options["format"] = str(gateway.format)
    if gateway.unknown is not UnknownNames.QUARANTINE:
        options["unknown"] = str(gateway.unknown)
    return {
        "name": gateway.name,
        "site": gateway.site,
        "topic": gateway.topic,
        "options": {name: value for name, value in options.items() if value},
    }
