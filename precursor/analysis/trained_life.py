"""Remaining life by trained models that are active, of each asset since it was renewed."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg
import numpy as np

from models.artefacts.artefact import Artefact
from models.life.class_life import foretell
from models.life.labelled_histories import LifeHistories
from models.life.prognosis import RemainingLife
from precursor.analysis.active_models import ActiveModels
from precursor.analysis.lives import Life, lives, newest_readings, read_ends, reporting_sensors
from precursor.analysis.prognoses import Made, add_prognosis
from precursor.analysis.task import hand_over, read_progress
from precursor.model_outputs import LifeSensors, life_readings, life_sensors
from precursor.registry import ModelRow
from precursor.training.life_training import history_of, life_points
from telemetry.batch import to_micros
from telemetry.buckets import floor
from telemetry.plant import Asset, Plant

__all__ = ["TrainedLives", "history_so_far"]

_NO_AGE = RemainingLife(reason="the age is not known: it neither failed nor was repaired since it is watched")
_NO_POINTS = RemainingLife(reason="it has not all measuring points of the model")


async def history_so_far(
    connection: asyncpg.Connection, plant: Plant, artefact: Artefact, asset: Asset, life: Life
) -> LifeHistories | None:
    """A life as the model takes it; None: the asset lacks a measuring point."""
    points = life_points(plant, asset)
    features = artefact.metadata.features
    if any(point not in points for point in features):
        return None
    step = timedelta(seconds=artefact.metadata.parameters["step_s"])
    age, values = await history_of(connection, plant, asset, [points[point] for point in features], life, step)
    cut = int(artefact.arrays["sensors"][0])
    return LifeHistories(unit=np.zeros(age.size, np.int64), age=age, values=values[:, :cut], settings=values[:, cut:])


class TrainedLives:
    """The analysis task: what each active model says of each asset of its class, once a step of the model."""

    name = "trained_life"
    every_s = 60.0

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._reporting = reporting_sensors(plant)
        self._models = ActiveModels("remaining_life")

    async def work(self, connection: asyncpg.Connection) -> int:
        """A prognosis of one asset at most."""
        for model, artefact in await self._models.read(connection):
            targets = self._targets(model, artefact)
            newest = await newest_readings(
                connection, {asset.id: self._reporting.get(asset.id, ()) for asset, _ in targets}
            )
            done = await read_progress(connection, self.name, [sensors[1] for _, sensors in targets])
            step = timedelta(seconds=artefact.metadata.parameters["step_s"])
            for asset, sensors in targets:
                if asset.id not in newest:
                    continue
                until = floor(newest[asset.id], step)
                if until > done.get(sensors[1], until - step):
                    await self._foretell(connection, model, artefact, asset, sensors, until)
                    return 1
        return 0

    def _targets(self, model: ModelRow, artefact: Artefact) -> Sequence[tuple[Asset, LifeSensors]]:
        """Assets, and the sensors that what is said of them goes to."""
        return [
            (asset, sensors)
            for asset in self._plant.assets
            if asset.name in artefact.metadata.assets
            and (sensors := life_sensors(self._plant, asset.name, model.name)) is not None
        ]

    async def _foretell(
        self,
        connection: asyncpg.Connection,
        model: ModelRow,
        artefact: Artefact,
        asset: Asset,
        sensors: LifeSensors,
        until: datetime,
    ) -> None:
        ends = [end for end in (await read_ends(connection, self._plant, [asset.id]))[asset.id] if end.at <= until]
        own = [life for life in lives(ends, until)[-1:] if life.end == until and not life.failed]
        # One that has failed and does not run yet has no life to foretell.
        remaining = None if ends else _NO_AGE
        if own:
            history = await history_so_far(connection, self._plant, artefact, asset, own[0])
            remaining = _NO_POINTS if history is None else await asyncio.to_thread(foretell, artefact, history)
        async with connection.transaction():
            if remaining is not None:
                details = {"version": f"{model.name} {model.version}"}
                if own:
                    details["inputs_from"] = own[0].begin.isoformat()
                made = Made(
                    asset_id=asset.id,
                    sensor_id=sensors[1],
                    method="model",
                    made_at=until,
                    remaining=remaining,
                    model_id=model.id,
                    details=details,
                )
                await add_prognosis(connection, made)
            batch = life_readings(sensors, to_micros(until), remaining or _NO_AGE)
            await hand_over(connection, self.name, sensors[1], until, batch)
