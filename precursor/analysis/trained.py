"""Scores by trained models that are active, on minutes read back from the store."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import numpy as np
import numpy.typing as npt

from models.artefacts.artefact import Artefact
from models.class_model import SMOOTHED, STEP, score
from precursor.analysis.active_models import ActiveModels
from precursor.analysis.task import hand_over, read_progress
from precursor.registry import ModelRow
from precursor.training.class_training import points_of
from precursor.training.good_time import running_time
from telemetry.alignment import align
from telemetry.batch import ReadingBatch, to_micros
from telemetry.plant import Asset, Plant
from telemetry.sql import load_queries

__all__ = ["Scores", "TrainedScores", "score_range"]

_SQL = load_queries("precursor.analysis")
_AT_ONCE = timedelta(days=1)
_FIRST = timedelta(days=1)
"""before now, where a model begins that has never scored: history is not scored again"""
_NAME = "trained"

Column = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scores:
    """What a model says of an asset, one row a minute of the range."""

    time: npt.NDArray[np.int64]
    score: Column
    """NaN where the asset did not run, or a reading is missing"""
    values: Column
    """(rows, features): what it was said of; NaN as above"""


async def score_range(
    connection: asyncpg.Connection, plant: Plant, artefact: Artefact, asset: Asset, begin: datetime, end: datetime
) -> Scores | None:
    """Scores of whole minutes of an asset in [begin, end); None: it lacks a measuring point of the model's."""
    points = points_of(plant, asset)
    if any(point not in points for point in artefact.metadata.features):
        return None
    sensors = {point: points[point].id for point in artefact.metadata.features}
    since = begin - SMOOTHED * STEP
    frame = await align(connection, sensors, since, end, STEP, "mean")
    runs = await running_time(connection, plant, asset, since, end, STEP)
    values = np.where(runs[:, None], frame.to_numpy(np.float64), np.nan)
    scores, _ = await asyncio.to_thread(score, artefact, asset.name, values)
    time = to_micros(since) + np.arange(len(values), dtype=np.int64) * (STEP // timedelta(microseconds=1))
    return Scores(time=time[SMOOTHED:], score=scores[SMOOTHED:], values=values[SMOOTHED:])


class TrainedScores:
    """The analysis task: each active model's score of each asset it was trained with, a reading a minute."""

    name = _NAME
    every_s = 30.0

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._models = ActiveModels("anomaly")

    async def work(self, connection: asyncpg.Connection) -> int:
        """A day of one asset at most."""
        for model, artefact in await self._models.read(connection):
            for asset, target in self._targets(model, artefact):
                if await self._score(connection, artefact, asset, target):
                    return 1
        return 0

    def _targets(self, model: ModelRow, artefact: Artefact) -> Sequence[tuple[Asset, int]]:
        """Assets, and the sensors that their scores go to."""
        found = []
        for asset in self._plant.assets:
            sensor = self._plant.sensor_by_name.get(f"{asset.name}.{model.name}")
            if asset.name in artefact.metadata.assets and sensor is not None and sensor.computed == "model":
                found.append((asset, sensor.id))
        return found

    async def _score(self, connection: asyncpg.Connection, artefact: Artefact, asset: Asset, target: int) -> bool:
        sensors = [points.id for name, points in points_of(self._plant, asset).items()
                   if name in artefact.metadata.features]  # fmt: skip
        newest = [row["time"] for row in await connection.fetch(_SQL["newest_usable"], sensors)]
        if len(newest) < len(artefact.metadata.features):
            return False
        # A minute is whole once all sensors have gone on.
        until = min(newest).replace(second=0, microsecond=0)
        done = (await read_progress(connection, _NAME, [target])).get(target, until - _FIRST)
        end = min(until, done + _AT_ONCE)
        if end <= done:
            return False
        found = await score_range(connection, self._plant, artefact, asset, done, end)
        if found is None:
            return False
        known = np.isfinite(found.score)
        count = int(np.count_nonzero(known))
        batch = ReadingBatch.of(found.time[known], np.full(count, target), found.score[known])
        async with connection.transaction():
            await hand_over(connection, _NAME, target, end, batch)
        return True
