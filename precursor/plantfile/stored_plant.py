"""The plant in the database as if a file said it: what the names in a file of rules alone mean."""

import json

import asyncpg

from precursor.plantfile.definition import (
    AssetDefinition,
    JobPlanDefinition,
    PlantDefinition,
    SensorDefinition,
)
from telemetry.errors import ConfigurationError
from telemetry.plant import Asset, Plant, Sensor
from telemetry.plant_store import load_plant
from telemetry.sql import load_queries

__all__ = ["load_stored_plant", "stored_plant"]

_SQL = load_queries("precursor.plantfile")


async def load_stored_plant(connection: asyncpg.Connection) -> PlantDefinition:
    """Assets, sensors and job plans that are there and not retired. Outside a transaction.

    Raises:
        ConfigurationError: no plant file was applied yet.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        plant = await load_plant(connection)
        plans = await connection.fetch(_SQL["read_job_plan"])
    if not plant.assets:
        raise ConfigurationError("the database has no plant yet: apply a plant file first")
    return stored_plant(plant, [_job_plan(row) for row in plans if not row["retired"]])


def stored_plant(plant: Plant, job_plans: list[JobPlanDefinition]) -> PlantDefinition:
    """What rules have to know of a plant; its sites, areas and gateways stay behind."""
    return PlantDefinition(
        assets=tuple(_asset(asset, plant) for asset in plant.assets),
        sensors=tuple(_sensor(sensor, plant) for sensor in plant.sensors),
        job_plans=tuple(job_plans),
    )


def _asset(asset: Asset, plant: Plant) -> AssetDefinition:
    return AssetDefinition(
        name=asset.name,
        title=asset.title,
        site=asset.site,
        area=asset.area,
        parent=None if asset.parent_id is None else plant.asset_by_id[asset.parent_id].name,
        asset_class=asset.asset_class,
        criticality=asset.criticality,
        machine=asset.machine,
        detector=asset.detector,
    )


def _sensor(sensor: Sensor, plant: Plant) -> SensorDefinition:
    return SensorDefinition(
        name=sensor.name,
        title="",
        asset=plant.asset_by_id[sensor.asset_id].name,
        kind=sensor.kind,
        quantity=sensor.quantity,
        unit=sensor.unit,
        topic=sensor.topic,
        factor=sensor.factor,
        offset=sensor.offset,
        codes=sensor.codes,
        computed=sensor.computed,
        vibration=sensor.vibration,
        source=None if sensor.source_id is None else plant.sensor_by_id[sensor.source_id].name,
        detector=sensor.detector,
        checks=sensor.checks,
    )


def _job_plan(row: asyncpg.Record) -> JobPlanDefinition:
    return JobPlanDefinition(
        name=row["name"],
        title=row["title"],
        tasks=tuple(json.loads(row["tasks"])),
        parts=tuple((part["name"], part["quantity"]) for part in json.loads(row["parts"])),
        skills=tuple(json.loads(row["skills"])),
        labour_hours=row["labour_hours"],
        due_within_s=row["due_within_s"],
    )
