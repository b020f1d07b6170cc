"""Lives of assets: from one renewal to the failure or the repair that ended them, or still going on."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg

from telemetry.batch import EPOCH
from telemetry.buckets import floor
from telemetry.plant import Plant, SensorKind
from telemetry.sql import load_queries

__all__ = ["End", "Life", "last_renewal", "lives", "read_ends", "state_sensors"]

_SQL = load_queries("precursor.analysis")


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What ended a life of an asset."""

    at: datetime
    failed: bool
    """it failed; else it was repaired before that, and the repair was found to have helped"""
    failure_mode: str = ""
    """of the repair; empty: not known"""
    renewed_at: datetime | None = None
    """when the next life began; None: not yet"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """How long an asset ran since it was renewed."""

    begin: datetime
    end: datetime
    failed: bool
    """False: it was repaired before, or lives on"""

    @property
    def age_s(self) -> float:
        """s."""
        return (self.end - self.begin).total_seconds()


def lives(ends: Sequence[End], known_until: datetime) -> tuple[Life, ...]:
    """The lives of one asset that are known from their begin: the first one, begun before anything was known, is not.

    A repair is taken to make the asset as good as new.

    Args:
        ends: by time.
        known_until: event time of its newest reading: up to there the last life goes on.
    """
    found = []
    begin: datetime | None = None
    for end in ends:
        if begin is not None and end.at > begin:
            found.append(Life(begin=begin, end=end.at, failed=end.failed))
        begin = end.renewed_at
    if begin is not None and known_until > begin:
        found.append(Life(begin=begin, end=known_until, failed=False))
    return tuple(found)


def last_renewal(ends: Sequence[End]) -> datetime | None:
    """When the life that goes on began; None: before anything was known. After a failure that goes on: then."""
    return (ends[-1].renewed_at or ends[-1].at) if ends else None


def state_sensors(plant: Plant) -> Mapping[int, int]:
    """For each asset the sensor that says whether it runs: its own, or that of the nearest above that has one."""
    own = {sensor.asset_id: sensor.id for sensor in plant.sensors if sensor.kind is SensorKind.STATE}
    found: dict[int, int] = {}
    for asset in plant.assets:
        above: int | None = asset.id
        while above is not None and above not in own:
            above = plant.asset_by_id[above].parent_id
        if above is not None:
            found[asset.id] = own[above]
    return found


async def read_ends(
    connection: asyncpg.Connection, plant: Plant, assets: Collection[int], *, since: datetime = EPOCH
) -> Mapping[int, Sequence[End]]:
    """Of each of these assets what ended its lives, by time: its state sensor said failed, or a repair was verified."""
    all_sensors = state_sensors(plant)
    sensors = {asset: all_sensors[asset] for asset in set(assets) if asset in all_sensors}
    of_sensor: dict[int, list[End]] = {}
    begin = floor(since, timedelta(hours=1))
    for row in await connection.fetch(_SQL["failures"], sorted(set(sensors.values())), begin):
        end = End(at=row["failed_at"], failed=True, renewed_at=row["running_at"])
        of_sensor.setdefault(row["sensor_id"], []).append(end)
    found = {asset: list(of_sensor.get(sensors.get(asset, 0), ())) for asset in set(assets)}
    for row in await connection.fetch(_SQL["repairs"], list(found), since):
        end = End(at=row["repaired_at"], failed=False, failure_mode=row["failure_mode"], renewed_at=row["repaired_at"])
        found[row["asset_id"]].append(end)
    return {asset: sorted(ends, key=lambda end: end.at) for asset, ends in found.items()}
