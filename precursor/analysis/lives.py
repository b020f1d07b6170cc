"""Lives of assets: from one renewal to the failure or the repair that ended them, or still going on."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import asyncpg
import numpy as np
import numpy.typing as npt

from telemetry.batch import EPOCH, to_micros
from telemetry.buckets import floor
from telemetry.plant import AssetState, Plant, SensorKind
from telemetry.sql import load_queries

__all__ = [
    "End", "Life", "at_work", "last_renewal", "lives", "newest_readings", "read_ends", "reporting_sensors",
    "state_sensors",
]  # fmt: skip

_SQL = load_queries("precursor.analysis")

_HOUR = timedelta(hours=1)
_HOUR_US = 3_600_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What ended a life of an asset."""

    at: datetime
    failed: bool
    """it failed; else it was repaired before that, and the repair was found to have helped"""
    failure_mode: str = ""
    """of the failure or of the repair; empty: not known"""
    renewed_at: datetime | None = None
    """when the next life began; None: not yet"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """How long an asset ran since it was renewed."""

    begin: datetime
    end: datetime
    failed: bool
    """False: it was repaired before, or lives on"""
    failure_mode: str = ""
    """of the failure; empty: not known, or none"""

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
            mode = end.failure_mode if end.failed else ""
            found.append(Life(begin=begin, end=end.at, failed=end.failed, failure_mode=mode))
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


def reporting_sensors(plant: Plant) -> Mapping[int, Sequence[int]]:
    """For each asset its own sensors that send something."""
    found: dict[int, list[int]] = {}
    for sensor in plant.sensors:
        if sensor.kind is not SensorKind.DERIVED:
            found.setdefault(sensor.asset_id, []).append(sensor.id)
    return found


async def newest_readings(
    connection: asyncpg.Connection, reporting: Mapping[int, Sequence[int]]
) -> Mapping[int, datetime]:
    """Event time of the newest usable reading of each asset that has one; `reporting`: assets and their sensors."""
    sensors = [sensor for own in reporting.values() for sensor in own]
    rows = await connection.fetch(_SQL["newest_usable"], sensors)
    times = {row["sensor_id"]: row["time"] for row in rows}
    found = {
        asset: max((times[sensor] for sensor in own if sensor in times), default=None)
        for asset, own in reporting.items()
    }
    return {asset: last for asset, last in found.items() if last is not None}


async def at_work(
    connection: asyncpg.Connection,
    state_sensor: int | None,
    time: npt.NDArray[np.int64],
    begin: datetime,
    end: datetime,
) -> npt.NDArray[np.bool_]:
    """Which of these times (µs since 1970, in [begin, end)) lie in hours in which an asset ran all the time.

    Without a sensor for its state, or a word of it, an asset is taken to run all the time.
    """
    if state_sensor is None:
        return np.ones(time.size, np.bool_)
    last = await connection.fetchrow(_SQL["last_usable"], state_sensor, EPOCH, end)
    rows = await connection.fetch(_SQL["running_hours"], state_sensor, floor(begin, _HOUR), end)
    # Of long ago there are hours only: readings are not kept for ever.
    if last is None and not rows:
        return np.ones(time.size, np.bool_)
    hours = np.array([to_micros(row["time"]) // _HOUR_US for row in rows], np.int64)
    works = np.isin(time // _HOUR_US, hours)
    if last is not None and last["value"] == AssetState.RUNNING:
        # Its last word holds, and is not counted yet.
        works |= time >= to_micros(last["time"])
    return works


async def read_ends(
    connection: asyncpg.Connection, plant: Plant, assets: Collection[int], *, since: datetime = EPOCH
) -> Mapping[int, Sequence[End]]:
    """Of each of these assets what ended its lives, by time: its state sensor said failed, or a repair was verified.

    A failure is of the failure mode of the work order that was open then, or was opened while the asset was down;
    those that were verified are believed before others. Orders of several modes leave it open. What repaired a failure
    is no end of its own.
    """
    all_sensors = state_sensors(plant)
    sensors = {asset: all_sensors[asset] for asset in set(assets) if asset in all_sensors}
    failures: dict[int, list[_Failure]] = {}
    begin = floor(since, _HOUR)
    for row in await connection.fetch(_SQL["failures"], sorted(set(sensors.values())), begin):
        failures.setdefault(row["sensor_id"], []).append(_Failure(at=row["failed_at"], running_at=row["running_at"]))
    orders: dict[int, list[_Order]] = {}
    for row in await connection.fetch(_SQL["orders"], sorted(set(assets)), since):
        orders.setdefault(row["asset_id"], []).append(
            _Order(
                failure_mode=row["failure_mode"],
                opened_at=row["opened_at"],
                done_at=row["done_at"] or row["verified_at"],
                verified=row["verified_at"] is not None,
            )
        )
    return {asset: _ends(failures.get(sensors.get(asset, 0), ()), orders.get(asset, ())) for asset in set(assets)}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Failure:
    at: datetime
    running_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    failure_mode: str
    opened_at: datetime
    done_at: datetime | None
    verified: bool

    def about(self, failure: _Failure) -> bool:
        """Whether it was open when the asset failed, or was opened while it was down."""
        return (failure.running_at is None or self.opened_at <= failure.running_at) and (
            self.done_at is None or self.done_at >= failure.at
        )


def _ends(failures: Sequence[_Failure], orders: Sequence[_Order]) -> Sequence[End]:
    ends: list[End] = []
    repairs = [(order.done_at, order) for order in orders if order.verified and order.done_at is not None]
    for failure in failures:
        about = [order for order in orders if order.about(failure)]
        modes = {order.failure_mode for order in about if order.verified} or {order.failure_mode for order in about}
        mode = modes.pop() if len(modes) == 1 else ""
        its: list[tuple[datetime, _Order]] = []
        others: list[tuple[datetime, _Order]] = []
        for done_at, order in repairs:
            # Its own order may be put down as done only when the asset has been running again for days.
            in_time = failure.running_at is None or done_at <= failure.running_at or order.failure_mode == mode
            (its if in_time and order.about(failure) else others).append((done_at, order))
        repairs = others
        renewed_at = failure.running_at or max((done_at for done_at, _ in its), default=None)
        ends.append(End(at=failure.at, failed=True, failure_mode=mode, renewed_at=renewed_at))
    ends += [
        End(at=done_at, failed=False, failure_mode=order.failure_mode, renewed_at=done_at) for done_at, order in repairs
    ]
    return sorted(ends, key=lambda end: end.at)
