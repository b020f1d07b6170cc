"""Prognoses in the database: written when they are made, and settled once the end is known."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import asyncpg

from models.life.prognosis import RemainingLife
from precursor.analysis.lives import End
from telemetry.sql import load_queries

__all__ = ["Made", "StoredPrognosis", "add_prognosis", "list_prognoses", "settle_prognoses"]

_SQL = load_queries("precursor.analysis")

Method = Literal["trend", "age", "model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A prognosis as it is made."""

    asset_id: int
    sensor_id: int | None
    """whose trend it is; None: of the asset as a whole"""
    method: Method
    made_at: datetime
    """event time: nothing later was known"""
    remaining: RemainingLife
    failure_mode: str = ""
    model_id: int | None = None
    limit: float | None = None
    details: Mapping[str, object] = field(default_factory=dict)
    """plain values"""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredPrognosis:
    """A prognosis as it is stored, by names, with what came of it."""

    asset: str
    sensor: str | None
    unit: str | None
    """of the sensor and of the limit"""
    failure_mode: str
    method: Method
    made_at: datetime
    p10_s: float | None
    p50_s: float | None
    p90_s: float | None
    """infinite: the trend may as well end"""
    reason: str
    """why there is no answer"""
    limit_value: float | None
    details: Mapping[str, object]
    outcome: Literal["failed", "repaired"] | None
    outcome_at: datetime | None

    def as_json(self) -> dict[str, object]:
        """For machines: plain values only; an infinite time is null."""
        return {
            "asset": self.asset,
            "sensor": self.sensor,
            "failure_mode": self.failure_mode,
            "method": self.method,
            "made_at": self.made_at.isoformat(),
            "p10_s": self.p10_s,
            "p50_s": self.p50_s,
            "p90_s": None if self.p90_s is None or math.isinf(self.p90_s) else self.p90_s,
            "reason": self.reason,
            "limit": self.limit_value,
            "unit": self.unit,
            "details": dict(self.details),
            "outcome": self.outcome,
            "outcome_at": None if self.outcome_at is None else self.outcome_at.isoformat(),
        }


async def add_prognosis(connection: asyncpg.Connection, made: Made) -> bool:
    """Write a prognosis down, in the caller's transaction; whether it says something.

    That there is no answer is written down once, and again when the reason is another one. The same prognosis a second
    time is none.
    """
    life = made.remaining
    if not life.known:
        last = await connection.fetchrow(
            _SQL["last_prognosis"], made.asset_id, made.sensor_id, made.failure_mode, made.method
        )
        if last is not None and not last["answered"] and last["reason"] == life.reason:
            return False
    status = await connection.execute(
        _SQL["add_prognosis"],
        made.asset_id,
        made.sensor_id,
        made.failure_mode,
        made.method,
        made.model_id,
        made.made_at,
        life.p10_s,
        life.p50_s,
        life.p90_s,
        life.reason or "",
        made.limit,
        json.dumps(dict(made.details)),
    )
    return bool(status.endswith(" 1"))


async def settle_prognoses(connection: asyncpg.Connection, ends: Mapping[int, Sequence[End]]) -> int:
    """Write down what came of prognoses whose asset failed or was repaired since; how many they were.

    Each is settled by the first end after it was made. A repair settles those of its failure mode, and those of none.

    Args:
        connection: to the database.
        ends: by asset, of each by time.
    """
    settled = 0
    for row in await connection.fetch(_SQL["open_prognoses"]):
        for end in ends.get(row["asset_id"], ()):
            if end.at >= row["oldest"]:
                outcome = "failed" if end.failed else "repaired"
                mode = "" if end.failed else end.failure_mode
                status = await connection.execute(_SQL["settle_prognoses"], row["asset_id"], outcome, end.at, mode)
                settled += int(status.rpartition(" ")[2])
    return settled


async def list_prognoses(
    connection: asyncpg.Connection, *, asset: str | None = None, limit: int = 100
) -> Sequence[StoredPrognosis]:
    """Those of an asset, None: of all, the newest first."""
    rows = await connection.fetch(_SQL["list_prognoses"], asset, limit)
    return [StoredPrognosis(**{**row, "details": json.loads(row["details"])}) for row in rows]
