"""A plant as its file says it, with ids: what the engine would load once the file was applied."""

from collections.abc import Mapping
from dataclasses import replace

from precursor.backtest.rule_set import rule_set
from precursor.plantfile.definition import AssetDefinition, PlantDefinition, SensorDefinition
from telemetry.plant import Asset, Plant, Sensor

__all__ = ["planned_plant"]


def planned_plant(definition: PlantDefinition, *, sensor_ids: Mapping[str, int]) -> Plant:
    """Assets and sensors of a definition. Sensors keep the ids they have, others get ids beyond; assets from 1.

    Args:
        sensor_ids: by name, of the database.
    """
    ids = rule_set(replace(definition, rules=()), sensor_ids=sensor_ids).sensor_ids
    asset_ids = {asset.name: number for number, asset in enumerate(definition.assets, 1)}
    sites = {asset.name: asset.site for asset in definition.assets}
    return Plant(
        revision=0,
        assets=tuple(_asset(each, asset_ids) for each in definition.assets),
        sensors=tuple(_sensor(each, ids, asset_ids, sites[each.asset]) for each in definition.sensors),
    )


def _asset(asset: AssetDefinition, ids: Mapping[str, int]) -> Asset:
    return Asset(
        id=ids[asset.name],
        name=asset.name,
        title=asset.title,
        parent_id=None if asset.parent is None else ids[asset.parent],
        site=asset.site,
        area=asset.area,
        asset_class=asset.asset_class,
        criticality=asset.criticality,
        machine=asset.machine,
        detector=asset.detector,
    )


def _sensor(sensor: SensorDefinition, ids: Mapping[str, int], asset_ids: Mapping[str, int], site: str) -> Sensor:
    return Sensor(
        id=ids[sensor.name],
        name=sensor.name,
        asset_id=asset_ids[sensor.asset],
        kind=sensor.kind,
        quantity=sensor.quantity,
        unit=sensor.unit,
        site=site,
        topic=sensor.topic,
        factor=sensor.factor,
        offset=sensor.offset,
        codes=sensor.codes,
        computed=sensor.computed,
        source_id=None if sensor.source is None else ids[sensor.source],
        detector=sensor.detector,
        vibration=sensor.vibration,
        checks=sensor.checks,
    )
