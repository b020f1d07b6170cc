"""The last value of each sensor: what it said last, and what it last said that can be used."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import asyncpg

from telemetry.quality import Quality
from telemetry.sql import load_queries

__all__ = ["LastValue", "Reading", "read_last_values"]

_SQL = load_queries("telemetry", "ranges.sql")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One stored reading."""

    time: datetime
    value: float
    """in the sensor's unit"""
    quality: Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class LastValue:
    """What one sensor said last."""

    sensor_id: int
    newest: Reading | None
    """of any quality: not to be used as a value where that is bad or stale; None: it never sent any"""
    usable: Reading | None
    """the newest good or uncertain one; None: it never sent one"""

    @property
    def usable_value(self) -> float | None:
        """What it says, as far as is known; in the sensor's unit."""
        return None if self.usable is None else self.usable.value


async def read_last_values(
    connection: asyncpg.Connection, sensor_ids: Sequence[int] | None = None
) -> Sequence[LastValue]:
    """The last values of these sensors, in the order given; None: of all sensors in use, by id.

    A sensor without readings is in the answer.
    """
    if sensor_ids is None:
        sensor_ids = [row["id"] for row in await connection.fetch(_SQL["sensors_in_use"])]
    found = [_last(row) for row in await connection.fetch(_SQL["last_values"], list(sensor_ids))]
    lost = [last.sensor_id for last in found if last.newest is not None and last.usable is None]
    return await _searched(connection, found, lost) if lost else found


def _last(row: asyncpg.Record) -> LastValue:
    newest = usable = None
    if row["time"] is not None:
        newest = Reading(time=row["time"], value=row["value"], quality=Quality(row["quality"]))
    if row["usable_time"] is not None:
        usable = Reading(time=row["usable_time"], value=row["usable_value"], quality=Quality(row["usable_quality"]))
    elif newest is not None and newest.quality <= Quality.UNCERTAIN:
        usable = newest
    return LastValue(sensor_id=row["sensor_id"], newest=newest, usable=usable)


async def _searched(
    connection: asyncpg.Connection, found: Sequence[LastValue], lost: Sequence[int]
) -> Sequence[LastValue]:
    """The same, with usable values of sensors that sent none in a long time, by the day the rollups name."""
    days = await connection.fetch(_SQL["last_usable_days"], list(lost))
    rows = await connection.fetch(
        _SQL["last_usable_values"], [row["sensor_id"] for row in days], [row["day"] for row in days]
    )
    usable = {
        row["sensor_id"]: Reading(time=row["time"], value=row["value"], quality=Quality(row["quality"])) for row in rows
    }
    return [replace(last, usable=usable.get(last.sensor_id, last.usable)) for last in found]
