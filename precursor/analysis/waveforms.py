"""Features of waveforms: each new block of a sensor becomes readings of the sensors that are computed from it."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

import asyncpg
import structlog

from models.vibration.analyser import Analyser
from models.vibration.machine import MachineSpec
from precursor.analysis.machines import machine_spec
from precursor.analysis.task import hand_over, read_progress
from telemetry.batch import EPOCH, ReadingBatch, to_micros
from telemetry.errors import ConfigurationError, StateError
from telemetry.plant import Plant, Sensor
from telemetry.sql import load_queries
from telemetry.units import conversion
from telemetry.waveform_store import read_waveform
from telemetry.waveforms import Waveform

__all__ = ["WaveformTask"]

_log = structlog.get_logger(__name__)
_SQL = load_queries("precursor.analysis")

_BLOCKS = 4
"""of a sensor, one after the other, before the next sensor has its turn"""
_SPEED_HOLDS = timedelta(minutes=10)
"""a measured speed that is older says nothing of the speed now"""
_SLOWEST_HZ = 0.1
"""below, the shaft stands"""
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Watched:
    """A sensor whose waveforms are analysed, and where its features go."""

    sensor: Sensor
    machine: MachineSpec
    speed: Sensor | None
    features: Mapping[str, int]
    """name, and id of the derived sensor"""


class WaveformTask:
    """Computes features of blocks in the order of their time. One that arrives after a later one is not looked at."""

    name = "waveforms"
    every_s = 1.0

    def __init__(self, plant: Plant) -> None:
        features: dict[int, dict[str, int]] = {}
        for sensor in plant.sensors:
            if sensor.computed and sensor.source_id is not None:
                features.setdefault(sensor.source_id, {})[sensor.computed] = sensor.id
        self._watched = {}
        for sensor in plant.sensors:
            if sensor.vibration is not None:
                machine = plant.asset_by_id[sensor.asset_id].machine
                self._watched[sensor.id] = _Watched(
                    sensor=sensor,
                    machine=machine_spec(machine, sensor.vibration),
                    speed=plant.sensor_by_name.get(machine.speed_sensor or ""),
                    features=features.get(sensor.id, {}),
                )

    async def work(self, connection: asyncpg.Connection) -> int:
        """Analyse some blocks of each sensor that has new ones."""
        sensors = list(self._watched)
        done = await read_progress(connection, self.name, sensors)
        begins = [done.get(sensor, EPOCH) for sensor in sensors]
        rows = await connection.fetch(_SQL["next_waveforms"], sensors, begins, _BLOCKS)
        for row in rows:
            await self._take(connection, self._watched[row["sensor_id"]], row["time"])
        return len(rows)

    async def _take(self, connection: asyncpg.Connection, watched: _Watched, time: datetime) -> None:
        batch = ReadingBatch.empty()
        try:
            waveform = await read_waveform(connection, watched.sensor.id, time)
            if waveform is not None:
                speed_hz = await self._measured_hz(connection, watched, waveform)
                batch = await asyncio.to_thread(_analysed, watched, waveform, speed_hz)
        except (StateError, ConfigurationError) as error:
            # It stays stored, and is not tried again: what is wrong with it does not pass.
            _log.warning("waveform_not_analysed", sensor=watched.sensor.name, time=time.isoformat(), error=str(error))
        async with connection.transaction():
            await hand_over(connection, self.name, watched.sensor.id, time + _INSTANT, batch)

    @staticmethod
    async def _measured_hz(connection: asyncpg.Connection, watched: _Watched, waveform: Waveform) -> float | None:
        """Turns a second of the shaft when the block ended; None: nobody measured it."""
        if watched.speed is None:
            return None
        end = waveform.end
        found = await connection.fetchrow(_SQL["last_usable"], watched.speed.id, waveform.time - _SPEED_HOLDS, end)
        if found is None:
            return None
        factor, offset = conversion(watched.speed.unit, "rpm")
        return abs(float(found["value"]) * factor + offset) / 60


def _analysed(watched: _Watched, waveform: Waveform, speed_hz: float | None) -> ReadingBatch:
    """The features that are known, as readings at the begin of the block; none of a shaft that stands."""
    if speed_hz is not None and speed_hz < _SLOWEST_HZ:
        return ReadingBatch.empty()
    analyser = _analyser(waveform.sample_rate_hz, waveform.samples.size, watched.machine)
    known = {
        watched.features[name]: value
        for name, (value, _) in analyser.features(waveform.samples, waveform.unit, speed_hz=speed_hz).items()
        if name in watched.features and math.isfinite(value)
    }
    at = to_micros(waveform.time)
    return ReadingBatch.of([at] * len(known), list(known), list(known.values())).sorted()


# What depends on neither samples nor speed takes longer to make than a block to analyse.
@lru_cache(maxsize=16)
def _analyser(sample_rate_hz: float, count: int, machine: MachineSpec) -> Analyser:
    return Analyser(sample_rate_hz, count, machine)
