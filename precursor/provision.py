"""Provisioning: sensors that births and rules of the plant file ask for come into being."""

import json
import re
from collections.abc import Sequence

import asyncpg

from ingest.decoded import WantedSensor
from telemetry.sql import load_queries
from telemetry.units import UnitError, check_unit

__all__ = ["MOST_PROVISIONED", "provision"]

_SQL = load_queries("precursor", "provision.sql")

MOST_PROVISIONED = 100_000
"""sensors that were not in a plant file; further ones stay in quarantine"""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


async def provision(connection: asyncpg.Connection, wanted: Sequence[WantedSensor]) -> list[str]:
    """Make these sensors, with the assets and areas they need, in a transaction of its own. Names of those made.

    Not made is what exists already (also where it was taken out of the plant file: somebody wanted it gone), what has
    a name that no plant file could take over, and what goes beyond `MOST_PROVISIONED`.
    """
    sound = [sensor for sensor in wanted if _is_sound(sensor)]
    if not sound:
        return []
    async with connection.transaction():
        await connection.execute(_SQL["lock"])
        room = MOST_PROVISIONED - int(await connection.fetchval(_SQL["count_provisioned"]))
        sound = sound[: max(room, 0)]
        origins = [sensor.origin for sensor in sound]
        await connection.execute(
            _SQL["add_areas"], [each.site for each in sound], [each.area for each in sound], origins
        )
        await connection.execute(
            _SQL["add_assets"],
            [each.site for each in sound],
            [each.area for each in sound],
            [each.asset for each in sound],
            [each.asset_class for each in sound],
            origins,
        )
        made = await connection.fetch(
            _SQL["add_sensors"],
            [each.name for each in sound],
            [each.asset for each in sound],
            [each.quantity for each in sound],
            [_unit(each) for each in sound],
            [json.dumps(_range(each)) for each in sound],
            origins,
        )
        if made:
            await connection.execute(_SQL["count_revision"])
    return [row["name"] for row in made]


def _is_sound(sensor: WantedSensor) -> bool:
    point = sensor.name.removeprefix(f"{sensor.asset}.")
    return all(_NAME.fullmatch(name) is not None for name in (sensor.area, sensor.asset, point))


def _unit(sensor: WantedSensor) -> str:
    """What pint does not know is no unit that anything could be compared in."""
    try:
        check_unit(sensor.unit, sensor.quantity)
    except UnitError:
        return ""
    return sensor.unit


def _range(sensor: WantedSensor) -> dict[str, float]:
    ends = {"low": sensor.low, "high": sensor.high}
    if sensor.low is not None and sensor.high is not None and sensor.low >= sensor.high:
        return {}
    return {name: end for name, end in ends.items() if end is not None}
