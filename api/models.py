"""What models say: the condition of a machine, how long it will last, and which models there are."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, TypeVar

import asyncpg
from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.database import Connection
from api.pages import Begin, Cursor, End, Limit, Page, check_window, paginate, read_cursor
from api.problems import NotFoundError, Problem
from api.queries import SQL
from models.contract import ALARM
from models.sensor_faults.findings import SensorFault
from telemetry.batch import EPOCH
from telemetry.latest import Reading, read_last_values
from telemetry.names import closest
from telemetry.sql import load_queries

__all__ = ["Condition", "Model", "Prognosis", "router"]

router = APIRouter(tags=["models"])
_SQL = load_queries("api", "models.sql")
_NUMBERS = 2**31 - 1
_NOT_MADE = "no prognosis yet; `precursor analyse` makes one an hour once the sensor has sent usable readings"

Method = Literal["trend", "age", "pf_interval", "model"]
State = Literal["candidate", "shadow", "active", "retired"]
Outcome = Literal["failed", "repaired"]
FaultName = Literal["drift", "spikes", "stuck", "dropout"]
_FAULTS: Mapping[int, FaultName] = {
    SensorFault.DRIFT: "drift",
    SensorFault.SPIKES: "spikes",
    SensorFault.STUCK: "stuck",
    SensorFault.DROPOUT: "dropout",
}

_METHOD = Field(
    description="the trend of a sensor to its limit; the asset's age; the time since its alarm; or a trained model"
)
_SECONDS: Mapping[str, str] = {
    "p10": "seconds from `made_at`; one in ten fails earlier; null: no answer, see `reason`",
    "p50": "seconds from `made_at`; half fail earlier",
    "p90": "seconds from `made_at`; nine in ten fail earlier",
}


class Score(BaseModel):
    """How unlike before something is: measured over the limit that its detector set itself."""

    score: float = Field(description="1 and more is an anomaly", examples=[0.4])
    time: datetime = Field(description="event time; it is told again when it changes, and stands until then")
    anomalous: bool = Field(description="whether it is 1 or more")


AnyScore = TypeVar("AnyScore", bound=Score)


class SensorScore(Score):
    """The score of one sensor."""

    sensor: str = Field(description="whose score it is", examples=["pump-1.vib_de"])


class Share(BaseModel):
    """How much of an asset's score one sensor is."""

    sensor: str = Field(examples=["pump-1.vib_de"])
    share: float = Field(description="0 to 1", examples=[0.8])


class AssetScore(Score):
    """The score of an asset by all its sensors together."""

    shares: list[Share] = Field(description="of the sensors at `shares_at`, the largest first")
    shares_at: datetime | None = Field(
        description="event time of the last score that was high enough to have shares; null: none was yet"
    )


class ModelScore(Score):
    """What an active trained model says of an asset."""

    model: str = Field(examples=["pump-anomaly"])
    version: int = Field(description="the one that is active now")


class StandingFault(BaseModel):
    """Something is wrong with a sensor itself."""

    sensor: str = Field(examples=["pump-1.temp"])
    fault: FaultName
    since: datetime = Field(description="event time at which this was found")


class RemainingLife(BaseModel):
    """The last word on how long something will last, or why there is none."""

    sensor: str | None = Field(description="whose trend it is; null: of the asset as a whole")
    failure_mode: str = Field(description="empty: any")
    method: Method = _METHOD
    made_at: datetime | None = Field(description="event time: nothing later was known; null: none was made yet")
    p10_s: float | None = Field(description=_SECONDS["p10"])
    p50_s: float | None = Field(description=_SECONDS["p50"])
    p90_s: float | None = Field(description=_SECONDS["p90"])
    reason: str = Field(description="why there is no answer; empty: there is one")


class Condition(BaseModel):
    """What is said of an asset now; of its own sensors, not of its parts."""

    asset: str = Field(examples=["pump-1"])
    anomaly: AssetScore | None = Field(description="null: it is not scored as a whole, or is still being learned")
    scores: list[SensorScore] = Field(description="the highest first; a sensor that is still being learned is left out")
    models: list[ModelScore] = Field(description="of active trained models, the highest first")
    sensor_faults: list[StandingFault] = Field(description="those that stand, by sensor")
    remaining_life: list[RemainingLife] = Field(
        description="of each sensor, failure mode and method, the shortest first; what was settled since is left out"
    )


class Prognosis(RemainingLife):
    """What was said about the time that is left, and what came of it."""

    id: int
    asset: str = Field(examples=["pump-1"])
    made_at: datetime = Field(description="event time: nothing later was known")
    model: str | None = Field(description="the trained model that said so; null: none did")
    model_version: int | None = Field(description="its version")
    limit_value: float | None = Field(description="the limit that the trend goes to, in `unit`")
    unit: str | None = Field(description="of the sensor; null: no sensor", examples=["mm/s"])
    details: dict[str, Any] = Field(description="what it rests on; differs by method")
    outcome: Outcome | None = Field(description="how it ended; null: not yet")
    outcome_at: datetime | None = Field(description="when it ended; null: not yet")


class Model(BaseModel):
    """A version of a trained model."""

    id: int
    name: str = Field(examples=["pump-anomaly"])
    version: int
    task: Literal["anomaly", "remaining_life"]
    asset_class: str = Field(examples=["pump"])
    state: State = Field(description="shadow: computes what it would say, and says it to nobody")
    trained_at: datetime
    sha256: str = Field(description="of the artefact, hexadecimal")
    metadata: dict[str, Any] = Field(description="features, assets, data range, figures of validation, versions")
    watched_until: datetime | None = Field(description="up to when it was last looked at; null: not yet")
    drift: dict[str, float] = Field(
        description="population stability index by feature, then; from 0.25 on it does not know what it sees"
    )
    performance: dict[str, float] = Field(description="its figures, then")


@router.get(
    "/assets/{name}/condition",
    summary="Condition of an asset",
    responses={404: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
)
async def get_condition(connection: Connection, name: str) -> Condition:
    """The last scores, sensor faults and remaining life of an asset.

    A score is measured over its detector's own limit, so 1 and more is an anomaly whatever the sensor.
    """
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        asset = await _asset_id(connection, name)
        rows = await connection.fetch(_SQL["computed_sensors"], asset)
        last = await read_last_values(connection, [row["id"] for row in rows])
        prognoses = await connection.fetch(_SQL["last_prognoses"], asset)
    known = [(row, each.usable) for row, each in zip(rows, last, strict=True) if each.usable is not None]
    by_kind: dict[str, list[tuple[asyncpg.Record, Reading]]] = {}
    for row, reading in known:
        by_kind.setdefault(row["computed"], []).append((row, reading))
    lives = [RemainingLife(**row) for row in prognoses]
    told = {life.sensor for life in lives if life.method == "trend"}
    # Those that are not of one sensor are of a model or of the P-F interval, and have prognoses of their own.
    followed = [row["source"] for row in rows if row["computed"] == "remaining_life" and row["source"] is not None]
    return Condition(
        asset=name,
        anomaly=_anomaly(by_kind.get("anomaly", ()), by_kind.get("contribution", ())),
        scores=_highest_first(
            SensorScore(sensor=row["source"], **_score(reading)) for row, reading in by_kind.get("score", ())
        ),
        models=_highest_first(
            ModelScore(model=row["model"], version=row["version"], **_score(reading))
            for row, reading in by_kind.get("model", ())
            if row["model"] is not None
        ),
        sensor_faults=[
            StandingFault(sensor=row["source"], fault=_FAULTS[int(reading.value)], since=reading.time)
            for row, reading in by_kind.get("sensor_fault", ())
            if reading.value in _FAULTS
        ],
        remaining_life=lives + [_not_made(sensor) for sensor in followed if sensor not in told],
    )


@router.get(
    "/prognoses",
    summary="List prognoses",
    responses={404: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
)
async def list_prognoses(
    connection: Connection,
    asset: Annotated[str | None, Query(description="only those of this asset")] = None,
    settled: Annotated[bool | None, Query(description="true: those whose end is known; false: the others")] = None,
    begin: Begin = None,
    end: End = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Prognosis]:
    """Prognoses made in the window, the newest first, each with what came of it.

    That there is no answer is written down once, and again when the reason is another one.
    """
    check_window(begin, end)
    after = read_cursor(cursor)
    number = None if asset is None else await _asset_id(connection, asset)
    rows = await connection.fetch(_SQL["prognoses"], number, settled, begin, end, *after, limit + 1)
    page, next_cursor = paginate(rows, limit, lambda row: (row["made_at"], row["id"]))
    return Page(
        items=[Prognosis(**{**row, "details": json.loads(row["details"])}) for row in page], next_cursor=next_cursor
    )


@router.get("/models", summary="List models", responses={422: {"model": Problem}, 503: {"model": Problem}})
async def list_models(
    connection: Connection,
    state: Annotated[list[State] | None, Query(description="only these; give it once for each")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Page[Model]:
    """Trained models, the newest first, retired ones too, each with how it fared when it was last looked at."""
    _, after = read_cursor(cursor)
    rows = await connection.fetch(_SQL["models"], state, _NUMBERS if after is None else min(after, _NUMBERS), limit + 1)
    page, next_cursor = paginate(rows, limit, lambda row: (EPOCH, row["id"]))
    return Page(items=[Model(**_plain(row)) for row in page], next_cursor=next_cursor)


async def _asset_id(connection: asyncpg.Connection, name: str) -> int:
    number: int | None = await connection.fetchval(SQL["asset_id"], name)
    if number is None:
        names = [row["name"] for row in await connection.fetch(_SQL["asset_names"])]
        raise NotFoundError(f"there is no asset {name!r}{closest(name, names)}; /assets lists them")
    return number


def _score(reading: Reading) -> dict[str, Any]:
    return {"score": reading.value, "time": reading.time, "anomalous": reading.value >= ALARM}


def _highest_first(scores: Iterable[AnyScore]) -> list[AnyScore]:
    return sorted(scores, key=lambda each: -each.score)


def _anomaly(
    scores: Iterable[tuple[asyncpg.Record, Reading]], parts: Iterable[tuple[asyncpg.Record, Reading]]
) -> AssetScore | None:
    reading = next((reading for _, reading in scores), None)
    if reading is None:
        return None
    # Shares of one moment are told together; a sensor that is in no share of the last one may have an older one.
    parts = list(parts)
    moment = max((part.time for _, part in parts), default=None)
    shares = [Share(sensor=row["source"], share=part.value) for row, part in parts if part.time == moment]
    return AssetScore(**_score(reading), shares=sorted(shares, key=lambda each: -each.share), shares_at=moment)


def _not_made(sensor: str) -> RemainingLife:
    return RemainingLife(
        sensor=sensor,
        failure_mode="",
        method="trend",
        made_at=None,
        p10_s=None,
        p50_s=None,
        p90_s=None,
        reason=_NOT_MADE,
    )


def _plain(row: asyncpg.Record) -> dict[str, Any]:
    return {
        **row,
        "metadata": json.loads(row["metadata"]),
        "drift": json.loads(row["drift"] or "{}"),
        "performance": json.loads(row["performance"] or "{}"),
    }
