"""Lives of a class of assets out of the store: what their sensors showed from each renewal to the failure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import numpy as np
import numpy.typing as npt

from models.class_model import common_points
from models.life.class_life import LifeTable
from models.life.labelled_histories import LifeHistories
from precursor.analysis.lives import Life, at_work, lives, newest_readings, read_ends, reporting_sensors, state_sensors
from precursor.training.class_training import assets_of_class, points_of
from telemetry.alignment import align
from telemetry.batch import EPOCH, to_micros
from telemetry.buckets import ceiling
from telemetry.errors import ConfigurationError
from telemetry.plant import Asset, Plant

__all__ = ["LifeData", "LifeShare", "history_of", "life_points", "read_lives"]

_HOUR = timedelta(hours=1)
_STEPS = (timedelta(days=1), timedelta(hours=12), timedelta(hours=4), _HOUR)
_ROWS = 100
"""at least, of the median life, where it has so many hours"""
_FEWEST_ROWS = 10
"""of a life; with fewer nothing is to be seen of how it went"""
_AT_ONCE = timedelta(days=90)
"""of one asset that are read together; whole steps"""
_DAY_S = 86_400.0

Column = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class LifeShare:
    """What of an asset's lives went into training."""

    asset: str
    used: int
    left_out: Mapping[str, int]
    """why others were not, and how many for that"""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LifeData:
    """Lives of a class that ended in failure, and what was left out."""

    table: LifeTable
    shares: tuple[LifeShare, ...]


def life_points(plant: Plant, asset: Asset) -> dict[str, int]:
    """Its sensors that may show wear, by measuring point: those measured, and features of its waveforms."""
    sources = {sensor.id for sensor in plant.sensors if sensor.asset_id == asset.id and sensor.vibration is not None}
    features = {
        sensor.name.removeprefix(f"{asset.name}."): sensor.id
        for sensor in plant.sensors
        if sensor.source_id in sources and sensor.computed
    }
    return {**{point: sensor.id for point, sensor in points_of(plant, asset).items()}, **features}


async def history_of(
    connection: asyncpg.Connection,
    plant: Plant,
    asset: Asset,
    sensors: Sequence[int],
    life: Life,
    step: timedelta,
) -> tuple[Column, Column]:
    """What sensors showed in a life, in means over steps of the hours at work; steps without any are left out.

    Args:
        connection, plant, asset: where it is.
        sensors: columns, in this order.
        life: of the asset.
        step: whole hours; the first one begins with the first full hour.

    Returns:
        Age at the end of each step (rows), in days, and values (rows, sensors); NaN: not known.
    """
    begin = ceiling(life.begin, _HOUR)
    count = max(0, (life.end - begin) // step)
    end = begin + count * step
    parts = [np.empty((0, len(sensors)))]
    at, state = begin, state_sensors(plant).get(asset.id)
    while at < end:
        until = min(at + _AT_ONCE, end)
        frame = await align(connection, {str(sensor): sensor for sensor in sensors}, at, until, _HOUR, "mean")
        time = to_micros(at) + np.arange(len(frame), dtype=np.int64) * (_HOUR // timedelta(microseconds=1))
        works = await at_work(connection, state, time, at, until)
        hours = frame.to_numpy(np.float64).reshape((until - at) // step, step // _HOUR, len(sensors))
        known = np.isfinite(hours) & works.reshape(hours.shape[:2])[:, :, None]
        total, number = np.where(known, hours, 0.0).sum(axis=1), known.sum(axis=1)
        parts.append(np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0))
        at = until
    values = np.concatenate(parts)
    offset_s = (begin - life.begin).total_seconds()
    age = np.asarray((offset_s + np.arange(1, count + 1) * step.total_seconds()) / _DAY_S, np.float64)
    some = np.isfinite(values).any(axis=1)
    return age[some], values[some]


async def read_lives(
    connection: asyncpg.Connection,
    plant: Plant,
    asset_class: str,
    begin: datetime,
    end: datetime,
    *,
    ended_from: datetime = EPOCH,
    step: timedelta | None = None,
) -> LifeData:
    """Lives of assets of a class that began and failed in [begin, end).

    Lives that ended with a repair, or go on, are left out: nobody knows how long they would have lasted, and the model
    learns from how it ended. So is the first life of each asset, whose begin nobody knows.

    Args:
        connection, plant: where they are.
        asset_class: of the assets.
        begin, end: the range.
        ended_from: those that failed before are left out as well.
        step: None: by the median life.

    Raises:
        ConfigurationError: there is no asset of this class, or they have no measuring point in common.
    """
    assets = assets_of_class(plant, asset_class)
    by_asset = [life_points(plant, asset) for asset in assets]
    points = common_points([set(each) for each in by_asset])
    if not points:
        raise ConfigurationError("the assets have no measuring point in common; name the sensors of a class alike")
    settings = _settings(plant, assets, points)
    columns = (*(point for point in points if point not in settings), *settings)
    found, left_out = await _failed(connection, plant, assets, begin, end, ended_from)
    median = np.median([life.age_s for _, life in found]) if found else 0.0
    step = step or next((step for step in _STEPS if _ROWS * step.total_seconds() <= median), _HOUR)
    used: list[tuple[int, Life, Column, Column]] = []
    for place, life in sorted(found, key=lambda each: each[1].end):
        sensors = [by_asset[place][point] for point in columns]
        age, values = await history_of(connection, plant, assets[place], sensors, life, step)
        if age.size >= _FEWEST_ROWS:
            used.append((place, life, age, values))
        else:
            left_out[place][f"fewer than {_FEWEST_ROWS} steps of {step / _HOUR:g} h with readings"] += 1
    values = np.concatenate([values for *_, values in used] or [np.empty((0, len(columns)))])
    cut = len(columns) - len(settings)
    lengths = [age.size for _, _, age, _ in used]
    return LifeData(
        table=LifeTable(
            histories=LifeHistories(
                unit=np.repeat(np.arange(len(used)), lengths).astype(np.int64),
                age=np.concatenate([age for _, _, age, _ in used] or [np.empty(0)]),
                values=values[:, :cut],
                settings=values[:, cut:],
            ),
            asset=np.array([place for place, *_ in used], np.intp),
            assets=tuple(asset.name for asset in assets),
            points=columns[:cut],
            settings=columns[cut:],
            step_s=step.total_seconds(),
            data_from=min((life.begin for _, life, *_ in used), default=begin),
            data_until=max((life.end for _, life, *_ in used), default=end),
        ),
        shares=tuple(
            LifeShare(asset=asset.name, used=sum(each[0] == place for each in used), left_out=dict(left_out[place]))
            for place, asset in enumerate(assets)
        ),
    )


async def _failed(
    connection: asyncpg.Connection,
    plant: Plant,
    assets: Sequence[Asset],
    begin: datetime,
    end: datetime,
    ended_from: datetime,
) -> tuple[list[tuple[int, Life]], list[Counter[str]]]:
    """Lives to learn from, each with the place of its asset; and by place why others are none."""
    ids = [asset.id for asset in assets]
    reporting = reporting_sensors(plant)
    newest = await newest_readings(connection, {asset: reporting[asset] for asset in ids if asset in reporting})
    ends = await read_ends(connection, plant, ids)
    found: list[tuple[int, Life]] = []
    left_out: list[Counter[str]] = []
    for place, asset in enumerate(ids):
        why: Counter[str] = Counter()
        why["its begin is not known"] += 1
        for life in lives(ends[asset], newest.get(asset, EPOCH)):
            if not life.failed:
                why["it did not end in failure"] += 1
            elif begin <= life.begin and ended_from <= life.end < end:
                found.append((place, life))
            else:
                why["it is not all of it in the range"] += 1
        left_out.append(why)
    return found, left_out


def _settings(plant: Plant, assets: Sequence[Asset], points: Sequence[str]) -> tuple[str, ...]:
    """The measuring point of the speed, where all assets have the same: it shifts others, and says nothing of wear."""
    speeds = {(asset.machine.speed_sensor or "").removeprefix(f"{asset.name}.") for asset in assets}
    return tuple(speeds) if len(speeds) == 1 and speeds <= set(points) and len(points) > 1 else ()
