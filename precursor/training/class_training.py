"""An anomaly model of a class of assets, trained on what the store has of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import numpy as np
import numpy.typing as npt

from models.class_model import STEP, ClassTable, common_points
from precursor.training.good_time import good_time
from telemetry.alignment import align
from telemetry.batch import to_micros
from telemetry.catalogue import name_list
from telemetry.errors import ConfigurationError
from telemetry.plant import Asset, Plant, Sensor, SensorKind

__all__ = ["AssetShare", "TrainingData", "assets_of_class", "points_of", "read_table"]

_AT_ONCE = timedelta(days=14)
"""of one asset that are read together"""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetShare:
    """What of an asset's time went into training."""

    asset: str
    rows: int
    """minutes used"""
    left_out: Mapping[str, int]
    """why others were not, and how many minutes for that"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TrainingData:
    """Good time of a class, and what was left out of it."""

    table: ClassTable
    shares: tuple[AssetShare, ...]


def assets_of_class(plant: Plant, asset_class: str) -> Sequence[Asset]:
    """Those of a class, by name.

    Raises:
        ConfigurationError: there is none; it names the classes there are.
    """
    found = sorted((a for a in plant.assets if a.asset_class == asset_class), key=lambda asset: asset.name)
    if not found:
        known = sorted({asset.asset_class for asset in plant.assets if asset.asset_class})
        raise ConfigurationError(f"no asset is of class {name_list([asset_class], known)}")
    return found


def points_of(plant: Plant, asset: Asset) -> dict[str, Sensor]:
    """Its measured sensors with numbers, by measuring point."""
    return {
        sensor.name.removeprefix(f"{asset.name}."): sensor
        for sensor in plant.sensors
        if sensor.asset_id == asset.id
        and sensor.kind is SensorKind.MEASURED
        and sensor.vibration is None
        and not sensor.codes
    }


async def read_table(
    connection: asyncpg.Connection, plant: Plant, asset_class: str, begin: datetime, end: datetime
) -> TrainingData:
    """Good time of the assets of a class in [begin, end), whole minutes.

    An asset that reads nothing of a point has no good time; the class is what the others have in common.

    Raises:
        ConfigurationError: there is no asset of this class.
    """
    assets = assets_of_class(plant, asset_class)
    by_asset = {asset.name: points_of(plant, asset) for asset in assets}
    points = common_points([set(each) for each in by_asset.values()])
    shares: list[AssetShare] = []
    parts: list[tuple[int, npt.NDArray[np.int64], npt.NDArray[np.float64]]] = []
    for place, asset in enumerate(assets):
        left_out: dict[str, int] = {}
        rows = 0
        at = begin
        while at < end and points:
            until = min(at + _AT_ONCE, end)
            good = await good_time(connection, plant, asset, at, until, STEP)
            sensors = {point: by_asset[asset.name][point].id for point in points}
            frame = await align(connection, sensors, at, until, STEP, "mean")
            values = frame.to_numpy(np.float64)
            whole = np.isfinite(values).all(axis=1)
            used = good.good & whole
            for why, count in {**good.left_out, "no reading of a point": int((good.good & ~whole).sum())}.items():
                left_out[why] = left_out.get(why, 0) + count
            grid = to_micros(at) + np.arange(len(values), dtype=np.int64) * (STEP // timedelta(microseconds=1))
            parts.append((place, grid[used], values[used]))
            rows += int(used.sum())
            at = until
        shares.append(
            AssetShare(asset=asset.name, rows=rows, left_out={why: count for why, count in left_out.items() if count})
        )
    table = ClassTable(
        assets=tuple(asset.name for asset in assets),
        points=points,
        asset=np.concatenate(
            [np.full(len(time), place, np.intp) for place, time, _ in parts] or [np.empty(0, np.intp)]
        ),
        time=np.concatenate([time for _, time, _ in parts] or [np.empty(0, np.int64)]),
        values=np.concatenate([values for *_, values in parts] or [np.empty((0, len(points)))]),
    )
    return TrainingData(table=table, shares=tuple(shares))
