"""Which minutes of an asset show how it is when nothing is wrong with it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import asyncpg
import numpy as np
import numpy.typing as npt

from telemetry.batch import ReadingBatch, to_micros
from telemetry.plant import Asset, AssetState, Plant, SensorKind
from telemetry.quality import usable
from telemetry.ranges import read_neighbours, read_readings
from telemetry.sql import load_queries

__all__ = ["BEFORE_FAILURE", "SETTLED", "GoodTime", "good_time", "running_time"]

_SQL = load_queries("precursor.training")

BEFORE_FAILURE = timedelta(days=7)
"""before a failure nothing is taken to be good: the fault was there already"""
SETTLED = timedelta(minutes=10)
"""after a start nothing is usual yet"""

Grid = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GoodTime:
    """What of an asset's time is good, on a grid."""

    good: Mask
    """by row of the grid"""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """why rows are not good, and how many for that reason; a row with two reasons counts for the first"""


async def good_time(
    connection: asyncpg.Connection, plant: Plant, asset: Asset, begin: datetime, end: datetime, step: timedelta
) -> GoodTime:
    """When the asset ran and had settled, no alarm about it stood, no order was open, and no failure was near.

    An asset without a state sensor, of its own or above it, is taken to run all the time.

    Args:
        connection, plant: where it is.
        asset: whose time.
        begin, end, step: the grid: rows at begin, begin + step ... before end; a row is good if all of it is.
    """
    width = _micros(step)
    grid = np.arange(to_micros(begin), to_micros(end), width, dtype=np.int64)
    good = np.ones(grid.size, np.bool_)
    left_out: dict[str, int] = {}

    def leave_out(why: str, bad: Mask) -> None:
        count = int(np.count_nonzero(good & bad))
        if count:
            left_out[why] = left_out.get(why, 0) + count
            good[bad] = False

    states = await _states(connection, plant, asset, begin, end + BEFORE_FAILURE)
    if states is not None:
        runs, settled = _running(states, grid, width)
        leave_out("it did not run", ~runs)
        leave_out("it had just started", ~settled)
        failed = states.time[states.value == AssetState.FAILED]
        leave_out("a failure was near", _within(grid, width, failed - _micros(BEFORE_FAILURE), failed))
    for row in await connection.fetch(_SQL["bad_spans"], asset.id, begin, end):
        span = np.array([to_micros(row["begin_at"])]), np.array([to_micros(row["end_at"])])
        leave_out(row["why"], _within(grid, width, *span))
    return GoodTime(good=good, left_out=left_out)


async def running_time(
    connection: asyncpg.Connection, plant: Plant, asset: Asset, begin: datetime, end: datetime, step: timedelta
) -> Mask:
    """By row of the grid, as for `good_time`: whether the asset ran and had settled, be it good or not."""
    width = _micros(step)
    grid = np.arange(to_micros(begin), to_micros(end), width, dtype=np.int64)
    states = await _states(connection, plant, asset, begin, end)
    if states is None:
        return np.ones(grid.size, np.bool_)
    runs, settled = _running(states, grid, width)
    return runs & settled


def _running(states: ReadingBatch, grid: Grid, width: int) -> tuple[Mask, Mask]:
    """Rows in which it ran from begin to end, and rows that are not just after a start."""
    runs = (_held(states, grid) == AssetState.RUNNING) & (_held(states, grid + width) == AssetState.RUNNING)
    starts = states.time[1:][(states.value[1:] == AssetState.RUNNING) & (states.value[:-1] != AssetState.RUNNING)]
    return runs, ~_within(grid, width, starts, starts + _micros(SETTLED))


async def _states(
    connection: asyncpg.Connection, plant: Plant, asset: Asset, begin: datetime, end: datetime
) -> ReadingBatch | None:
    """What its state sensor said, or that of the nearest asset above it; None: there is none."""
    of_asset = {sensor.asset_id: sensor.id for sensor in plant.sensors if sensor.kind is SensorKind.STATE}
    above: int | None = asset.id
    while above is not None and above not in of_asset:
        above = plant.asset_by_id[above].parent_id
    if above is None:
        return None
    readings = await read_readings(connection, [of_asset[above]], begin, end)
    before = await read_neighbours(connection, [of_asset[above]], begin, end)
    known = ReadingBatch.concat([before.take(before.time < to_micros(begin)), readings])
    return known.take(usable(known.quality))


def _held(states: ReadingBatch, at: Grid) -> npt.NDArray[np.float64]:
    """The state at these instants; NaN before the first one."""
    place = np.searchsorted(states.time, at, side="right") - 1
    if not len(states):
        return np.full(at.size, np.nan)
    return np.where(place >= 0, states.value[np.maximum(place, 0)], np.nan)


def _within(grid: Grid, width: int, begins: Grid, ends: Grid) -> Mask:
    """Rows of which any part is in [begin, end) of a span."""
    first = np.searchsorted(grid, begins - width, side="right")
    last = np.searchsorted(grid, ends, side="left")
    steps = np.zeros(grid.size + 1, np.int64)
    np.add.at(steps, first, 1)
    np.add.at(steps, np.maximum(last, first), -1)
    inside: Mask = np.cumsum(steps[:-1]) > 0
    return inside


def _micros(length: timedelta) -> int:
    return length // timedelta(microseconds=1)
