"""The rules of a plant file as they are evaluated, without a database."""

from collections.abc import Mapping
from datetime import datetime

from precursor.plantfile.definition import PlantDefinition
from precursor.plantfile.rows import rows
from rules.definition import Rule
from rules.stored import build_rules

__all__ = ["defined_rules"]


def defined_rules(
    definition: PlantDefinition,
    *,
    sensor_ids: Mapping[str, int],
    asset_ids: Mapping[str, int],
    watched_since: datetime,
) -> tuple[Rule, ...]:
    """What `rules.store.load_rules` gives after an apply, in the order of the file and with ids counted from 1.

    Args:
        definition: what the file says.
        sensor_ids: of all its sensors, by name.
        asset_ids: of all its assets, by name.
        watched_since: from when on a sensor that says nothing counts as silent.
    """
    parents = {
        asset_ids[asset.name]: None if asset.parent is None else asset_ids[asset.parent] for asset in definition.assets
    }
    found = [
        {
            **row,
            "id": number,
            "sensor_id": None if row["sensor"] is None else sensor_ids[row["sensor"]],
            "asset_id": asset_ids[row["asset"]],
            "watched_since": watched_since,
        }
        for number, row in enumerate(rows(definition)["rule"].values(), 1)
    ]
    return build_rules(found, sensor_ids, parents)
