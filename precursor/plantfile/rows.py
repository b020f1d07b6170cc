"""A definition as rows: what the tables of the plant would hold, by the names that people use."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from precursor.plantfile.definition import PlantDefinition, SensorDefinition

__all__ = ["TABLES", "Row", "rows"]

Row = Mapping[str, Any]

TABLES = ("site", "area", "gateway", "asset", "sensor", "job_plan", "rule")
"""in the order of writing: what a row points to stands before it"""


def rows(definition: PlantDefinition) -> dict[str, dict[str, Row]]:
    """Table, key, row. A key is what the `read_...` queries call `key`."""
    return {
        "site": {site.name: {**asdict(site), "subscribe": list(site.subscribe)} for site in definition.sites},
        "area": {f"{area.site}/{area.name}": asdict(area) for area in definition.areas},
        "gateway": {gateway.name: asdict(gateway) for gateway in definition.gateways},
        "asset": {asset.name: asdict(asset) for asset in definition.assets},
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
            f"{rule.name} on {rule.sensor}": {**asdict(rule), "priority": int(rule.priority)}
            for rule in definition.rules
        },
    }


def _sensor(sensor: SensorDefinition) -> Row:
    detector = sensor.detector
    return {
        **asdict(sensor),
        "kind": str(sensor.kind),
        "codes": dict(sensor.codes),
        "detector": detector and {"kind": detector.kind, "parameters": dict(detector.parameters)},
    }
