"""What is known of a life from its age alone, and what came of prognoses: daily, over all assets."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import asyncpg

from models.life.competing import EndedLife, fit_by_mode
from models.life.weibull import VERSION, WeibullFit, remaining_life_at_age
from precursor.analysis.lives import Life, lives, newest_readings, read_ends, reporting_sensors
from precursor.analysis.prognoses import Made, add_prognosis, open_prognoses, settle_prognoses
from precursor.analysis.task import hand_over, read_progress
from telemetry.batch import ReadingBatch
from telemetry.buckets import floor
from telemetry.plant import Plant

__all__ = ["AgeTask", "OutcomeTask"]

_DAY = timedelta(days=1)


class AgeTask:
    """Fits the lives of each class of assets, and writes down what they say of each asset whose age is known.

    One prognosis for each failure mode of which enough failures are known, and one for any where that leaves some out.
    An asset of a class that has failed too seldom gets no prognosis by age.
    """

    name = "age"
    every_s = 60.0

    def __init__(self, plant: Plant) -> None:
        self._plant = plant
        self._reporting = {
            asset: sensors
            for asset, sensors in reporting_sensors(plant).items()
            if plant.asset_by_id[asset].asset_class
        }

    async def work(self, connection: asyncpg.Connection) -> int:
        """Make the prognoses that are due."""
        newest = await newest_readings(connection, self._reporting)
        done = await read_progress(connection, self.name, list(newest))
        due = {asset: day for asset, last in newest.items() if (day := floor(last, _DAY)) > done.get(asset, day - _DAY)}
        if not due:
            return 0
        ends = await read_ends(connection, self._plant, newest.keys())
        fits: dict[tuple[str, datetime], Mapping[str, WeibullFit]] = {}
        known: dict[datetime, Mapping[int, Sequence[Life]]] = {}
        for asset_id, day in due.items():
            if day not in known:
                known[day] = {
                    other: lives([end for end in ends.get(other, ()) if end.at <= day], min(last, day))
                    for other, last in newest.items()
                }
            own = known[day][asset_id][-1:]
            made: list[Made] = []
            if own and not own[0].failed and own[0].end == day:
                asset_class = self._plant.asset_by_id[asset_id].asset_class
                key = asset_class, day
                if key not in fits:
                    alike = [
                        EndedLife(age_s=life.age_s, failed=life.failed, failure_mode=life.failure_mode)
                        for other, found in known[day].items()
                        if self._plant.asset_by_id[other].asset_class == asset_class
                        for life in found
                    ]
                    fits[key] = await asyncio.to_thread(fit_by_mode, alike)
                made = await asyncio.to_thread(_made, asset_id, own[0], fits[key])
            async with connection.transaction():
                for each in made:
                    await add_prognosis(connection, each)
                await hand_over(connection, self.name, asset_id, day, ReadingBatch.empty())
        return len(due)


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


def _made(asset_id: int, life: Life, fits: Mapping[str, WeibullFit]) -> list[Made]:
    return [
        Made(
            asset_id=asset_id,
            sensor_id=None,
            method="age",
            made_at=life.end,
            remaining=remaining_life_at_age(fit, life.age_s),
            failure_mode=mode,
            details={
                "version": VERSION,
                "age_s": life.age_s,
                "renewed_at": life.begin.isoformat(),
                "shape": fit.shape,
                "scale_s": fit.scale_s,
                "failures": fit.failures,
                "survivors": fit.survivors,
            },
        )
        for mode, fit in fits.items()
    ]
