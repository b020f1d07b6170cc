"""How long each asset was in which state: the hourly rollup, and the reliability figures read from it.

A state sensor's reading holds until its next one. `asset_state_1h` keeps, per UTC hour and state, the seconds spent
in it and how often it was entered. Three parts work together:

- `touch` marks the hours in which state readings arrive, in the transaction that stores them;
- `refresh` takes marks and counts those hours again from the stored readings, neighbours included, so that late,
  out-of-order and backfilled history ends up as if it had arrived in order;
- `kpis` trusts the rollup only where no mark could change it and reads the rest from readings.

Only usable readings (good or uncertain) with a value of `AssetState` are states. The first one ever counts as an
entry: a machine that is down when recording begins has failed once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import asyncpg
import numpy as np

from cbm.reliability import AssetKpi, Reliability
from telemetry.batch import ReadingBatch, to_datetime, to_micros
from telemetry.editions import Edition
from telemetry.plant import AssetState
from telemetry.sql import load_queries

__all__ = ["Refreshed", "kpis", "newest_report", "refresh", "touch"]

_SQL = load_queries("cbm")
_HOUR_US = 3600 * 1_000_000
# What one transaction works on. At one state reading a second this is some millions of readings, a few seconds.
_HOURS_A_ROUND = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Refreshed:
    """What one call of `refresh` did."""

    marks: int
    """touched hours taken"""
    rows: int
    """rows of `asset_state_1h` written"""
    rounds: int
    """transactions"""
    begin: datetime | None
    """first hour counted again; None: nothing was touched"""
    end: datetime | None
    """end of the last"""


async def touch(connection: asyncpg.Connection, states: ReadingBatch) -> None:
    """Mark the hours of stored state readings for `refresh`, in the transaction that stores them.

    The mark stays locked until the caller commits: that is what makes a `refresh` at the same moment leave it alone.
    """
    if not len(states):
        return
    hour = states.time // _HOUR_US
    marks = np.unique(np.stack([states.sensor_id.astype(np.int64), hour]), axis=1)
    await connection.execute(
        _SQL["touch_state_hours"],
        marks[0].tolist(),
        [to_datetime(int(number) * _HOUR_US) for number in marks[1]],
    )


async def refresh(
    connection: asyncpg.Connection, edition: Edition, *, hours_a_round: int = _HOURS_A_ROUND
) -> Refreshed:
    """Count every touched hour again, in transactions of about `hours_a_round` sensor-hours each.

    Call it outside a transaction. Safe beside writers and beside another refresh: a mark is taken and its hours are
    written in one transaction, readings are looked at only after the marks are held, and marks of transactions
    still under way stay for the next call.
    """
    marks = rows = rounds = 0
    begin: datetime | None = None
    end: datetime | None = None
    while True:
        spans, written = await _refresh_round(connection, hours_a_round)
        if not spans:
            break
        first = min(span_begin for _, span_begin, _ in spans)
        last = max(span_end for _, _, span_end in spans)
        # Only after COMMIT: the continuous aggregate sees committed rows alone.
        await edition.refresh_state_rollup(connection, to_micros(last))
        marks, rows, rounds = marks + len(spans), rows + written, rounds + 1
        begin = first if begin is None else min(begin, first)
        end = last if end is None else max(end, last)
        hours = sum((span_end - span_begin).total_seconds() for _, span_begin, span_end in spans) / 3600
        # Fewer than a round holds: nothing was left. Asking until nothing comes would never end beside live data.
        if hours < hours_a_round:
            break
    return Refreshed(marks=marks, rows=rows, rounds=rounds, begin=begin, end=end)


async def _refresh_round(
    connection: asyncpg.Connection, hours: int
) -> tuple[Sequence[tuple[int, datetime, datetime]], int]:
    # READ COMMITTED on purpose: the statements after the DELETE must see what was committed before the marks were held.
    async with connection.transaction(isolation="read_committed"):
        await connection.execute(_SQL["one_refresh_at_a_time"])
        taken = await connection.fetch(_SQL["take_touched_hours"], hours, hours)
        if not taken:
            return [], 0
        spans = [(row["sensor_id"], row["begin_hour"], row["end_hour"]) for row in taken]
        columns = [list(column) for column in zip(*spans, strict=True)]
        await connection.execute(_SQL["clear_state_hours"], *columns)
        status = await connection.execute(_SQL["write_state_hours"], *columns)
        return spans, int(status.rpartition(" ")[2])


async def newest_report(connection: asyncpg.Connection, asset: str | None = None) -> datetime | None:
    """Event time of the newest reading of any sensor of the asset (of all assets: None), stale ones apart.

    This is the data's clock: a state is known only as long as its asset reports. None: no reading yet.
    """
    newest: datetime | None = await connection.fetchval(_SQL["newest_report"], asset)
    return newest


async def kpis(
    connection: asyncpg.Connection,
    *,
    begin: datetime,
    end: datetime,
    asset: str | None = None,
    by: Literal["day", "total"] = "total",
    confidence: float = 0.9,
) -> list[AssetKpi]:
    """Reliability figures in [begin, end), a row per asset and state sensor (`by="day"`: and UTC day).

    Exact to the microsecond at both ends and for the readings stored, rolled up or not. The newest state counts up to
    the asset's newest report, not beyond. With `by="day"` days of which nothing is known are left out; with
    `by="total"` every state sensor in use has a row. An unknown asset, or one without a state sensor, gives no row.

    Raises:
        ValueError: the window is empty or has no time zone, or `confidence` is not between 0 and 1.
    """
    if to_micros(begin) >= to_micros(end):
        raise ValueError(f"the window from {begin.isoformat()} to {end.isoformat()} is empty")
    found = await connection.fetch(_SQL["asset_kpis"], begin, end, asset, by == "day")
    return [_kpi(row, confidence) for row in found]


def _kpi(row: asyncpg.Record, confidence: float) -> AssetKpi:
    return AssetKpi(
        asset=row["asset"],
        title=row["title"],
        sensor=row["sensor"],
        begin=row["begin_at"],
        end=row["end_at"],
        as_of=row["as_of"],
        state_at_begin=None if row["state_at_begin"] is None else AssetState(row["state_at_begin"]),
        state_at_end=None if row["state_at_end"] is None else AssetState(row["state_at_end"]),
        reliability=Reliability.of(
            {
                AssetState.STOPPED: row["stopped_s"],
                AssetState.RUNNING: row["running_s"],
                AssetState.FAILED: row["failed_s"],
            },
            {AssetState.FAILED: row["failures"]},
            window_s=(row["end_at"] - row["begin_at"]).total_seconds(),
            confidence=confidence,
        ),
    )
