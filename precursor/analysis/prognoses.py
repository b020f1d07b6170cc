"""Prognoses in the database: written when they are made, and settled once the end is known."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import asyncpg

from models.life.prognosis import EndOfLife, Outcome, Prognosis, RemainingLife
from models.life.scoring import PrognosisFigures, summarise
from precursor.analysis.lives import End
from telemetry.sql import load_queries

__all__ = [
    "Made",
    "StoredPrognosis",
    "add_prognosis",
    "figures",
    "list_prognoses",
    "open_prognoses",
    "settle_prognoses",
]

_SQL = load_queries("precursor.analysis")

Method = Literal["trend", "age", "pf_interval", "model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A prognosis as it is made."""

    asset_id: int
    sensor_id: int | None
    """whose trend it is, or what a model writes to; None: of the asset as a whole"""
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
    reason: str
    """why there is no answer"""
    limit_value: float | None
    details: Mapping[str, object]
    outcome: Literal["failed", "repaired"] | None
    outcome_at: datetime | None

    def as_json(self) -> dict[str, object]:
        """For machines: plain values only."""
        return {
            "asset": self.asset,
            "sensor": self.sensor,
            "failure_mode": self.failure_mode,
            "method": self.method,
            "made_at": self.made_at.isoformat(),
            "p10_s": self.p10_s,
            "p50_s": self.p50_s,
            "p90_s": self.p90_s,
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


async def open_prognoses(connection: asyncpg.Connection) -> Mapping[int, datetime]:
    """Assets with prognoses of which nothing has come yet, and when the oldest one was made."""
    return {row["asset_id"]: row["oldest"] for row in await connection.fetch(_SQL["open_prognoses"])}


async def settle_prognoses(
    connection: asyncpg.Connection, asked: Mapping[int, datetime], ends: Mapping[int, Sequence[End]]
) -> int:
    """Write down what came of prognoses whose asset failed or was repaired since; how many they were.

    Each is settled by the first end after it was made. A repair settles those of its failure mode, and those of none. A
    failure settles all: those of another failure mode, where its own is known by then, as if the asset had been
    repaired, for they might have come later.

    Args:
        connection: to the database.
        asked: what `open_prognoses` gave.
        ends: by asset, of each by time.
    """
    settled = 0
    for asset_id, oldest in asked.items():
        for end in ends.get(asset_id, ()):
            if end.at >= oldest:
                steps = [("failed" if end.failed else "repaired", end.failure_mode)]
                if end.failed and end.failure_mode:
                    steps.append(("repaired", ""))
                for outcome, mode in steps:
                    status = await connection.execute(_SQL["settle_prognoses"], asset_id, outcome, end.at, mode)
                    settled += int(status.rpartition(" ")[2])
    return settled


async def list_prognoses(
    connection: asyncpg.Connection, *, asset: str | None = None, settled: bool = False, limit: int | None = 100
) -> Sequence[StoredPrognosis]:
    """The newest first.

    Args:
        connection: to the database.
        asset: by name; None: of all.
        settled: only those whose end is known.
        limit: None: all.
    """
    rows = await connection.fetch(_SQL["list_prognoses"], asset, settled, limit)
    return [StoredPrognosis(**{**row, "details": json.loads(row["details"])}) for row in rows]


def figures(stored: Sequence[StoredPrognosis]) -> Mapping[str, PrognosisFigures]:
    """How good prognoses were whose end is known, by method."""
    by_method: dict[str, list[StoredPrognosis]] = {}
    for each in stored:
        if each.outcome is not None:
            by_method.setdefault(each.method, []).append(each)
    return {
        method: summarise([_prognosis(each) for each in found], list({_outcome(each) for each in found}))["prognoses"]
        for method, found in sorted(by_method.items())
    }


def _prognosis(each: StoredPrognosis) -> Prognosis:
    begin = each.details.get("inputs_from")
    return Prognosis(
        asset=each.asset,
        failure_mode=each.failure_mode,
        made_at=each.made_at,
        method=each.method,
        model_version=str(each.details.get("version", "")),
        remaining=RemainingLife(p10_s=each.p10_s, p50_s=each.p50_s, p90_s=each.p90_s, reason=each.reason or None),
        limit=each.limit_value,
        inputs_from=datetime.fromisoformat(begin) if isinstance(begin, str) else each.made_at,
        inputs_until=each.made_at,
    )


def _outcome(each: StoredPrognosis) -> Outcome:
    assert each.outcome_at is not None, "only those that are settled are asked about"
    end: EndOfLife = "failure" if each.outcome == "failed" else "repair"
    return Outcome(asset=each.asset, failure_mode=each.failure_mode, at=each.outcome_at, end=end)
