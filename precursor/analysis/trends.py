"""Remaining life by trend: hourly, of each sensor that is followed to a limit."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice

import asyncpg
import numpy as np
import numpy.typing as npt

from models.life.trend import VERSION, TrendLife, life_by_trend
from precursor.analysis.lives import End, at_work, last_renewal, read_ends, state_sensors
from precursor.analysis.prognoses import Made, add_prognosis
from precursor.analysis.task import hand_over, read_progress
from rules.definition import Rule
from telemetry.batch import ReadingBatch, to_datetime, to_micros
from telemetry.buckets import Resolution, floor, read_buckets
from telemetry.plant import DetectorSpec, Plant, Sensor
from telemetry.quality import usable
from telemetry.ranges import read_readings
from telemetry.resolution import read_tally
from telemetry.sql import load_queries

__all__ = ["TrendTask"]

_SQL = load_queries("precursor.analysis")

_EVERY = timedelta(hours=1)
"""event time between two prognoses of a sensor"""
_WINDOW = timedelta(days=366)
"""longest look back, where the asset was not renewed since"""
_AT_ONCE = 20
_MOST_READINGS = 2_000
"""of which each counts; of more the means of minutes or hours"""
_MINUTES_UP_TO = timedelta(days=4)
_DAY_S = 86_400.0

Times = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Followed:
    """A sensor whose trend is followed, and where what comes of it goes."""

    sensor: Sensor
    limit: float
    rising: bool
    failure_mode: str
    median_id: int
    p10_id: int
    p90_id: int


class TrendTask:
    """Fits the trend of what happened since the last renewal, and writes down when it reaches the limit.

    Only hours in which the machine ran all the time count, where a state sensor tells: at rest nothing degrades.
    """

    name = "remaining_life"
    every_s = 30.0

    def __init__(self, plant: Plant, rules: Sequence[Rule]) -> None:
        self._plant = plant
        self._state_sensors = state_sensors(plant)
        ids = {(sensor.computed, sensor.source_id): sensor.id for sensor in plant.sensors if sensor.computed}
        self._followed = {
            sensor.id: _Followed(
                sensor=plant.sensor_by_id[sensor.source_id],
                limit=limit,
                rising=side == "high",
                failure_mode=_failure_mode(rules, sensor.source_id, side, limit),
                median_id=sensor.id,
                p10_id=ids["remaining_life_p10", sensor.source_id],
                p90_id=ids["remaining_life_p90", sensor.source_id],
            )
            for sensor in plant.sensors
            if sensor.computed == "remaining_life" and sensor.source_id is not None and sensor.detector is not None
            for side, limit in _limit(sensor.detector)
        }

    async def work(self, connection: asyncpg.Connection) -> int:
        """Make some of the prognoses that are due, one for each sensor at most: what is past needs none."""
        due = dict(islice((await self._due(connection)).items(), _AT_ONCE))
        if not due:
            return 0
        assets = {self._followed[median_id].sensor.asset_id for median_id in due}
        ends = await read_ends(connection, self._plant, assets, since=min(due.values()) - _WINDOW)
        for median_id, until in due.items():
            followed = self._followed[median_id]
            await self._foretell(connection, followed, ends.get(followed.sensor.asset_id, ()), until)
        return len(due)

    async def _due(self, connection: asyncpg.Connection) -> dict[int, datetime]:
        sources = sorted({followed.sensor.id for followed in self._followed.values()})
        rows = await connection.fetch(_SQL["newest_usable"], sources)
        newest = {row["sensor_id"]: floor(row["time"], _EVERY) for row in rows}
        done = await read_progress(connection, self.name, list(self._followed))
        return {
            median_id: until
            for median_id, followed in self._followed.items()
            if (until := newest.get(followed.sensor.id)) is not None
            and (median_id not in done or done[median_id] < until)
        }

    async def _foretell(
        self, connection: asyncpg.Connection, followed: _Followed, ends: Sequence[End], until: datetime
    ) -> None:
        known = [end for end in ends if end.at <= until]
        begin = max(last_renewal(known) or until - _WINDOW, until - _WINDOW)
        time, value = await self._window(connection, followed.sensor, begin, until)
        batch = ReadingBatch.empty()
        made = None
        if time.size:
            found = await asyncio.to_thread(
                life_by_trend, (time - time[0]) / 1e6, value, followed.limit, rising=followed.rising
            )
            made = _made(followed, to_datetime(int(time[-1])), to_datetime(int(time[0])), found)
            batch = _readings(followed, made)
        async with connection.transaction():
            if made is not None:
                await add_prognosis(connection, made)
            await hand_over(connection, self.name, followed.median_id, until, batch)

    async def _window(
        self, connection: asyncpg.Connection, sensor: Sensor, begin: datetime, end: datetime
    ) -> tuple[Times, npt.NDArray[np.float64]]:
        """Times (µs since 1970; of buckets their end) and values of the machine at work: readings if they are few."""
        if begin >= end:
            return np.empty(0, np.int64), np.empty(0)
        tally = await read_tally(connection, [sensor.id], begin, end)
        if tally.readings <= _MOST_READINGS:
            readings = await read_readings(connection, [sensor.id], begin, end)
            readings = readings.take(usable(readings.quality))
            time, value, width = readings.time, readings.value, 0
        else:
            resolution = Resolution.MINUTE if end - begin <= _MINUTES_UP_TO else Resolution.HOUR
            buckets = await read_buckets(connection, [sensor.id], begin, end, resolution)
            time, value, width = buckets.time, buckets.mean, resolution.step // timedelta(microseconds=1)
        keep = np.isfinite(value) & (time >= to_micros(begin))
        keep &= await at_work(connection, self._state_sensors.get(sensor.asset_id), time, begin, end)
        return time[keep] + width, value[keep]


def _limit(detector: DetectorSpec) -> Sequence[tuple[str, float]]:
    return [(side, detector.parameters[side]) for side in ("high", "low") if side in detector.parameters]


def _failure_mode(rules: Sequence[Rule], sensor_id: int, side: str, limit: float) -> str:
    """That of the rule whose limit it is."""
    for rule in rules:
        is_its = rule.sensor_id == sensor_id and limit in (getattr(rule, side), getattr(rule, f"{side}_{side}"))
        if is_its and rule.failure_mode is not None:
            return rule.failure_mode
    return ""


def _made(followed: _Followed, at: datetime, begin: datetime, found: TrendLife) -> Made:
    details: dict[str, object] = {"version": VERSION, "inputs_from": begin.isoformat()}
    if found.trend is not None:
        details |= {
            "shape": found.trend.shape,
            "onset": (begin + timedelta(seconds=found.trend.onset_s)).isoformat(),
            "level": found.trend.level,
            "slope_per_day": found.trend.slope_per_s * _DAY_S,
        }
    return Made(
        asset_id=followed.sensor.asset_id,
        sensor_id=followed.sensor.id,
        method="trend",
        made_at=at,
        remaining=found.remaining,
        failure_mode=followed.failure_mode,
        limit=followed.limit,
        details=details,
    )


def _readings(followed: _Followed, made: Made) -> ReadingBatch:
    """Days; none without an answer."""
    life, at = made.remaining, to_micros(made.made_at)
    quantiles = ((followed.median_id, life.p50_s), (followed.p10_id, life.p10_s), (followed.p90_id, life.p90_s))
    told = [(sensor, seconds / _DAY_S) for sensor, seconds in quantiles if seconds is not None]
    return ReadingBatch.of([at] * len(told), [sensor for sensor, _ in told], [days for _, days in told]).sorted()
