"""What is known of a life from its age alone, and what came of prognoses: daily, over all assets."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import asyncpg

from models.life.weibull import WeibullFit, fit_weibull, remaining_life_at_age
from precursor.analysis.lives import Life, lives, read_ends
from precursor.analysis.prognoses import Made, add_prognosis, open_prognoses, settle_prognoses
from precursor.analysis.task import hand_over, read_progress
from telemetry.batch import ReadingBatch
from telemetry.buckets import floor
from telemetry.plant import Plant, SensorKind
from telemetry.sql import load_queries

__all__ = ["AgeTask", "OutcomeTask"]

_SQL = load_queries("precursor.analysis")
_DAY = timedelta(days=1)


class AgeTask:
    """Fits the lives of each class of assets, and writes down what they say of each asset whose age is known.

    An asset of a class that has failed too seldom gets no prognosis by age.
    """

    name = "age"
    every_s = 60.0

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._reporting = {
            asset.id: [
                sensor.id
                for sensor in plant.sensors
                if sensor.asset_id == asset.id and sensor.kind is not SensorKind.DERIVED
            ]
            for asset in plant.assets
            if asset.asset_class
        }

    async def work(self, connection: asyncpg.Connection) -> int:
        """Make the prognoses that are due."""
        newest = await self._newest(connection)
        done = await read_progress(connection, self.name, list(newest))
        due = {asset: day for asset, last in newest.items() if (day := floor(last, _DAY)) > done.get(asset, day - _DAY)}
        if not due:
            return 0
        ends = await read_ends(connection, self._plant, newest.keys())
        fits: dict[tuple[str, datetime], WeibullFit | None] = {}
        known: dict[datetime, Mapping[int, Sequence[Life]]] = {}
        for asset_id, day in due.items():
            if day not in known:
                known[day] = {
                    other: lives([end for end in ends.get(other, ()) if end.at <= day], min(last, day))
                    for other, last in newest.items()
                }
            own = known[day][asset_id][-1:]
            made = None
            if own and not own[0].failed and own[0].end == day:
                asset_class = self._plant.asset_by_id[asset_id].asset_class
                key = asset_class, day
                if key not in fits:
                    alike = [
                        life
                        for other, found in known[day].items()
                        if self._plant.asset_by_id[other].asset_class == asset_class
                        for life in found
                    ]
                    fits[key] = await asyncio.to_thread(_fit, alike)
                if (fit := fits[key]) is not None:
                    made = await asyncio.to_thread(_made, asset_id, own[0], fit)
            async with connection.transaction():
                if made is not None:
                    await add_prognosis(connection, made)
                await hand_over(connection, self.name, asset_id, day, ReadingBatch.empty())
        return len(due)

    async def _newest(self, connection: asyncpg.Connection) -> Mapping[int, datetime]:
        """Event time of the newest reading of each asset that has one."""
        sensors = [sensor for own in self._reporting.values() for sensor in own]
        rows = await connection.fetch(_SQL["newest_usable"], sensors)
        times = {row["sensor_id"]: row["time"] for row in rows}
        found = {
            asset: max((times[sensor] for sensor in own if sensor in times), default=None)
            for asset, own in self._reporting.items()
        }
        return {asset: last for asset, last in found.items() if last is not None}


class OutcomeTask:
    """Writes down what came of prognoses."""

    name = "outcome"
    every_s = 60.0

    def __init__(self, plant: Plant) -> None:
        self._plant = plant

    async def work(self, connection: asyncpg.Connection) -> int:
        """Settle those whose asset failed or was repaired since."""
        asked = await open_prognoses(connection)
        if not asked:
            return 0
        ends = await read_ends(connection, self._plant, asked.keys(), since=min(asked.values()))
        return await settle_prognoses(connection, asked, ends)


def _fit(alike: Sequence[Life]) -> WeibullFit | None:
    failed = [life.age_s for life in alike if life.failed]
    return fit_weibull(failed, [life.age_s for life in alike if not life.failed])


def _made(asset_id: int, life: Life, fit: WeibullFit) -> Made:
    return Made(
        asset_id=asset_id,
        sensor_id=None,
        method="age",
        made_at=life.end,
        remaining=remaining_life_at_age(fit, life.age_s),
        details={
            "age_s": life.age_s,
            "renewed_at": life.begin.isoformat(),
            "shape": fit.shape,
            "scale_s": fit.scale_s,
            "failures": fit.failures,
            "survivors": fit.survivors,
        },
    )
