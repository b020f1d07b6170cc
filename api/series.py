"""Series for drawing: a sensor over a range of time in a number of points, with the gaps in it."""

import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.database import Connection
from api.pages import Begin, End, check_window
from api.problems import InvalidParameterError, NotFoundError, Problem
from api.queries import SQL
from telemetry.batch import EPOCH, to_datetime
from telemetry.buckets import Resolution
from telemetry.drawing import FEWEST_POINTS
from telemetry.gaps import Gap
from telemetry.trend import RangeTooLongError, Trend, read_trend

__all__ = ["Series", "router"]

router = APIRouter(prefix="/sensors", tags=["sensors"])
_DEFAULT_WINDOW = timedelta(hours=24)
_INSTANT = timedelta(microseconds=1)
_MOST_GAPS = 1_000

ResolutionName = Literal["raw", "1m", "1h", "1d"]


class SeriesPoint(BaseModel):
    """A reading, or a bucket of them. Where `value` is null the line breaks: nothing usable is known there."""

    time: datetime = Field(description="of the reading, or the begin of the bucket; UTC")
    value: float | None = Field(description="the reading, or the mean of the bucket's usable readings; sensor's unit")
    min: float | None = Field(description="lowest usable reading of the bucket, sensor's unit")
    max: float | None = Field(description="highest usable reading of the bucket, sensor's unit")
    count: int = Field(description="usable readings it stands for; 0: a break")


class SeriesGap(BaseModel):
    """A time without usable readings."""

    begin: datetime
    end: datetime
    seconds: float = Field(examples=[1800.0])
    reason: Literal["silent", "unusable"] = Field(
        description="silent: nothing came for three usual intervals; unusable: what came was bad or stale"
    )


class Series(BaseModel):
    """One sensor over a range of time."""

    sensor: str = Field(examples=["pump-1.temperature"])
    unit: str = Field(description="of all values", examples=["degC"])
    begin: datetime | None = Field(description="of what is covered, in whole buckets; null: the sensor never sent any")
    end: datetime | None = Field(description="exclusive")
    resolution: ResolutionName = Field(description="what it was read from")
    step_s: float | None = Field(description="width of a bucket, seconds, a multiple of the resolution; null: readings")
    interval_s: float | None = Field(description="usual time between readings, seconds; null: not known")
    points: list[SeriesPoint] = Field(description="by time; never more than asked for, breaks included")
    gaps: list[SeriesGap] = Field(description=f"by time, as fine as the resolution; the {_MOST_GAPS:,} longest of more")
    silent_s: float = Field(description="seconds of all gaps that were silence")
    unusable_s: float = Field(description="seconds of all gaps in which what came was bad or stale")


@router.get(
    "/{name}/series",
    summary="A sensor's series for drawing, and its gaps",
    responses={404: {"model": Problem}, 422: {"model": Problem}, 503: {"model": Problem}},
)
async def get_series(
    connection: Connection,
    name: str,
    begin: Begin = None,
    end: End = None,
    points: Annotated[int, Query(ge=FEWEST_POINTS, le=10_000, description="most points in the answer")] = 1_000,
    resolution: Annotated[
        Literal["auto", "raw", "1m", "1h", "1d"],
        Query(description="auto: the finest that fits; raw: readings, thinned out; else buckets at least so wide"),
    ] = "auto",
    interval_s: Annotated[
        float | None,
        Query(gt=0, le=31_536_000, description="usual time between readings, seconds; default: seen from the readings"),
    ] = None,
) -> Series:
    """The range in at most `points` points: every reading if there are so few, else buckets with mean, minimum and
    maximum, or, with `resolution=raw`, the readings that make the shape, the highest and the lowest among them.

    Buckets begin at whole steps of UTC, and those at the edges are whole: `begin` and `end` tell what is covered.
    Without `to` the range ends with the newest reading, without `from` it begins 24 hours before its end. A state
    sensor reports when something changes, so its silence is no gap.
    """
    check_window(begin, end)
    sensor = await connection.fetchrow(SQL["sensor"], name)
    if sensor is None:
        raise NotFoundError(f"there is no sensor {name!r}; /sensors lists them")
    now = datetime.now(UTC)
    if sensor["newest_at"] is not None:
        # In a replay of last year's data, or beside a clock that is ahead, the data's clock is the later one.
        now = max(now, sensor["newest_at"] + _INSTANT)
        end = end or sensor["newest_at"] + _INSTANT
    if end is None:
        return _empty(sensor["name"], sensor["unit"], resolution)
    if begin is None:
        begin = max(end - _DEFAULT_WINDOW, EPOCH)
    if begin >= end:
        raise InvalidParameterError("query.from", f"nothing is known after {end.isoformat()}, the newest reading")
    try:
        trend = await read_trend(
            connection,
            sensor["id"],
            begin,
            end,
            points,
            now=now,
            resolution=None if resolution == "auto" else Resolution(resolution),
            interval=None if interval_s is None else timedelta(seconds=interval_s),
            on_change=sensor["kind"] == "state",
        )
    except RangeTooLongError as error:
        raise InvalidParameterError("query.from", str(error)) from error
    return _described(sensor["name"], sensor["unit"], trend)


def _empty(sensor: str, unit: str, resolution: str) -> Series:
    return Series(
        sensor=sensor,
        unit=unit,
        begin=None,
        end=None,
        resolution=Resolution.RAW.value if resolution == "auto" else Resolution(resolution).value,
        step_s=None,
        interval_s=None,
        points=[],
        gaps=[],
        silent_s=0,
        unusable_s=0,
    )


def _described(sensor: str, unit: str, trend: Trend) -> Series:
    longest = sorted(trend.gaps, key=lambda gap: gap.seconds, reverse=True)[:_MOST_GAPS]
    columns = (trend.time.tolist(), *(_nullable(column.tolist()) for column in (trend.value, trend.min, trend.max)))
    return Series(
        sensor=sensor,
        unit=unit,
        begin=trend.begin,
        end=trend.end,
        resolution=trend.resolution.value,
        step_s=trend.step.total_seconds() or None,
        interval_s=None if trend.interval is None else trend.interval.total_seconds(),
        points=[
            # What comes from the database is valid.
            SeriesPoint.model_construct(time=to_datetime(time), value=value, min=low, max=high, count=count)
            for time, value, low, high, count in zip(*columns, trend.count.tolist(), strict=True)
        ],
        gaps=[
            SeriesGap(begin=gap.begin, end=gap.end, seconds=gap.seconds, reason=gap.reason)
            for gap in sorted(longest, key=lambda gap: gap.begin)
        ],
        silent_s=_total(trend.gaps, "silent"),
        unusable_s=_total(trend.gaps, "unusable"),
    )


def _nullable(column: list[float]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in column]


def _total(gaps: Sequence[Gap], reason: str) -> float:
    return sum(gap.seconds for gap in gaps if gap.reason == reason)
